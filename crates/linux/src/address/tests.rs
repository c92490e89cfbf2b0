use super::*;
use crate::testing::{Scratch, net};

#[test]
fn addresses_of_both_families_come_and_go() {
    let scratch = Scratch::new();
    let netlink = scratch.netlink();
    let index = netlink.create_bridge("bridge").unwrap();
    let both = [net("10.9.1.1/32"), net("fd00:9::1/128")];
    for net in both.into_iter().chain(both) {
        netlink.add_address(index, net).unwrap();
    }
    let found = netlink.addresses(Some(index)).unwrap();
    assert_eq!(
        found,
        both.map(|net| Address {
            ifindex: index,
            net,
            scope: 0
        })
    );

    let all: Vec<_> = netlink
        .addresses(None)
        .unwrap()
        .into_iter()
        .map(|address| address.net)
        .collect();
    assert_eq!(all, [net("127.0.0.1/8"), both[0], net("::1/128"), both[1]]);
    for net in both.into_iter().chain(both) {
        netlink.delete_address(index, net).unwrap();
    }
    assert_eq!(netlink.addresses(Some(index)).unwrap(), []);
}

#[test]
fn ipv6_address_is_usable_at_once() {
    let (here, there) = (Scratch::new(), Scratch::new());
    here.join("near", &["fd00:9::1/64"], &there, "far", &["fd00:9::2/64"]);
    here.run(|| std::net::UdpSocket::bind("[fd00:9::1]:0").map(drop))
        .unwrap()
        .unwrap();
}

#[test]
fn missing_link_has_no_addresses_and_takes_none() {
    let scratch = Scratch::new();
    let netlink = scratch.netlink();
    assert_eq!(netlink.addresses(Some(4242)).unwrap(), []);
    assert!(
        netlink
            .add_address(4242, net("10.9.1.1/32"))
            .unwrap_err()
            .is_not_found()
    );
    netlink.delete_address(4242, net("10.9.1.1/32")).unwrap();
}
