//! How long the kernel takes for one run of a program; printed, and bounded only against gross loss.

use super::{node::*, packets::*, run::*, shapes::*};
use tombolo_model::net::RoutingMode;

/// Slow machines are slow; what is slower than this has lost the flow table.
const KNOWN_NS_MAX: u128 = 2_000;
/// The kernel hands the changed packet to the next run. What takes a hop off it lasts as long as it has hops.
const HOPS: u32 = 250;

#[test]
fn known_flows_by_tunnel_cost_little() {
    on_node(RoutingMode::Tunnel, |node| {
        let to_far = tcp((ip(POD_A), 40_000), (ip(FAR), 80), ACK, b"x");
        let to_near = tcp((ip(POD_A), 40_001), (ip(POD_B), 80), ACK, b"x");
        let from_far = by_tunnel(&tcp((ip(FAR), 80), (ip(POD_A), 40_002), ACK, b"x"));
        // Wrapping and unwrapping change the packet's shape, so each run is a call of its own.
        measure(node, "pod to another node, tunnel", At::PodA, &to_far, 1);
        measure(node, "from another node, tunnel", At::Uplink, &from_far, 1);
        measure(node, "pod to pod on one node", At::PodA, &to_near, 10_000);
    });
}

#[test]
fn known_flows_without_a_tunnel_cost_little() {
    on_node(RoutingMode::Native, |node| {
        let mut to_far = tcp((ip(POD_A), 40_000), (ip(FAR), 80), ACK, b"x");
        to_far[22] = 255;
        set_v4_checksum(&mut to_far[14..]);
        let mut to_far_v6 = tcp((ip(POD_A_V6), 40_000), (ip(FAR_V6), 80), ACK, b"x");
        to_far_v6[21] = 255;
        let from_far = tcp((ip(FAR), 80), (ip(POD_A), 40_002), ACK, b"x");
        measure(node, "pod to another node, native", At::PodA, &to_far, HOPS);
        measure(node, "the same by IPv6", At::PodA, &to_far_v6, HOPS);
        measure(
            node,
            "from another node, native",
            At::Uplink,
            &from_far,
            10_000,
        );
    });
}

/// Prints and bounds the median of the average times of `repeat` runs.
fn measure(node: &mut Node, name: &str, at: At, packet: &[u8], repeat: u32) {
    let once = node.send(at, packet).nanoseconds;
    let beside = Beside {
        repeat,
        ..Beside::default()
    };
    let mut times: Vec<u128> = (0..1_000_000 / 500 / repeat.clamp(1, 100))
        .map(|_| node.send_beside(at, packet, beside).nanoseconds)
        .collect();
    times.sort_unstable();
    let (median, least) = (times[times.len() / 2], times[0]);
    println!("{name}: first {once} ns, then median {median} ns, least {least} ns");
    assert!(
        median < KNOWN_NS_MAX,
        "{name}: {median} ns on {}",
        node.label()
    );
}
