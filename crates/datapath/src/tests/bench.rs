//! How long the kernel takes for one run of a program; printed, and bounded only against gross loss.

use super::{node::*, packets::*};
use crate::programs::{FROM_CONTAINER, FROM_UPLINK};
use tombolo_model::net::RoutingMode;

/// Slow machines are slow; what is slower than this has lost the flow table.
const KNOWN_NS_MAX: u128 = 2_000;

#[test]
fn known_flows_cost_little() {
    on_node(RoutingMode::Tunnel, |node| {
        let to_far = tcp((ip(POD_A), 40_000), (ip(FAR), 80), ACK, b"x");
        let to_near = tcp((ip(POD_A), 40_001), (ip(POD_B), 80), ACK, b"x");
        let from_far = vxlan(
            ip(PEER),
            ip(NODE),
            ID_FAR,
            &tcp((ip(FAR), 80), (ip(POD_A), 40_002), ACK, b"x"),
        );
        for (name, program, ifindex, packet) in [
            (
                "pod to another node, send",
                FROM_CONTAINER,
                node.ifindex_a,
                to_far,
            ),
            (
                "pod to pod on one node",
                FROM_CONTAINER,
                node.ifindex_a,
                to_near,
            ),
            (
                "from another node, receive",
                FROM_UPLINK,
                node.uplink,
                from_far,
            ),
        ] {
            // The kernel hands the changed packet to the next run, so only the first of a series is the one that was meant.
            let times: Vec<u128> = (0..2_000)
                .map(|_| node.run_with(program, ifindex, &packet, 0, 1).nanoseconds)
                .collect();
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let median = sorted[sorted.len() / 2];
            println!(
                "{name}: first {} ns, then median {median} ns, least {} ns",
                times[0], sorted[0]
            );
            assert!(
                median < KNOWN_NS_MAX,
                "{name}: {median} ns on {}",
                node.label()
            );
        }
    });
}
