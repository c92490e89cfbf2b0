use super::*;
use crate::testing::{Scratch, ip, wait_for};
use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0c];

fn pair() -> (Scratch, Scratch, Netlink, u32) {
    let (here, there) = (Scratch::new(), Scratch::new());
    here.join(
        "near",
        &["10.9.0.1/16", "fd00:9::1/64"],
        &there,
        "far",
        &["10.9.0.2/16", "fd00:9::2/64"],
    );
    let netlink = here.netlink();
    let index = netlink.link("near").unwrap().unwrap().index;
    (here, there, netlink, index)
}

fn find(netlink: &Netlink, index: u32, address: IpAddr) -> Option<Neighbour> {
    netlink
        .neighbours(index)
        .unwrap()
        .into_iter()
        .find(|neighbour| neighbour.address == address)
}

#[test]
fn managed_neighbour_is_resolved_without_traffic() {
    let (_here, there, netlink, index) = pair();
    let mac = there.netlink().link("far").unwrap().unwrap().mac;
    for address in [ip("10.9.0.2"), ip("fd00:9::2")] {
        netlink.manage_neighbour(index, address).unwrap();
        let found = wait_for("resolved neighbour", || {
            find(&netlink, index, address).filter(Neighbour::is_valid)
        });
        assert_eq!((found.mac, found.managed), (mac, true));

        netlink.manage_neighbour(index, address).unwrap();
        assert!(
            find(&netlink, index, address).unwrap().is_valid(),
            "managing anew forgets nothing"
        );
        netlink.delete_neighbour(index, address).unwrap();
        netlink.delete_neighbour(index, address).unwrap();
        assert_eq!(
            find(&netlink, index, address).filter(|neighbour| neighbour.managed),
            None
        );
    }
}

#[test]
fn permanent_neighbour_replaces_what_was_known() {
    let (_here, _there, netlink, index) = pair();
    for address in [ip("10.9.0.9"), ip("fd00:9::9")] {
        netlink.manage_neighbour(index, address).unwrap();
        netlink
            .set_neighbour_permanent(index, address, MAC)
            .unwrap();
        let found = find(&netlink, index, address).unwrap();
        assert_eq!((found.mac, found.state), (Some(MAC), libc::NUD_PERMANENT));
    }
}

#[test]
fn listing_is_whole_while_the_table_changes() {
    const COUNT: u16 = 600;
    let (here, _there, netlink, index) = pair();
    let address = |i: u16| IpAddr::from(Ipv4Addr::from(0x0a09_1000 + u32::from(i)));
    (0..COUNT).for_each(|i| {
        netlink
            .set_neighbour_permanent(index, address(i), MAC)
            .unwrap()
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let other = here.netlink();
            while !stop.load(Ordering::Relaxed) {
                other
                    .set_neighbour_permanent(index, ip("10.9.200.1"), MAC)
                    .unwrap();
                other.delete_neighbour(index, ip("10.9.200.1")).unwrap();
            }
        });
        for _ in 0..20 {
            let found = netlink.neighbours(index).unwrap();
            let ours = (0..COUNT).filter(|i| {
                found
                    .iter()
                    .any(|neighbour| neighbour.address == address(*i))
            });
            assert_eq!(ours.count(), COUNT.into());
        }
        stop.store(true, Ordering::Relaxed);
    });
}
