use super::*;
use crate::testing::Scratch;
use std::{net::IpAddr, thread};

#[test]
fn threads_share_a_socket_without_mixing_answers() {
    let scratch = Scratch::new();
    let netlink = scratch.netlink();
    let names: Vec<_> = (0..4).map(|i| format!("bridge{i}")).collect();
    let indexes: Vec<_> = names
        .iter()
        .map(|name| netlink.create_bridge(name).unwrap())
        .collect();
    thread::scope(|scope| {
        for (name, index) in names.iter().zip(indexes) {
            let netlink = &netlink;
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(netlink.link(name).unwrap().unwrap().index, index);
                    assert_eq!(netlink.link_by_index(index).unwrap().unwrap().name, *name);
                    assert!(netlink.set_up(4242).is_err());
                    assert_eq!(netlink.links().unwrap().len(), 5);
                }
            });
        }
    });
}

#[test]
fn addresses_are_their_octets() {
    for address in ["10.9.0.1", "fd00:9::1"].map(|text| text.parse::<IpAddr>().unwrap()) {
        assert_eq!(family::address(&family::octets(address)), Some(address));
    }
    assert_eq!(family::address(&[1, 2, 3]), None);
}
