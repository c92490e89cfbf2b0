//! An agent that starts in a mesh of a hundred clusters: until the kernel knows every pod, and what memory that takes.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Results;
use super::program::{Load, number, words};
use super::servers::{Agent, OWN, Place, Store};
use crate::bench::report::{Goal, Measure};

const CLUSTERS: u32 = 100;
const PODS: u32 = 5000;
const NODES: u32 = 50;

const COLD: Measure = Measure::new("cold_start", "s").with(Goal::AtMost(10.0));
const COLD_CPU: Measure = Measure::new("cold_cpu", "s of CPU");
const COLD_MEMORY: Measure = Measure::new("cold_memory", "MB");
const COLD_MEMORY_PEAK: Measure = Measure::new("cold_memory_peak", "MB");

pub fn run(place: &Place, results: &mut Results) -> Result<()> {
    let own = Store::start(place, results.side, OWN)?;
    results.step(&format!("gets {CLUSTERS} clusters of {PODS} pods"));
    let size = words![
        "--clusters",
        CLUSTERS,
        "--addresses",
        PODS,
        "--nodes",
        NODES
    ];
    let file = own.file();
    let mirror = words!["mirror", "--store", file.display()];
    Load::run(&[&mirror[..], &size].concat())?;
    let copies = place.folder("copies")?;
    for id in 1..=CLUSTERS {
        fs::write(copies.join(format!("c{id}")), own.local_file())?;
    }
    let log = place.folder("logs")?.join("agent");
    let begun = Instant::now();
    let agent = Agent::start(&copies, &log)?;
    let pins = agent.pins();
    let reached = words!["reached", "--pins", pins.display()];
    let (ended, told) = Load::start(&[&reached[..], &size].concat())?.next()?;
    let counting = Duration::from_secs_f64(number(&told, "counting_s")?);
    results.add(COLD, (ended - begun - counting).as_secs_f64());
    results.add(COLD_CPU, agent.program.cpu()?.as_secs_f64());
    results.add(COLD_MEMORY, agent.program.memory()?);
    results.add(COLD_MEMORY_PEAK, agent.program.memory_peak()?);
    Ok(())
}
