//! Packets that are cut into segments later, which only the kernel's devices can wrap and unwrap in some cases.

use super::{node::*, packets::*, run::*, shapes::*};
use tombolo_model::net::RoutingMode;

fn with_segments(gso_size: u32) -> Beside {
    Beside {
        gso_size,
        ..Beside::default()
    }
}

/// The kernel gives no room to a packet whose kind of segments it does not know, as to one that has tunnel state already.
#[test]
fn what_the_kernel_refuses_to_wrap_goes_by_its_device() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in [(POD_A, FAR), (POD_A_V6, FAR_V6), (POD_A, FARTHER)] {
            let packet = udp((ip(near), 4000), (ip(far), 53), &[7; 3000]);
            let before = node.counters();
            let outcome = node.send_beside(At::PodA, &packet, with_segments(1200));
            assert_eq!(outcome.verdict, REDIRECT);
            assert_eq!(outcome.packet.len(), packet.len(), "without outer headers");
            let after = node.counters();
            assert_eq!(after.fallback_sent, before.fallback_sent + 1);
            assert_eq!(after.drops, before.drops);
        }
    });
}

#[test]
fn large_datagrams_are_unwrapped_by_the_kernel() {
    on_node(RoutingMode::Tunnel, |node| {
        for (near, far) in [(POD_A, FAR), (POD_A_V6, FAR_V6)] {
            let packet = by_tunnel(&udp((ip(far), 4000), (ip(near), 53), &[7; 3000]));
            let before = node.counters();
            let outcome = node.send_beside(At::Uplink, &packet, with_segments(1200));
            assert_eq!(outcome.verdict, NEXT);
            assert_eq!(outcome.packet, packet, "not touched");
            let after = node.counters();
            assert_eq!(after.fallback_received, before.fallback_received + 1);
            assert_eq!(node.flows().len(), 0, "not judged here");
        }
    });
}

#[test]
fn the_segments_count_and_not_the_whole() {
    on_node(RoutingMode::Native, |node| {
        let headers = |near| if ip(near).is_ipv4() { 40 } else { 60 };
        for (near, far) in [(POD_A, FAR), (POD_A_V6, FAR_V6)] {
            let packet = tcp((ip(near), 4000), (ip(far), 80), ACK, &[7; 3000]);
            let fits = 1500 - headers(near);
            for _ in 0..2 {
                let outcome = node.send_beside(At::PodA, &packet, with_segments(fits));
                assert_eq!(outcome.packet.len(), packet.len());
            }
            assert_eq!(
                node.drops(tombolo_abi::Drop::TooBig),
                u64::from(!ip(near).is_ipv4())
            );
            let outcome = node.send_beside(At::PodA, &packet, with_segments(fits + 1));
            assert!(outcome.packet.len() < 200, "the sender is told");
        }
    });
}
