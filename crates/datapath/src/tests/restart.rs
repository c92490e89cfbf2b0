//! Opening a data path over what an earlier one left.

use super::{node::*, packets::*, run::*};
use crate::{AddressTable, Datapath, programs::FROM_CONTAINER};
use ipnet::IpNet;
use std::fs;
use tombolo_model::net::RoutingMode;

fn reopen(node: &mut Node) {
    // The test node silences the device, and then it takes no addresses.
    tombolo_linux::sysctl::set("net/ipv6/conf/tombolo_host/disable_ipv6", "0").expect("IPv6");
    let config = node.datapath.config().clone();
    node.datapath = Datapath::open(config).expect("opened again");
}

#[test]
fn everything_is_found_again_and_flows_go_on() {
    on_node(RoutingMode::Tunnel, |node| {
        node.datapath.remember(A, b"of A").expect("remembered");
        let packet = tcp((ip(POD_A), 4000), (ip(FAR), 80), SYN, b"");
        assert_eq!(
            node.run(FROM_CONTAINER, node.ifindex_a, &packet).verdict,
            REDIRECT
        );
        let before = node.datapath.recovered().expect("tables");
        let flows = node.flows();
        reopen(node);
        let after = node.datapath.recovered().expect("tables");
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
        assert_eq!(after.records, [(A, b"of A".to_vec())]);
        let packet = tcp((ip(POD_A), 4000), (ip(FAR), 80), ACK, b"x");
        assert_eq!(
            node.run(FROM_CONTAINER, node.ifindex_a, &packet).verdict,
            REDIRECT
        );
        let rejudged = node.datapath.counters().expect("counters").rejudged;
        assert_eq!(rejudged, 0, "the flow is the same one");
        assert_eq!(node.flows().len(), flows.len());
    });
}

#[test]
fn maps_of_another_layout_go_and_records_stay() {
    on_node(RoutingMode::Tunnel, |node| {
        node.datapath.remember(B, b"of B").expect("remembered");
        let other = node.datapath.config().pins.join("maps-v0");
        fs::create_dir(&other).expect("a folder");
        reopen(node);
        assert!(!other.exists());
        let records = node.datapath.recovered().expect("tables").records;
        assert_eq!(records, [(B, b"of B".to_vec())]);
    });
}

#[test]
fn replaced_programs_serve_the_same_flows() {
    on_node(RoutingMode::Native, |node| {
        let packet = udp((ip(POD_A), 4000), (ip(FAR), 53), b"");
        assert_eq!(
            node.run(FROM_CONTAINER, node.ifindex_a, &packet).verdict,
            REDIRECT
        );
        let slow = node.slow_path();
        node.datapath.replace_programs().expect("replaced");
        assert_eq!(
            node.run(FROM_CONTAINER, node.ifindex_a, &packet).verdict,
            REDIRECT
        );
        assert_eq!(node.slow_path(), slow);
    });
}

#[test]
fn whoever_looks_by_the_pin_sees_what_is_written_of_an_address() {
    on_node(RoutingMode::Tunnel, |node| {
        let table = AddressTable::open(&node.datapath.config().pins).expect("pinned");
        let known = node.datapath.recovered().expect("tables").addresses;
        let is_single = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
        let of_one = |(net, _): &&(IpNet, _)| is_single(net);
        let (single, ranges): (Vec<_>, Vec<_>) = known.iter().partition(of_one);
        assert!(!single.is_empty() && !ranges.is_empty(), "{known:?}");
        for (net, reach) in single {
            assert_eq!(table.get(net.addr()).expect("readable"), Some(reach));
        }
        for (range, _) in ranges {
            assert_eq!(table.get(range.network()).expect("readable"), None);
        }
        assert_eq!(table.all().expect("readable"), known);
    });
}
