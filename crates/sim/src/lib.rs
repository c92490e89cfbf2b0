//! Many clusters in one process on the production code of records, mesh and store: under one seeded clock, over a seeded
//! network, with seeded faults, and judged after each step.
//!
//! One thread, no I/O and no clock: a seed says all that happens, so a run that goes wrong can be had again. It decides
//! nothing that the production code decides; it carries letters between its parts.

mod agent;
mod end;
mod exporter;
mod fault;
mod heard;
mod judge;
mod kernel;
mod mesh;
mod net;
mod planted;
mod process;
mod queue;
mod reading;
mod server;
mod shape;
mod sim;
mod sweep;
mod trace;
mod truth;
mod view;
mod writing;

pub use planted::Planted;
pub use sweep::{Bad, Swept, sweep};

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub seed: u64,
    /// The same for two runs in which the same happened.
    pub hash: u64,
    /// What was wrong first, and when.
    pub violation: Option<String>,
    /// What has happened, if it was to be recorded.
    pub trace: Vec<String>,
    pub events: u64,
    /// How often something was judged.
    pub judged: u64,
    /// Until all knew the truth, with the faults before.
    pub virtual_seconds: u64,
}

/// Runs one seed to its end.
pub fn run(seed: u64, planted: Option<Planted>, recorded: bool) -> Outcome {
    let mut sim = sim::Sim::new(seed, planted, recorded);
    sim.run();
    let now = sim.net.now;
    let violation = sim.judge.violation();
    Outcome {
        seed,
        hash: sim.net.trace.hash(),
        violation: violation.map(|text| format!("after {:.6} s: {text}", now.as_secs_f64())),
        events: sim.events,
        judged: sim.judge.judged,
        virtual_seconds: now.as_secs(),
        trace: sim.net.trace.into_lines(),
    }
}
