//! What the programs cost the kernel's verifier, which gives up at a million steps.

use super::node::*;
use crate::programs::{self, ALL};
use tombolo_model::net::RoutingMode;

/// Room for kernels that follow more paths than this one.
const STEPS_MAX: u32 = 250_000;

#[test]
fn programs_are_far_from_the_verifiers_limit() {
    on_node(RoutingMode::Tunnel, |node| {
        for name in ALL {
            let program = programs::get(node.datapath.ebpf(), name).expect("the program");
            let info = program.info().expect("what the kernel knows of it");
            let steps = info.verified_instruction_count().expect("Linux 5.16");
            let size = info.size_translated().expect("a size") / 8;
            println!("{name}: {size} instructions, verified in {steps} steps");
            assert!(steps < STEPS_MAX, "{name}: {steps}");
        }
    });
}
