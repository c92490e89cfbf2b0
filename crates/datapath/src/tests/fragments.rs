//! Packets in pieces, and packets whose headers are longer than usual.

use super::{node::*, packets::*, run::*, shapes::*};
use tombolo_abi::Drop;
use tombolo_model::{
    change::{Change, Direction, PolicyEntry},
    net::RoutingMode,
};

const PAIRS: [(&str, &str); 2] = [(POD_A, FAR), (POD_A_V6, FAR_V6)];

fn datagram(from: &str, to: &str) -> Vec<u8> {
    udp((ip(from), 4000), (ip(to), 53), &[7; 100])
}

fn answer(from: &str, to: &str) -> Vec<u8> {
    udp((ip(from), 53), (ip(to), 4000), &[7; 100])
}

#[test]
fn tails_follow_their_heads() {
    on_node(RoutingMode::Tunnel, |node| {
        let only_out = vec![PolicyEntry::allow_all(Direction::Egress)];
        node.apply(Change::PolicySet(A, only_out));
        for (near, far) in PAIRS {
            let (head, tail) = fragments(&datagram(near, far), 1, 16);
            node.refuse(At::PodA, &tail, Drop::FragmentWithoutHead);
            for piece in [&head, &tail] {
                let outcome = node.pass(At::PodA, piece);
                assert_eq!(outcome.verdict, REDIRECT);
                let (vni, inner) = unwrap_vxlan(&outcome.packet).expect("a tunnel packet");
                assert_eq!(vni, ID_A);
                assert!(is_well_formed(&inner));
            }
            let (head, tail) = fragments(&answer(far, near), 2, 16);
            let (head, tail) = (by_tunnel(&head), by_tunnel(&tail));
            node.refuse(At::Uplink, &tail, Drop::FragmentWithoutHead);
            for piece in [&head, &tail] {
                let outcome = node.pass(At::Uplink, piece);
                assert_eq!(outcome.packet[..6], MAC_A, "answers need no permission");
            }
            assert!(node.is_quick(At::Uplink, &by_tunnel(&answer(far, near))));
        }
        assert_eq!(node.flows().len(), 2);
    });
}

#[test]
fn tails_without_a_tunnel_follow_too() {
    on_node(RoutingMode::Native, |node| {
        for (near, far) in PAIRS {
            let (head, tail) = fragments(&datagram(near, far), 1, 16);
            node.refuse(At::PodA, &tail, Drop::FragmentWithoutHead);
            node.pass(At::PodA, &head);
            assert_eq!(node.pass(At::PodA, &tail).packet.len(), tail.len());
            let (head, tail) = fragments(&answer(far, near), 2, 16);
            node.refuse(At::Uplink, &tail, Drop::FragmentWithoutHead);
            node.pass(At::Uplink, &head);
            assert_eq!(node.pass(At::Uplink, &tail).packet[..6], MAC_A);
        }
    });
}

#[test]
fn tails_are_told_apart() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in PAIRS {
            node.pass(At::PodA, &fragments(&datagram(near, far), 1, 16).0);
            let (_, other_id) = fragments(&datagram(near, far), 2, 16);
            node.refuse(At::PodA, &other_id, Drop::FragmentWithoutHead);
            let elsewhere = if ip(near).is_ipv4() {
                FARTHER
            } else {
                FARTHER_V6
            };
            let (_, other_end) = fragments(&datagram(near, elsewhere), 1, 16);
            node.refuse(At::PodA, &other_end, Drop::FragmentWithoutHead);
        }
    });
}

/// A head that was refused lends its ports to nobody's tail.
#[test]
fn forged_heads_are_not_remembered() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in PAIRS {
            let (head, tail) = fragments(&datagram(near, far), 1, 16);
            node.refuse(At::PodB, &head, Drop::SpoofedSource);
            node.refuse(At::PodA, &tail, Drop::FragmentWithoutHead);
            let (head, tail) = fragments(&answer(far, near), 1, 16);
            let forged = vxlan(ip("192.0.2.77"), ip(NODE), ID_FAR, &head);
            node.refuse(At::Uplink, &forged, Drop::UnknownNode);
            node.refuse(At::Uplink, &by_tunnel(&tail), Drop::FragmentWithoutHead);
        }
    });
}

#[test]
fn tails_are_judged_like_heads() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in PAIRS {
            let (head, tail) = fragments(&datagram(near, far), 1, 16);
            node.pass(At::PodA, &head);
            node.apply(Change::PolicySet(A, vec![]));
            node.refuse(At::PodA, &tail, Drop::EgressDenied);
            node.allow_all(A);
        }
    });
}

#[test]
fn a_head_must_have_its_ports() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in PAIRS {
            let packet = tcp((ip(near), 4000), (ip(far), 80), SYN, &[0; 64]);
            let (head, _) = fragments(&packet, 1, 8);
            node.refuse(At::PodA, &head, Drop::Malformed);
        }
    });
}

#[test]
fn options_are_stepped_over() {
    on_node(RoutingMode::Tunnel, |node| {
        let packet = with_options(&datagram(POD_A, FAR));
        node.pass(At::PodA, &packet);
        assert!(node.is_quick(At::PodA, &datagram(POD_A, FAR)), "one flow");
        let mut broken = packet.clone();
        broken[25] ^= 1;
        node.refuse(At::PodA, &broken, Drop::Malformed);
        let back = by_tunnel(&with_options(&answer(FAR, POD_A)));
        assert_eq!(node.pass(At::Uplink, &back).packet[14], 0x46);
        let (head, tail) = fragments(&datagram(POD_A, FAR), 9, 16);
        node.pass(At::PodA, &with_options(&head));
        node.pass(At::PodA, &with_options(&tail));
    });
}

#[test]
fn extension_headers_are_stepped_over() {
    on_node(RoutingMode::Tunnel, |node| {
        let chains: [&[u8]; 9] = [
            &[0],
            &[43],
            &[60],
            &[51],
            // An atomic fragment is no fragment.
            &[44],
            &[0, 60, 43, 51],
            &[0, 60, 43, 44, 51, 60],
            &[60; 7],
            &[60; 8],
        ];
        node.pass(At::PodA, &datagram(POD_A_V6, FAR_V6));
        for chain in chains {
            let out = with_extensions(&datagram(POD_A_V6, FAR_V6), chain);
            node.pass(At::PodA, &out);
            let back = by_tunnel(&with_extensions(&answer(FAR_V6, POD_A_V6), chain));
            assert_eq!(node.pass(At::Uplink, &back).packet[..6], MAC_A);
            assert_eq!(node.flows().len(), 1, "{chain:?}");
            let mut short = out[..out.len() - 108].to_vec();
            let length = short.len() as u16 - 54;
            short[18..20].copy_from_slice(&length.to_be_bytes());
            node.refuse(At::PodA, &short, Drop::Malformed);
        }
        let nine = with_extensions(&datagram(POD_A_V6, FAR_V6), &[60; 9]);
        node.refuse(At::PodA, &nine, Drop::ExtensionHeaders);
        node.refuse(At::Uplink, &by_tunnel(&nine), Drop::ExtensionHeaders);
    });
}

/// What a header says of lengths holds for the packet, not for what is behind it.
#[test]
fn headers_end_within_the_packet() {
    on_node(RoutingMode::Tunnel, |node| {
        let packet = datagram(POD_A_V6, FAR_V6);
        let (_, mut tail) = fragments(&packet, 1, 16);
        node.pass(At::PodA, &fragments(&packet, 1, 16).0);
        tail[18..20].copy_from_slice(&4u16.to_be_bytes());
        node.refuse(At::PodA, &tail, Drop::Malformed);
        for near in [POD_A, POD_A_V6] {
            let far = if ip(near).is_ipv4() { FAR } else { FAR_V6 };
            let length = if ip(near).is_ipv4() { 38 } else { 58 };
            for wrong in [0u16, 7, 107, 109] {
                let mut packet = datagram(near, far);
                packet[length..length + 2].copy_from_slice(&wrong.to_be_bytes());
                node.refuse(At::PodA, &packet, Drop::Malformed);
            }
        }
    });
}
