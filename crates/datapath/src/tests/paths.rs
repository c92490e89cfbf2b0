//! One packet for each way through the programs.

use super::{node::*, packets::*, run::*};
use crate::programs::{FROM_CONTAINER, FROM_HOST, FROM_OVERLAY, FROM_UPLINK};
use tombolo_abi::Drop;
use tombolo_model::net::RoutingMode;

#[test]
fn pod_to_pod_on_one_node() {
    on_node(RoutingMode::Tunnel, |node| {
        for (from, to) in [(POD_A, POD_B), (POD_A_V6, POD_B_V6)] {
            let packet = udp((ip(from), 4000), (ip(to), 53), b"hello");
            let outcome = node.run(FROM_CONTAINER, node.ifindex_a, &packet);
            assert_eq!(outcome.verdict, REDIRECT, "{:?}", node.datapath.counters());
            assert_eq!(outcome.packet[..6], MAC_B);
            assert_eq!(outcome.packet[6..12], tombolo_abi::GATEWAY_MAC);
            assert_eq!(
                outcome.packet[14..],
                packet[14..],
                "the packet itself is not touched"
            );
            let reply = udp((ip(to), 53), (ip(from), 4000), b"answer");
            let slow = node.slow_path();
            assert_eq!(
                node.run(FROM_CONTAINER, node.ifindex_b, &reply).verdict,
                REDIRECT
            );
            assert_eq!(
                node.slow_path(),
                slow,
                "the reply is answered by the flow table"
            );
        }
    });
}

#[test]
fn pod_to_another_node() {
    on_node(RoutingMode::Tunnel, |node| {
        for (from, to) in [(POD_A, FAR), (POD_A_V6, FAR_V6)] {
            let packet = tcp((ip(from), 4000), (ip(to), 80), SYN, b"");
            let outcome = node.run(FROM_CONTAINER, node.ifindex_a, &packet);
            assert_eq!(outcome.verdict, REDIRECT, "{:?}", node.datapath.counters());
            assert!(is_well_formed(&outcome.packet), "{:02x?}", outcome.packet);
            assert_eq!(outcome.packet[..6], [2, 0, 0, 0, 0, 9], "to the next hop");
            let (vni, inner) = unwrap_vxlan(&outcome.packet).expect("a tunnel packet");
            assert_eq!(vni, ID_A);
            assert!(is_well_formed(&inner));
            let mut hopped = packet[14..].to_vec();
            let hops = if ip(from).is_ipv4() { 8 } else { 7 };
            hopped[hops] -= 1;
            if ip(from).is_ipv4() {
                set_v4_checksum(&mut hopped);
            }
            assert_eq!(inner[14..], hopped);
        }
    });
}

#[test]
fn another_node_to_pod() {
    on_node(RoutingMode::Tunnel, |node| {
        for (outer, own) in [(PEER, NODE), (PEER_V6, NODE_V6)] {
            for (from, to) in [("10.2.9.9", POD_A), ("fd00:10:2:9::9", POD_A_V6)] {
                let inner = tcp((ip(from), 4000), (ip(to), 80), SYN, b"");
                let packet = vxlan(ip(outer), ip(own), ID_FAR, &inner);
                let outcome = node.run(FROM_UPLINK, node.uplink, &packet);
                assert_eq!(
                    outcome.verdict,
                    REDIRECT,
                    "{outer} {from}: {:?}",
                    node.datapath.counters()
                );
                assert_eq!(outcome.packet[..6], MAC_A);
                assert_eq!(outcome.packet[12..], inner[12..]);
            }
        }
    });
}

#[test]
fn a_claim_must_be_the_nodes_to_make() {
    on_node(RoutingMode::Tunnel, |node| {
        let inner = tcp((ip("10.2.9.9"), 4000), (ip(POD_A), 80), SYN, b"");
        for (peer, vni, reason) in [
            (PEER, ID_A, Drop::ForeignIdentity),
            (PEER, 3 << 16, Drop::ForeignIdentity),
            (PEER, 1, Drop::ForeignIdentity),
            ("192.0.2.77", ID_FAR, Drop::UnknownNode),
        ] {
            let before = node.drops(reason);
            let packet = vxlan(ip(peer), ip(NODE), vni, &inner);
            assert_eq!(node.run(FROM_UPLINK, node.uplink, &packet).verdict, SHOT);
            assert_eq!(node.drops(reason), before + 1, "{peer} {vni}");
        }
        let spoofed = tcp((ip(POD_B), 4000), (ip(POD_A), 80), SYN, b"");
        let packet = vxlan(ip(PEER), ip(NODE), ID_FAR, &spoofed);
        assert_eq!(node.run(FROM_UPLINK, node.uplink, &packet).verdict, SHOT);
        assert_eq!(node.drops(Drop::SpoofedSource), 1);
    });
}

#[test]
fn a_pod_speaks_for_itself_only() {
    on_node(RoutingMode::Tunnel, |node| {
        for from in [POD_B, "10.1.1.77", FAR, "198.51.100.1"] {
            let packet = udp((ip(from), 4000), (ip(FAR), 53), b"");
            assert_eq!(
                node.run(FROM_CONTAINER, node.ifindex_a, &packet).verdict,
                SHOT
            );
        }
        assert_eq!(node.drops(Drop::SpoofedSource), 4);
        // Not even on a flow that the table knows.
        let honest = udp((ip(POD_A), 4000), (ip(FAR), 53), b"");
        assert_eq!(
            node.run(FROM_CONTAINER, node.ifindex_a, &honest).verdict,
            REDIRECT
        );
        assert_eq!(
            node.run(FROM_CONTAINER, node.ifindex_b, &honest).verdict,
            SHOT
        );
        assert_eq!(node.drops(Drop::SpoofedSource), 5);
    });
}

#[test]
fn host_and_world() {
    on_node(RoutingMode::Tunnel, |node| {
        let to_host = tcp((ip(POD_A), 4000), (ip(NODE), 22), SYN, b"");
        let outcome = node.run(FROM_CONTAINER, node.ifindex_a, &to_host);
        assert_eq!(outcome.verdict, NEXT);
        assert_eq!(outcome.mark, tombolo_abi::mark::with_identity(ID_A));
        let to_world = tcp((ip(POD_A), 4000), (ip("198.51.100.1"), 443), SYN, b"");
        let outcome = node.run(FROM_CONTAINER, node.ifindex_a, &to_world);
        assert_eq!(outcome.verdict, NEXT);
        assert_eq!(
            outcome.mark & tombolo_abi::mark::MASQUERADE,
            tombolo_abi::mark::MASQUERADE
        );
        let net = node.net;
        let from_host = tcp((ip("10.1.1.1"), 4000), (ip(POD_A), 80), SYN, b"");
        assert_eq!(node.run(FROM_HOST, net, &from_host).verdict, REDIRECT);
        let from_world = tcp((ip("198.51.100.1"), 443), (ip(POD_A), 4000), SYN | ACK, b"");
        assert_eq!(node.run(FROM_HOST, net, &from_world).verdict, REDIRECT);
        let to_far = tcp((ip("10.1.1.1"), 4001), (ip(FAR), 80), SYN, b"");
        let outcome = node.run(FROM_HOST, net, &to_far);
        assert_eq!(outcome.verdict, REDIRECT);
        assert_eq!(
            unwrap_vxlan(&outcome.packet).map(|(vni, _)| vni),
            Some(6),
            "a node is a remote node to others"
        );
        let forged = tcp((ip(FAR), 4001), (ip(POD_A), 80), SYN, b"");
        assert_eq!(node.run(FROM_HOST, net, &forged).verdict, SHOT);
    });
}

#[test]
fn nobody_there_is_not_the_world() {
    on_node(RoutingMode::Tunnel, |node| {
        for to in ["10.1.1.99", "10.2.1.99"] {
            let packet = tcp((ip(POD_A), 4000), (ip(to), 80), SYN, b"");
            assert_eq!(
                node.run(FROM_CONTAINER, node.ifindex_a, &packet).verdict,
                SHOT
            );
        }
        assert_eq!(node.drops(Drop::NobodyThere), 2);
    });
}

#[test]
fn without_a_tunnel_the_source_tells() {
    on_node(RoutingMode::Native, |node| {
        for (from, to) in [(FAR, POD_A), (FAR_V6, POD_A_V6)] {
            let packet = tcp((ip(from), 80), (ip(to), 4000), SYN, b"");
            let outcome = node.run(FROM_UPLINK, node.uplink, &packet);
            assert_eq!(outcome.verdict, REDIRECT, "{:?}", node.datapath.counters());
            assert_eq!(outcome.packet[14..], packet[14..]);
            let back = tcp((ip(to), 4000), (ip(from), 80), SYN | ACK, b"");
            let outcome = node.run(FROM_CONTAINER, node.ifindex_a, &back);
            assert_eq!(outcome.verdict, REDIRECT);
            assert_eq!(outcome.packet.len(), back.len(), "no outer headers");
            assert_eq!(outcome.packet[..6], [2, 0, 0, 0, 0, 9]);
        }
    });
    on_node(RoutingMode::Tunnel, |node| {
        let packet = tcp((ip(FAR), 80), (ip(POD_A), 4000), SYN, b"");
        assert_eq!(node.run(FROM_UPLINK, node.uplink, &packet).verdict, SHOT);
        assert_eq!(node.drops(Drop::NotEncapsulated), 1);
        let world = tcp((ip("198.51.100.1"), 80), (ip(POD_A), 4000), SYN, b"");
        assert_eq!(node.run(FROM_UPLINK, node.uplink, &world).verdict, REDIRECT);
    });
}

#[test]
fn what_is_not_ours_is_not_touched() {
    on_node(RoutingMode::Tunnel, |node| {
        for packet in [
            tcp((ip("192.0.2.9"), 80), (ip(NODE), 22), SYN, b""),
            udp((ip("192.0.2.9"), 80), (ip(NODE), 8473), b"0123456789abcdef"),
            udp((ip("192.0.2.9"), 80), (ip(NODE), 8472), b"short"),
            tcp((ip("192.0.2.9"), 80), (ip("203.0.113.5"), 22), SYN, b""),
        ] {
            let outcome = node.run(FROM_UPLINK, node.uplink, &packet);
            assert_eq!(outcome.verdict, NEXT);
            assert_eq!(outcome.packet, packet);
        }
        // The node's own traffic by a tunnel is left to the kernel's device.
        let inner = tcp((ip("10.2.9.9"), 4000), (ip("10.1.1.1"), 80), SYN, b"");
        let packet = vxlan(ip(PEER), ip(NODE), ID_FAR, &inner);
        assert_eq!(node.run(FROM_UPLINK, node.uplink, &packet).verdict, NEXT);
        // Without tunnel metadata nobody vouches for a packet.
        assert_eq!(node.run(FROM_OVERLAY, node.uplink, &inner).verdict, SHOT);
    });
}
