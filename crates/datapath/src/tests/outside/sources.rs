//! Load balancers' addresses that are not for everybody.

use super::*;
use aya::maps::lpm_trie::LpmTrie;
use ipnet::IpNet;
use tombolo_abi::{FRONTENDS_MAX, FrontendEntry, FrontendKey, SourceKey};

const BALANCER: &str = "203.0.113.7";
const BALANCER_V6: &str = "2001:db8:7::7";
const SHUT_OUT: &str = "198.51.101.1";
const SHUT_OUT_V6: &str = "2001:db9::1";

impl Node {
    fn admit(&mut self, frontend: Frontend, pool: Frontend, ranges: &[&str]) {
        self.apply(Change::FrontendSet(frontend, admitting(pool, ranges)));
    }

    /// Leaves no room for another frontend.
    fn fill_frontends(&self) {
        let map = MapData::from_pin(self.map_path("FRONTENDS")).expect("the pinned map");
        let mut map =
            HashMap::<_, FrontendKey, FrontendEntry>::try_from(Map::HashMap(map)).expect("a table");
        let entry = FrontendEntry::new(1, false, false, 0);
        for number in 0..FRONTENDS_MAX {
            let key = FrontendKey {
                addr: tombolo_abi::Addr::from_v4(number),
                ..FrontendKey::default()
            };
            if map.insert(key, entry, 0).is_err() {
                return;
            }
        }
        panic!("the node's own frontends take room too");
    }

    fn ranges_held(&self) -> usize {
        let map = MapData::from_pin(self.map_path("SOURCES")).expect("the pinned map");
        let map = LpmTrie::<_, SourceKey, u32>::try_from(Map::LpmTrie(map)).expect("a trie");
        map.iter().count()
    }
}

fn admitting(pool: Frontend, ranges: &[&str]) -> FrontendPath {
    let ranges: Vec<IpNet> = ranges.iter().map(|range| net(range)).collect();
    FrontendPath {
        outside: Some(pool),
        sources: Some(ranges.into()),
        ..FrontendPath::inside(pool)
    }
}

fn ask(node: &mut Node, number: u8, from: &str, to: &str, flags: u8) -> Option<Drop> {
    let frame = packet(
        number,
        (ip(from), CLIENT_PORT),
        (ip(to), NODE_PORT),
        flags,
        b"",
    );
    let (outcome, reason) = node.try_from_world(&frame);
    let verdict = if reason.is_some() { SHOT } else { REDIRECT };
    assert_eq!(outcome.verdict, verdict, "{from} to {to}");
    reason
}

/// As in the table beside: protocol, the node, its pod, a balancer's address, a client that is admitted, and one that is not.
fn all() -> impl Iterator<Item = (u8, [&'static str; 5])> {
    let v4 = [NODE, POD_A, BALANCER, WORLD, SHUT_OUT];
    let v6 = [NODE_V6, POD_A_V6, BALANCER_V6, WORLD_V6, SHUT_OUT_V6];
    [v4, v6]
        .into_iter()
        .flat_map(|addresses| [TCP, UDP].map(|number| (number, addresses)))
}

#[test]
fn only_who_is_in_a_range_is_led_to_a_balancers_address() {
    on_node(RoutingMode::Tunnel, |node| {
        for (number, [own, pod, balancer, client, other]) in all() {
            let web = node.open_to(own, number, &[pod]);
            let balanced = frontend(balancer, number);
            node.admit(balanced, web, &[of(balancer), beside(balancer)]);
            assert_eq!(ask(node, number, client, balancer, SYN), None);
            let refused = Some(Drop::SourceNotAdmitted);
            assert_eq!(ask(node, number, other, balancer, SYN), refused);
            assert_eq!(ask(node, number, other, balancer, ACK), refused);
            assert_eq!(
                ask(node, number, other, own, SYN),
                None,
                "a node port is for all"
            );
        }
    });
}

/// The clients that are admitted to an address.
fn of(balancer: &str) -> &'static str {
    if balancer.contains(':') {
        "2001:db8::/48"
    } else {
        "198.51.100.0/25"
    }
}

fn beside(balancer: &str) -> &'static str {
    if balancer.contains(':') {
        "fd00::/8"
    } else {
        "10.0.0.0/8"
    }
}

#[test]
fn a_change_of_ranges_is_felt_at_once() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, TCP, &[POD_A]);
        let balanced = frontend(BALANCER, TCP);
        let refused = Some(Drop::SourceNotAdmitted);
        node.open_as(balanced, Some(web));
        assert_eq!(ask(node, TCP, WORLD, BALANCER, SYN), None);
        assert_eq!(ask(node, TCP, WORLD, BALANCER, ACK), None);
        // Who is connected is shut out as well.
        node.admit(balanced, web, &["192.0.2.0/24", "10.0.0.0/8"]);
        assert_eq!(node.ranges_held(), 2);
        assert_eq!(ask(node, TCP, WORLD, BALANCER, ACK), refused);
        assert_eq!(ask(node, TCP, WORLD, BALANCER, SYN), refused);
        node.admit(balanced, web, &["198.51.100.0/24"]);
        assert_eq!(node.ranges_held(), 1);
        assert_eq!(ask(node, TCP, WORLD, BALANCER, ACK), None);
        // Nobody at all.
        node.admit(balanced, web, &[]);
        assert_eq!(ask(node, TCP, WORLD, BALANCER, SYN), refused);
        node.open_as(balanced, Some(web));
        assert_eq!(ask(node, TCP, SHUT_OUT, BALANCER, SYN), None);
        assert_eq!(node.ranges_held(), 0);
    });
}

#[test]
fn frontends_with_the_same_ranges_share_them() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, TCP, &[POD_A]);
        let dns = node.open_to(NODE, UDP, &[POD_A]);
        let ranges = ["10.0.0.0/8", "198.51.100.0/24"];
        node.admit(frontend(BALANCER, TCP), web, &ranges);
        node.admit(frontend(BALANCER, UDP), dns, &ranges);
        assert_eq!(node.ranges_held(), 2);
        let told = node.datapath.recovered().expect("the maps").frontends;
        // An agent that starts finds what it has left, and writes the same again without effect.
        // The test's node has silenced the device, and then it takes no addresses.
        tombolo_linux::sysctl::set("net/ipv6/conf/tombolo_host/disable_ipv6", "0").expect("IPv6");
        let config = node.datapath.config().clone();
        node.datapath = crate::Datapath::open(config).expect("the maps are taken over");
        assert_eq!(node.datapath.recovered().expect("the maps").frontends, told);
        assert_eq!(
            ask(node, TCP, SHUT_OUT, BALANCER, SYN),
            Some(Drop::SourceNotAdmitted)
        );
        node.apply(Change::FrontendGone(frontend(BALANCER, TCP)));
        assert_eq!(node.ranges_held(), 2);
        assert_eq!(ask(node, UDP, WORLD, BALANCER, 0), None);
        node.apply(Change::FrontendGone(frontend(BALANCER, UDP)));
        assert_eq!(node.ranges_held(), 0);
    });
}

#[test]
fn a_frontend_that_there_is_no_room_for_leaves_no_ranges() {
    on_node(RoutingMode::Tunnel, |node| {
        let web = node.open_to(NODE, TCP, &[POD_A]);
        node.fill_frontends();
        let path = admitting(web, &["10.0.0.0/8", "198.51.100.0/24"]);
        let change = Change::FrontendSet(frontend(BALANCER, TCP), path);
        let refused = node.datapath.apply(&change);
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(node.ranges_held(), 0);
    });
}
