//! No flow outlives what it rests on, and nothing else is judged anew.

use super::{node::*, packets::*, run::*, shapes::*};
use crate::maps::to_addr;
use tombolo_abi::Drop;
use tombolo_model::{
    change::{Change, Direction, NodePath, Place, PolicyEntry, Reach, Verdict},
    id::{ClusterId, Identity, NodeSlot},
    net::RoutingMode,
};

fn remote(identity: u32, slot: u16) -> Reach {
    Reach {
        identity: Identity(identity),
        place: Place::Remote(NodeSlot(slot)),
    }
}

fn from_a(to: &str) -> Vec<u8> {
    tcp((ip(POD_A), 4000), (ip(to), 80), ACK, b"")
}

fn from_b(to: &str) -> Vec<u8> {
    tcp((ip(POD_B), 4000), (ip(to), 80), ACK, b"")
}

fn allow(direction: Direction, identity: u32) -> PolicyEntry {
    PolicyEntry {
        identity: Identity(identity),
        ..PolicyEntry::allow_all(direction)
    }
}

#[test]
fn a_new_policy_rules_the_next_packet() {
    on_node(RoutingMode::Tunnel, |node| {
        let back = by_tunnel(&tcp((ip(FAR), 80), (ip(POD_A), 4000), ACK, b""));
        for packet in [from_a(FAR), from_a(POD_B)] {
            node.pass(At::PodA, &packet);
            assert!(node.is_quick(At::PodA, &packet));
        }
        node.pass(At::PodB, &from_b(FAR));
        node.apply(Change::PolicySet(A, vec![allow(Direction::Egress, ID_B)]));
        let before = node.counters();
        node.refuse(At::PodA, &from_a(FAR), Drop::EgressDenied);
        node.refuse(At::Uplink, &back, Drop::IngressDenied);
        assert!(node.is_quick(At::PodB, &from_b(FAR)), "of another pod");
        assert!(!node.is_quick(At::PodA, &from_a(POD_B)), "judged anew");
        assert!(node.is_quick(At::PodA, &from_a(POD_B)), "once");
        let after = node.counters();
        assert_eq!(after.slow_path - before.slow_path, 3);
        assert_eq!(after.rejudged - before.rejudged, 2);
    });
}

/// A flow that is judged anew is judged as it was opened, whichever end the packet comes from.
#[test]
fn an_answer_is_judged_as_its_question() {
    on_node(RoutingMode::Tunnel, |node| {
        node.pass(At::PodA, &from_a(FAR));
        let only_out = vec![PolicyEntry::allow_all(Direction::Egress)];
        node.apply(Change::PolicySet(A, only_out));
        let back = by_tunnel(&tcp((ip(FAR), 80), (ip(POD_A), 4000), ACK, b""));
        assert!(!node.is_quick(At::Uplink, &back));
        let only_in = vec![PolicyEntry::allow_all(Direction::Ingress)];
        node.apply(Change::PolicySet(A, only_in));
        node.refuse(At::Uplink, &back, Drop::EgressDenied);
    });
}

#[test]
fn other_addresses_leave_flows_alone() {
    on_node(RoutingMode::Tunnel, |node| {
        let other = "10.2.1.200";
        assert_ne!(to_addr(ip(other)).shard(), to_addr(ip(FAR)).shard());
        for packet in [from_a(FAR), from_a(POD_B), from_a(NODE), from_a(WORLD)] {
            node.pass(At::PodA, &packet);
        }
        node.apply(Change::AddressSet(net(other), remote(ID_FAR, 1)));
        node.apply(Change::AddressGone(net(other)));
        for packet in [from_a(FAR), from_a(POD_B), from_a(NODE), from_a(WORLD)] {
            assert!(node.is_quick(At::PodA, &packet));
        }
    });
}

#[test]
fn an_address_that_changes_hands_ends_its_flows() {
    on_node(RoutingMode::Tunnel, |node| {
        node.apply(Change::PolicySet(A, vec![allow(Direction::Egress, ID_FAR)]));
        node.pass(At::PodA, &from_a(FAR));
        node.pass(At::PodA, &from_a(FARTHER));
        let other = ID_FAR + 1;
        node.apply(Change::AddressSet(net(FAR), remote(other, 1)));
        node.refuse(At::PodA, &from_a(FAR), Drop::EgressDenied);
        assert!(node.is_quick(At::PodA, &from_a(FARTHER)));
        assert_eq!(node.flows().len(), 1, "the flow is forgotten");
        node.apply(Change::AddressGone(net(FAR)));
        node.refuse(At::PodA, &from_a(FAR), Drop::NobodyThere);
    });
}

#[test]
fn an_address_that_moves_is_followed() {
    on_node(RoutingMode::Tunnel, |node| {
        let is_v6 = |frame: &[u8]| frame[12..14] == [0x86, 0xdd];
        assert!(!is_v6(&node.pass(At::PodA, &from_a(FAR)).packet));
        let answer = tcp((ip(FAR), 80), (ip(POD_A), 4000), ACK, b"");
        assert!(node.is_quick(At::Uplink, &by_tunnel(&answer)));
        node.apply(Change::AddressSet(net(FAR), remote(ID_FAR, 2)));
        node.refuse(At::Uplink, &by_tunnel(&answer), Drop::SpoofedSource);
        assert!(is_v6(&node.pass(At::PodA, &from_a(FAR)).packet));
        let by_new_way = vxlan(ip(PEER_V6), ip(NODE_V6), ID_FAR, &answer);
        assert!(node.is_quick(At::Uplink, &by_new_way));
    });
}

#[test]
fn ranges_concern_what_rests_on_ranges() {
    on_node(RoutingMode::Tunnel, |node| {
        for to in [FAR, POD_B, NODE, WORLD] {
            node.pass(At::PodA, &from_a(to));
        }
        let nowhere = Reach {
            identity: Identity(2),
            place: Place::Nowhere,
        };
        node.apply(Change::AddressSet(net("10.3.0.0/16"), nowhere));
        for to in [FAR, POD_B, NODE] {
            assert!(node.is_quick(At::PodA, &from_a(to)), "{to}");
        }
        assert!(!node.is_quick(At::PodA, &from_a(WORLD)));
        assert!(node.is_quick(At::PodA, &from_a(WORLD)));
        node.apply(Change::AddressSet(net("198.51.100.0/24"), nowhere));
        node.refuse(At::PodA, &from_a(WORLD), Drop::NobodyThere);
    });
}

#[test]
fn a_deleted_pod_is_spoken_to_no_more() {
    on_node(RoutingMode::Tunnel, |node| {
        node.pass(At::PodA, &from_a(POD_B));
        node.pass(At::PodB, &from_b(FAR));
        node.apply(Change::EndpointGone(B));
        node.refuse(At::PodA, &from_a(POD_B), Drop::EndpointGone);
        node.refuse(At::PodB, &from_b(FAR), Drop::EndpointGone);
        node.apply(Change::AddressGone(net(POD_B)));
        node.refuse(At::PodA, &from_a(POD_B), Drop::NobodyThere);
        node.refuse(At::PodB, &from_b(FAR), Drop::SpoofedSource);
    });
}

/// Even while the address of the former pod still leads to the number.
#[test]
fn a_number_used_again_inherits_nothing() {
    on_node(RoutingMode::Tunnel, |node| {
        node.pass(At::PodA, &from_a(POD_B));
        node.pass(At::PodB, &from_b(FAR));
        node.apply(Change::EndpointGone(B));
        node.allow_all(B);
        let next = path(
            node.ifindex_b,
            ID_B + 1,
            MAC_B,
            "10.1.1.7",
            "fd00:10:1:1::7",
        );
        node.apply(Change::EndpointSet(B, next));
        node.refuse(At::PodA, &from_a(POD_B), Drop::EndpointGone);
        node.refuse(At::PodB, &from_b(FAR), Drop::EndpointGone);
        node.apply(Change::AddressGone(net(POD_B)));
        node.refuse(At::PodA, &from_a(POD_B), Drop::NobodyThere);
        let reach = Reach {
            identity: Identity(ID_B + 1),
            place: Place::Local(B),
        };
        node.apply(Change::AddressSet(net("10.1.1.7"), reach));
        assert_eq!(node.pass(At::PodA, &from_a("10.1.1.7")).packet[..6], MAC_B);
    });
}

#[test]
fn denied_to_speak_at_all_without_rules() {
    on_node(RoutingMode::Tunnel, |node| {
        let deny = |direction| PolicyEntry {
            verdict: Verdict::Deny,
            ..PolicyEntry::allow_all(direction)
        };
        node.pass(At::PodA, &from_a(FAR));
        node.apply(Change::PolicySet(A, vec![deny(Direction::Egress)]));
        node.refuse(At::PodA, &from_a(FAR), Drop::EgressDenied);
        node.apply(Change::PolicySet(A, vec![]));
        node.refuse(At::PodA, &from_a(FAR), Drop::EgressDenied);
        node.allow_all(A);
        node.pass(At::PodA, &from_a(FAR));
    });
}

/// A flow with an address that only its sender vouched for rests on the node that it came from.
#[test]
fn a_node_that_goes_ends_its_flows() {
    on_node(RoutingMode::Tunnel, |node| {
        let unlisted = "10.2.9.9";
        let inner = tcp((ip(unlisted), 80), (ip(POD_A), 4000), ACK, b"");
        node.pass(At::Uplink, &by_tunnel(&inner));
        assert!(node.is_quick(At::PodA, &from_a(unlisted)));
        node.apply(Change::NodeGone(NodeSlot(1)));
        node.refuse(At::Uplink, &by_tunnel(&inner), Drop::UnknownNode);
        let other = "192.0.2.3";
        let path = NodePath {
            cluster: ClusterId(3),
            address: ip(other),
            routing: RoutingMode::Tunnel,
        };
        node.apply(Change::NodeSet(NodeSlot(1), path));
        let claimed = vxlan(ip(other), ip(NODE), ID_FAR, &inner);
        node.refuse(At::Uplink, &claimed, Drop::ForeignIdentity);
        assert_eq!(node.send(At::PodA, &from_a(unlisted)).verdict, NEXT);
    });
}
