//! ICMP errors: delivered when they speak of a flow, and to the end that sent what they quote.

use super::{node::*, packets::*, run::*, shapes::*};
use tombolo_abi::Drop;
use tombolo_model::{
    change::{Change, Direction, PolicyEntry},
    net::RoutingMode,
};

const KINDS: [Complaint; 3] = [
    Complaint::Unreachable,
    Complaint::TimeExceeded,
    Complaint::TooBig,
];
const PAIRS: [(&str, &str); 2] = [(POD_A, FAR), (POD_A_V6, FAR_V6)];

/// One packet of each kind of flow.
fn flows(from: &str, to: &str) -> [Vec<u8>; 3] {
    [
        tcp((ip(from), 4000), (ip(to), 80), ACK, b"data"),
        udp((ip(from), 4000), (ip(to), 53), b"question"),
        echo(ip(from), ip(to), true, 7),
    ]
}

fn router(like: &str) -> std::net::IpAddr {
    ip(if ip(like).is_ipv4() { WORLD } else { WORLD_V6 })
}

#[test]
fn errors_come_by_tunnel() {
    on_node(RoutingMode::Tunnel, |node| {
        let only_out = vec![PolicyEntry::allow_all(Direction::Egress)];
        node.apply(Change::PolicySet(A, only_out));
        for (near, far) in PAIRS {
            for sent in flows(near, far) {
                for kind in KINDS {
                    let error = by_tunnel(&complaint(ip(far), kind, &sent, 48));
                    node.refuse(At::Uplink, &error, Drop::IcmpWithoutFlow);
                }
                node.pass(At::PodA, &sent);
                for kind in KINDS {
                    let error = complaint(ip(far), kind, &sent, 48);
                    let outcome = node.pass(At::Uplink, &by_tunnel(&error));
                    assert_eq!(outcome.packet[..6], MAC_A);
                    assert_eq!(outcome.packet[14..], error[14..]);
                    let other_node = vxlan(ip(PEER_V6), ip(NODE_V6), ID_FAR, &error);
                    node.refuse(At::Uplink, &other_node, Drop::SpoofedSource);
                }
            }
        }
        assert_eq!(node.flows().len(), 6, "errors make no flows");
    });
}

#[test]
fn errors_of_routers_come_without_a_tunnel() {
    on_node(RoutingMode::Native, |node| {
        for (near, far) in PAIRS {
            for sent in flows(near, far) {
                for kind in KINDS {
                    let error = complaint(router(near), kind, &sent, 48);
                    node.refuse(At::Uplink, &error, Drop::IcmpWithoutFlow);
                }
                node.pass(At::PodA, &sent);
                for kind in KINDS {
                    let error = complaint(router(near), kind, &sent, 48);
                    assert_eq!(node.pass(At::Uplink, &error).packet[..6], MAC_A);
                }
            }
        }
    });
}

#[test]
fn errors_about_the_world_come_from_the_nodes_stack() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, world, own) in [(POD_A, WORLD, NODE), (POD_A_V6, WORLD_V6, NODE_V6)] {
            for sent in flows(near, world) {
                let error = complaint(ip(own), Complaint::TooBig, &sent, 48);
                node.refuse(At::Host, &error, Drop::IcmpWithoutFlow);
                node.pass(At::PodA, &sent);
                assert_eq!(node.pass(At::Host, &error).packet[..6], MAC_A);
            }
        }
    });
}

#[test]
fn the_node_complains_in_its_own_name_of_what_it_received() {
    on_node(RoutingMode::Tunnel, |node| {
        for (own, far) in [(ROUTER, FAR), (ROUTER_V6, FAR_V6)] {
            let [_, asked, _] = flows(own, far);
            let outcome = node.pass(At::Host, &asked);
            let (name, _) = unwrap_vxlan(&outcome.packet).expect("a tunnel packet");
            let received = udp((ip(far), 53), (ip(own), 4000), b"answer");
            for (from, expected) in [(ip(own), name), (router(own), 2)] {
                let error = complaint(from, Complaint::Unreachable, &received, 48);
                let outcome = node.pass(At::Host, &error);
                let (vni, inner) = unwrap_vxlan(&outcome.packet).expect("a tunnel packet");
                assert_eq!((vni, inner.len()), (expected, error.len()), "{from}");
            }
            assert_ne!(name, 2);
        }
        // Not in a pod's.
        for (near, far) in PAIRS {
            let [_, received, _] = flows(far, near);
            node.pass(At::Uplink, &by_tunnel(&received));
            let forged = complaint(ip(near), Complaint::Unreachable, &received, 48);
            let outcome = node.pass(At::Host, &forged);
            let (vni, _) = unwrap_vxlan(&outcome.packet).expect("a tunnel packet");
            assert_eq!(vni, 2, "{near}");
        }
    });
}

#[test]
fn pods_complain_of_what_they_received() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in PAIRS {
            for received in flows(far, near) {
                let error = complaint(ip(near), Complaint::Unreachable, &received, 48);
                node.refuse(At::PodA, &error, Drop::IcmpWithoutFlow);
                node.pass(At::Uplink, &by_tunnel(&received));
                let outcome = node.pass(At::PodA, &error);
                let (vni, inner) = unwrap_vxlan(&outcome.packet).expect("a tunnel packet");
                assert_eq!(vni, ID_A);
                assert_eq!(inner.len(), error.len());
            }
        }
        let received = udp((ip(POD_B), 4000), (ip(POD_A), 53), b"question");
        node.pass(At::PodB, &received);
        let error = complaint(ip(POD_A), Complaint::Unreachable, &received, 48);
        assert_eq!(node.pass(At::PodA, &error).packet[..6], MAC_B);
    });
}

#[test]
fn pods_complain_of_nothing_else() {
    on_node(RoutingMode::Tunnel, |node| {
        let b = |near: &str| ip(if ip(near).is_ipv4() { POD_B } else { POD_B_V6 });
        for (near, far) in PAIRS {
            for sent in flows(near, far) {
                node.pass(At::PodA, &sent);
                // Of what another pod was sent, of what it sent itself, and in another's name.
                let stranger = complaint(b(near), Complaint::TooBig, &sent, 48);
                node.refuse(At::PodB, &stranger, Drop::IcmpWithoutFlow);
                let own = complaint(ip(near), Complaint::TooBig, &sent, 48);
                node.refuse(At::PodA, &own, Drop::IcmpWithoutFlow);
                let forged = complaint(ip(far), Complaint::TooBig, &sent, 48);
                node.refuse(At::PodB, &forged, Drop::SpoofedSource);
            }
        }
    });
}

/// Whom an error is addressed to is whom it is delivered to.
#[test]
fn errors_are_for_the_sender_of_what_they_quote() {
    on_node(RoutingMode::Native, |node| {
        for (near, other) in [(POD_A, POD_B), (POD_A_V6, POD_B_V6)] {
            for sent in flows(other, near) {
                node.pass(At::PodB, &sent);
                for kind in [(3, 1), (11, 0), (1, 0)] {
                    if ip(near).is_ipv4() == (kind.0 == 1) {
                        continue;
                    }
                    let error = complaint_to(router(near), ip(near), kind, &sent, 48);
                    node.refuse(At::Uplink, &error, Drop::IcmpWithoutFlow);
                    let right = complaint_to(router(near), ip(other), kind, &sent, 48);
                    assert_eq!(node.pass(At::Uplink, &right).packet[..6], MAC_B);
                }
            }
        }
    });
}

#[test]
fn errors_that_quote_too_little_are_of_no_flow() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in PAIRS {
            for sent in flows(near, far) {
                node.pass(At::PodA, &sent);
                let least = if ip(near).is_ipv4() { 28 } else { 48 };
                for quoted in [0, 12, 19, least - 1] {
                    let error = complaint(ip(far), Complaint::Unreachable, &sent, quoted);
                    node.refuse(At::Uplink, &by_tunnel(&error), Drop::IcmpWithoutFlow);
                }
                let error = complaint(ip(far), Complaint::Unreachable, &sent, least);
                node.pass(At::Uplink, &by_tunnel(&error));
            }
        }
    });
}

#[test]
fn errors_end_with_their_flow() {
    on_node(RoutingMode::Tunnel, |node| {
        let [sent, ..] = flows(POD_A, FAR);
        let error = by_tunnel(&complaint(ip(FAR), Complaint::Unreachable, &sent, 48));
        node.pass(At::PodA, &sent);
        node.pass(At::Uplink, &error);
        node.change_flows(|flow| flow.last = flow.last.wrapping_sub(flow.lifetime + 1));
        node.refuse(At::Uplink, &error, Drop::IcmpWithoutFlow);
        node.pass(At::PodA, &sent);
        node.apply(Change::EndpointGone(A));
        node.refuse(At::Uplink, &error, Drop::IcmpWithoutFlow);
    });
}
