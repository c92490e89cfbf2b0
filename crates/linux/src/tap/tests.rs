use super::*;
use crate::{
    Error,
    testing::{Scratch, ip, wait_for},
};

const BROADCAST: [u8; 6] = [0xff; 6];
const SENDER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
/// Ethernet type and the fixed fields of an ARP request for IPv4.
const ARP_REQUEST: [u8; 10] = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1];

fn question(asker: [u8; 4], wanted: [u8; 4]) -> Vec<u8> {
    [
        &BROADCAST[..],
        &SENDER,
        &ARP_REQUEST,
        &SENDER,
        &asker,
        &[0; 6],
        &wanted,
    ]
    .concat()
}

#[test]
fn frames_go_in_and_come_out() {
    let scratch = Scratch::new();
    let tap = scratch.run(|| Tap::open("tap0")).unwrap().unwrap();
    let netlink = scratch.netlink();
    let link = netlink.link("tap0").unwrap().expect("it was made");
    assert!(!link.up);
    netlink
        .add_address(link.index, "10.9.0.1/24".parse().unwrap())
        .unwrap();
    netlink.set_up(link.index).unwrap();

    let sent = question([10, 9, 0, 2], [10, 9, 0, 1]);
    assert_eq!(tap.send(&sent).unwrap(), sent.len());
    // The kernel's own chatter may come first.
    let mut frame = [0; 2048];
    let answer = wait_for("the answer to the question", || {
        let length = tap.recv(&mut frame).unwrap();
        (frame[..6] == SENDER).then(|| frame[..length].to_vec())
    });
    assert_eq!(answer[6..12], link.mac.expect("Ethernet has one"));
    assert_eq!(answer[12..14], [0x08, 0x06]);
    assert_eq!(answer[20..22], [0, 2], "a reply");
    let known = netlink.neighbours(link.index).unwrap();
    assert!(known.iter().any(|n| n.address == ip("10.9.0.2")));
}

#[test]
fn the_device_ends_with_its_owner_and_has_one() {
    let scratch = Scratch::new();
    let open = || scratch.run(|| Tap::open("tap0")).unwrap();
    let tap = open().unwrap();
    assert_eq!(open().unwrap_err().errno(), Some(libc::EBUSY));
    drop(tap);
    assert_eq!(scratch.netlink().link("tap0").unwrap(), None);
    assert!(open().is_ok());
}

#[test]
fn names_that_no_device_can_have_are_refused() {
    for name in ["", "sixteen-letters-", "a/b", "a b", "."] {
        assert!(
            matches!(Tap::open(name), Err(Error::Name { .. })),
            "{name:?}"
        );
    }
}
