use super::*;
use crate::{
    netlink::Netlink,
    testing::{Scratch, ip, net},
};
use rustix::event::{PollFd, PollFlags, Timespec};

const DEADLINE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// What is told within the deadline, up to and with the notice wanted.
fn next(watch: &mut Watch, is_wanted: impl Fn(Seen) -> bool) -> Seen {
    loop {
        let ready =
            rustix::event::poll(&mut [PollFd::new(&*watch, PollFlags::IN)], Some(&DEADLINE))
                .unwrap();
        assert_ne!(ready, 0, "no notice within the deadline");
        let seen = watch.drain().unwrap();
        if is_wanted(seen) {
            return seen;
        }
    }
}

fn link() -> (Scratch, Netlink, u32) {
    let scratch = Scratch::new();
    let netlink = scratch.netlink();
    let index = netlink.create_bridge("bridge").unwrap();
    (scratch, netlink, index)
}

#[test]
fn each_kind_of_change_is_seen() {
    let (scratch, netlink, index) = link();
    let mut watch = Watch::open_in(&scratch).unwrap();
    assert_eq!(watch.drain().unwrap(), Seen::default());

    netlink
        .set_neighbour_permanent(index, ip("10.9.0.9"), [2, 0, 0, 0, 0, 1])
        .unwrap();
    assert_eq!(
        next(&mut watch, |seen| seen.neighbours),
        Seen {
            neighbours: true,
            ..Seen::default()
        }
    );
    netlink.set_mtu(index, 1400).unwrap();
    assert_eq!(
        next(&mut watch, |seen| seen.links),
        Seen {
            links: true,
            ..Seen::default()
        }
    );
    for address in ["10.9.0.1/24", "fd00:9::1/64"] {
        netlink.add_address(index, net(address)).unwrap();
        next(&mut watch, |seen| seen.routes);
    }
    netlink.delete_link(index).unwrap();
    next(&mut watch, |seen| seen.links);
}

#[test]
fn lost_notices_mean_that_everything_may_have_changed() {
    let (scratch, netlink, index) = link();
    let mut watch = Watch::open_in(&scratch).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&watch, 4096).unwrap();
    for i in 0..200 {
        netlink.set_mtu(index, 1300 + i).unwrap();
    }
    assert_eq!(watch.drain().unwrap(), Seen::ALL);
    assert_eq!(watch.drain().unwrap(), Seen::default());
    netlink.set_mtu(index, 1400).unwrap();
    assert_eq!(
        next(&mut watch, |seen| seen.links),
        Seen {
            links: true,
            ..Seen::default()
        }
    );
}
