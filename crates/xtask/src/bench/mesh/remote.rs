//! What an agent needs of memory for the state of other clusters, kernel maps apart.
//!
//! The agent's own path from a page of a store to a change for the kernel, which a counter stands in for; no network.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::Results;
use super::program::{number, words};
use super::servers::Side;
use crate::bench::report::{Goal, Measure};
use crate::process::{answer, binaries};

const CLUSTERS: u32 = 250;
const PODS: u32 = 1000;

const LIVE: Measure = Measure::new("remote_live", "B");
const RESIDENT: Measure = Measure::new("remote_resident", "B").with(Goal::AtMost(200.0));

pub fn run(results: &mut Results) -> Result<()> {
    // No store takes part in it.
    if results.side != Side::Tombolo {
        return Ok(());
    }
    let mut program = Command::new(binaries("release").join("examples/remote_memory"));
    program.args(words![
        "--clusters",
        CLUSTERS,
        "--endpoints",
        PODS,
        "--json"
    ]);
    let told = answer(&mut program).context("running the example `remote_memory`")?;
    let told = serde_json::from_str(told.lines().last().unwrap_or_default())?;
    results.add(LIVE, number(&told, "live")?);
    results.add(RESIDENT, number(&told, "resident")?);
    Ok(())
}
