//! `cargo xtask bench mesh`: how state is shared between clusters, on our own store and on a real etcd.

mod cold;
mod copy;
mod network;
mod program;
mod propagation;
mod remote;
mod servers;
mod store;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use super::report::{Format, Measure, Report};
use crate::lab;
use crate::process::{cargo, is_root, run as execute};
use servers::Side;

#[derive(Args)]
pub struct Options {
    /// How often every side is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Length of one measurement of a rate
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_owned())]
    only: Vec<Part>,
    /// What holds the state
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Side::value_variants().to_owned())]
    sides: Vec<Side>,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One store: writes, watches, memory
    Store,
    /// kvstoremesh: copying ten clusters, following their changes
    Copy,
    /// From a pod that is ready in one cluster to the kernel of another cluster's node
    Propagation,
    /// An agent that starts in a mesh of a hundred clusters
    Cold,
    /// What an agent keeps of 250 clusters' 250,000 pods
    Remote,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Copy => "copy",
            Self::Propagation => "propagation",
            Self::Cold => "cold",
            Self::Remote => "remote",
        }
    }

    /// Agents load programs into the kernel.
    fn needs_root(self) -> bool {
        matches!(self, Self::Propagation | Self::Cold)
    }
}

/// What a part tells while it measures.
struct Results<'a> {
    round: u32,
    side: Side,
    seconds: f64,
    report: &'a mut Report,
}

impl Results<'_> {
    fn add(&mut self, measure: Measure, value: f64) {
        let side = self.side.name();
        let Measure { name, unit, .. } = measure;
        eprintln!("round {}: {side} {name} {value:.2} {unit}", self.round + 1);
        self.report.add(side, measure, value);
    }

    /// Microseconds for each event.
    fn add_cpu(&mut self, measure: Measure, cpu: Duration, events: f64) {
        self.add(measure, cpu.as_secs_f64() * 1e6 / events);
    }

    /// Says what takes a while.
    fn step(&self, what: &str) {
        eprintln!("round {}: {} {what}", self.round + 1, self.side.name());
    }
}

pub fn run(options: &Options) -> Result<()> {
    if options.rounds == 0 || !(0.5..=60.0).contains(&options.seconds) {
        bail!("--rounds must be at least 1 and --seconds between 0.5 and 60");
    }
    if let Some(part) = options.only.iter().find(|part| part.needs_root())
        && !is_root()
    {
        bail!(
            "{} starts agents, which load programs into the kernel: run this as root, or with --only store,copy",
            part.name()
        );
    }
    lab::build()?;
    // Together, so that what both need is built once.
    let packages = [
        "--package",
        "tombolo-agent",
        "--package",
        "tombolo-clustermesh",
    ];
    let examples = ["--example", "load", "--example", "remote_memory"];
    execute(cargo(&["build", "--locked", "--release"]).args(packages.iter().chain(&examples)))?;
    let place = servers::Place::new()?;
    let mut report = Report::new(&["etcd"]);
    for round in 0..options.rounds {
        for part in &options.only {
            for index in 0..options.sides.len() {
                // Another side begins each round, so that none always follows the same neighbour.
                let side = options.sides[(index + round as usize) % options.sides.len()];
                let mut results = Results {
                    round,
                    side,
                    seconds: options.seconds,
                    report: &mut report,
                };
                let measured = match part {
                    Part::Store => store::run(&place, &mut results),
                    Part::Copy => copy::run(&place, &mut results),
                    Part::Propagation => network::inside(|| propagation::run(&place, &mut results)),
                    Part::Cold => network::inside(|| cold::run(&place, &mut results)),
                    Part::Remote => remote::run(&mut results),
                };
                measured.with_context(|| {
                    format!("measuring {} of side {}", part.name(), side.name())
                })?;
            }
        }
    }
    report.print(options.output);
    Ok(())
}
