//! `cargo xtask bench datapath`: which sides, which measures, in which order.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use super::load::{self, Measure};
use super::report::{self, Format, Report};
use super::topology::{Network, Side};
use crate::lab;
use crate::process::is_root;
use crate::setup;

#[derive(Args)]
pub struct Options {
    /// How often every side is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of one measurement, after a tenth of it for warming up
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// What to compare
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Side::value_variants().to_owned())]
    sides: Vec<Side>,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Measure::value_variants().to_owned())]
    measures: Vec<Measure>,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub fn run(options: &Options) -> Result<()> {
    if !is_root() {
        bail!("benchmarks make network namespaces: run this as root");
    }
    if options.rounds == 0 || !(0.05..=60.0).contains(&options.seconds) {
        bail!("--rounds must be at least 1 and --seconds between 0.05 and 60");
    }
    setup::run(setup::Extent::Running)?;
    if options.sides.iter().any(|side| side.is_ours()) {
        lab::build()?;
    }
    let networks: Vec<_> = options
        .sides
        .iter()
        .map(|side| Network::build(*side).with_context(|| format!("building side {}", side.name())))
        .collect::<Result<_>>()?;

    let mut report = Report::new(&["vxlan", "host"]);
    let length = Duration::from_secs_f64(options.seconds);
    for round in 0..options.rounds {
        for measure in &options.measures {
            for index in 0..networks.len() {
                // Another side begins each round, so that none always follows the same neighbour.
                let network = &networks[(index + round as usize) % networks.len()];
                let side = network.side.name();
                let value = load::run(*measure, &network.ends, length)
                    .with_context(|| format!("measuring {} of side {side}", measure.name()))?;
                eprintln!(
                    "round {}: {side} {} {value:.2} {}",
                    round + 1,
                    measure.name(),
                    measure.unit()
                );
                let measure = report::Measure::new(measure.name(), measure.unit());
                report.add(side, measure, value);
            }
        }
    }
    drop(networks);
    report.print(options.output);
    Ok(())
}
