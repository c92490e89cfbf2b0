//! Packets that are too big for their way, and what routers tell of it.

use super::{node::*, packets::*, run::*, shapes::*};
use std::net::IpAddr;
use tombolo_abi::{Drop, GATEWAY_MAC, PathMtu, ticks};
use tombolo_model::net::RoutingMode;

/// What the program answered its sender: right in every header, and its MTU.
fn answered(node: &mut Node, at: At, sent: &[u8], from: &str, kind: [u8; 2]) -> u32 {
    let reason = match kind {
        [3, 4] | [2, 0] => Drop::TooBig,
        _ => Drop::HopLimit,
    };
    let (outcome, found) = node.try_send(at, sent);
    assert_eq!(found, Some(reason));
    assert_eq!(outcome.verdict, REDIRECT, "answered");
    let answer = outcome.packet;
    assert!(is_well_formed(&answer), "{answer:02x?}");
    assert_eq!(answer[..6], sent[6..12], "back to where it came from");
    assert_eq!(answer[6..12], GATEWAY_MAC);
    assert_eq!(source_of(&answer), ip(from));
    assert_eq!(destination_of(&answer), source_of(sent));
    let header = if is_v4(sent) { 34 } else { 54 };
    assert_eq!(answer[header..header + 2], kind);
    assert!(checksum_is_right(&answer), "{answer:02x?}");
    let quoted = &answer[header + 8..];
    assert_eq!(quoted, &sent[14..14 + quoted.len()], "quoted as it was");
    u32::from_be_bytes(
        answer[header + 4..header + 8]
            .try_into()
            .expect("four bytes"),
    )
}

fn checksum_is_right(frame: &[u8]) -> bool {
    let (from, to) = (source_of(frame), destination_of(frame));
    if is_v4(frame) {
        fold(sum(&frame[34..])) == 0
    } else {
        transport_checksum(from, to, ICMPV6, &frame[54..]) == 0
    }
}

fn kind_of(to: &str) -> [u8; 2] {
    if ip(to).is_ipv4() { [3, 4] } else { [2, 0] }
}

fn large(from: &str, to: &str, size: usize) -> Vec<u8> {
    let headers = if ip(from).is_ipv4() { 28 } else { 48 };
    udp((ip(from), 4000), (ip(to), 53), &vec![7; size - headers])
}

fn large_tcp(from: &str, to: &str, size: usize) -> Vec<u8> {
    let headers = if ip(from).is_ipv4() { 40 } else { 60 };
    tcp(
        (ip(from), 4000),
        (ip(to), 80),
        ACK,
        &vec![7; size - headers],
    )
}

const WAYS: [(&str, &str, u32); 4] = [
    (POD_A, FAR, 1450),
    (POD_A_V6, FAR_V6, 1450),
    (POD_A, FARTHER, 1430),
    (POD_A_V6, FARTHER_V6, 1430),
];

#[test]
fn senders_are_told_the_right_size() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far, mtu) in WAYS {
            for make in [large, large_tcp] {
                let fits = make(near, far, mtu as usize);
                assert!(unwrap_vxlan(&node.pass(At::PodA, &fits).packet).is_some());
                let sent = make(near, far, mtu as usize + 1);
                assert_eq!(answered(node, At::PodA, &sent, far, kind_of(far)), mtu);
            }
        }
        let sent = large(ROUTER, FAR, 1500);
        assert_eq!(answered(node, At::Host, &sent, FAR, [3, 4]), 1450);
    });
    on_node(RoutingMode::Native, |node| {
        for (near, far) in [(POD_A, FAR), (POD_A_V6, FAR_V6)] {
            node.pass(At::PodA, &large(near, far, 1500));
            let sent = large(near, far, 1501);
            assert_eq!(answered(node, At::PodA, &sent, far, kind_of(far)), 1500);
        }
    });
}

/// The sender's stack finds its socket by what is quoted: ports too, whatever stands before them.
#[test]
fn what_is_quoted_reaches_the_ports() {
    on_node(RoutingMode::Tunnel, |node| {
        let v4 = with_options(&large(POD_A, FAR, 1500));
        answered(node, At::PodA, &v4, FAR, [3, 4]);
        let v6 = large(POD_A_V6, FAR_V6, 1500);
        let (head, _) = fragments(&v6, 1, 1440);
        for sent in [
            head,
            with_extensions(&v6, &[0, 60]),
            with_extensions(&v6, &[44]),
        ] {
            let (outcome, _) = node.try_send(At::PodA, &sent);
            let quoted = &outcome.packet[62..];
            assert!(quoted.len() >= 40 + 16 + 8, "{}", quoted.len());
            answered(node, At::PodA, &sent, FAR_V6, [2, 0]);
        }
    });
}

#[test]
fn what_may_be_cut_is_cut_by_the_kernel() {
    on_node(RoutingMode::Tunnel, |node| {
        for far in [FAR, FARTHER] {
            let mut sent = large(POD_A, far, 1500);
            sent[20] = 0;
            set_v4_checksum(&mut sent[14..]);
            let before = node.counters().fallback_sent;
            let outcome = node.pass(At::PodA, &sent);
            assert_eq!(outcome.verdict, REDIRECT);
            assert_eq!(node.counters().fallback_sent, before + 1);
            set_hops(&mut sent, 1);
            answered(node, At::PodA, &sent, ROUTER, [11, 0]);
            assert_eq!(node.counters().fallback_sent, before + 1);
        }
    });
    on_node(RoutingMode::Native, |node| {
        let mut sent = large(POD_A, FAR, 1501);
        sent[20] = 0;
        set_v4_checksum(&mut sent[14..]);
        assert_eq!(node.pass(At::PodA, &sent).verdict, NEXT);
    });
}

#[test]
fn nobody_is_told_of_errors_and_tails() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in [(POD_A, FAR), (POD_A_V6, FAR_V6)] {
            let received = large(far, near, 1400);
            node.pass(At::Uplink, &by_tunnel(&received));
            let mut error = complaint(ip(near), Complaint::Unreachable, &received, 48);
            set_hops(&mut error, 1);
            node.refuse(At::PodA, &error, Drop::HopLimit);
            let error = complaint(
                ip(near),
                Complaint::Unreachable,
                &large(far, near, 1490),
                1480,
            );
            node.refuse(At::PodA, &error, Drop::TooBig);
        }
        let mut sent = large(POD_A, FAR, 1400);
        sent[20] = 0;
        let (head, mut tail) = fragments(&sent, 1, 800);
        node.pass(At::PodA, &head);
        set_hops(&mut tail, 1);
        node.refuse(At::PodA, &tail, Drop::HopLimit);
    });
}

#[test]
fn the_last_hop_is_told_of_by_the_router() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far, router, kind) in [
            (POD_A, FAR, ROUTER, [11, 0]),
            (POD_A_V6, FAR_V6, ROUTER_V6, [3, 0]),
        ] {
            for mut sent in [
                tcp((ip(near), 4000), (ip(far), 80), SYN, b""),
                udp((ip(near), 4000), (ip(far), 33_434), b""),
                udp((ip(near), 4000), (ip(far), 33_434), &[7; 33]),
                echo(ip(near), ip(far), true, 7),
                large(near, far, 1400),
            ] {
                for hops in [0, 1] {
                    set_hops(&mut sent, hops);
                    assert_eq!(answered(node, At::PodA, &sent, router, kind), 0);
                }
                set_hops(&mut sent, 2);
                node.pass(At::PodA, &sent);
            }
        }
        let mut near = udp((ip(POD_A), 4000), (ip(POD_B), 53), b"");
        set_hops(&mut near, 1);
        assert_eq!(node.pass(At::PodA, &near).packet[..6], MAC_B, "one link");
    });
}

/// What a router on the way says of our tunnel packet to a node.
fn told(family: [&str; 2], port: u16, mtu: u32) -> Vec<u8> {
    let [own, peer] = family.map(ip);
    let mut outer = vxlan(own, peer, ID_A, &large(POD_A, FAR, 1400));
    let header = if own.is_ipv4() { 34 } else { 54 };
    outer[header + 2..header + 4].copy_from_slice(&port.to_be_bytes());
    let to: IpAddr = ip(if own.is_ipv4() { NODE } else { NODE_V6 });
    let router = ip(if own.is_ipv4() {
        "203.0.113.1"
    } else {
        "2001:db8::9"
    });
    let mut rest = mtu.to_be_bytes().to_vec();
    rest.extend(&outer[14..14 + 68]);
    let kind = if own.is_ipv4() { (3, 4) } else { (2, 0) };
    icmp(router, to, kind.0, kind.1, &rest)
}

#[test]
fn learnt_path_mtus_are_honoured() {
    on_node(RoutingMode::Tunnel, |node| {
        for (family, near, far, overhead) in [
            ([NODE, PEER], POD_A, FAR, 50),
            ([NODE, PEER], POD_A_V6, FAR_V6, 50),
            ([NODE_V6, PEER_V6], POD_A, FARTHER, 70),
            ([NODE_V6, PEER_V6], POD_A_V6, FARTHER_V6, 70),
        ] {
            let outcome = node.pass(At::Uplink, &told(family, 8472, 1400));
            assert_eq!(outcome.verdict, NEXT, "the kernel gets it too");
            let fits = large(near, far, 1400 - overhead);
            node.pass(At::PodA, &fits);
            let sent = large(near, far, 1401 - overhead);
            let mtu = answered(node, At::PodA, &sent, far, kind_of(far));
            assert_eq!(mtu, 1400 - overhead as u32);
        }
        assert_eq!(node.counters().path_mtu_learnt, 4);
        let old = PathMtu {
            mtu: 1400,
            since: node.flows()[0].1.last.wrapping_sub(ticks::PATH_MTU + 2),
        };
        node.set_path_mtu(1, old);
        node.pass(At::PodA, &large(POD_A, FAR, 1450));
    });
}

#[test]
fn forged_path_mtus_are_not_believed() {
    on_node(RoutingMode::Tunnel, |node| {
        for (family, port, mtu) in [
            (["192.0.2.7", PEER], 8472, 1400),
            ([NODE, "192.0.2.7"], 8472, 1400),
            ([NODE, PEER], 8473, 1400),
            ([NODE, PEER], 8472, 575),
            ([NODE, PEER], 8472, 0),
            ([NODE, PEER], 8472, 1500),
            (["fd00:30::7", PEER_V6], 8472, 1400),
            ([NODE_V6, "fd00:30::7"], 8472, 1400),
            ([NODE_V6, PEER_V6], 8473, 1400),
            ([NODE_V6, PEER_V6], 8472, 1279),
            ([NODE_V6, PEER_V6], 8472, 70_000),
        ] {
            node.pass(At::Uplink, &told(family, port, mtu));
            assert_eq!(
                node.counters().path_mtu_learnt,
                0,
                "{family:?} {port} {mtu}"
            );
        }
        for (near, far, mtu) in WAYS {
            node.pass(At::PodA, &large(near, far, mtu as usize));
        }
    });
}

/// No IPv6 sender goes below 1280 bytes or listens to whoever says less: such packets go in outer fragments.
#[test]
fn ipv6_senders_are_never_told_less_than_they_heed() {
    on_node(RoutingMode::Tunnel, |node| {
        node.pass(At::Uplink, &told([NODE, PEER], 8472, 1300));
        let sent = large(POD_A_V6, FAR_V6, 1281);
        assert_eq!(answered(node, At::PodA, &sent, FAR_V6, [2, 0]), 1280);
        let before = node.counters().fallback_sent;
        node.pass(At::PodA, &large(POD_A_V6, FAR_V6, 1280));
        assert_eq!(node.counters().fallback_sent, before + 1);
        assert_eq!(
            answered(node, At::PodA, &large(POD_A, FAR, 1280), FAR, [3, 4]),
            1250
        );
    });
}
