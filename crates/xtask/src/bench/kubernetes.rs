//! `cargo xtask bench kubernetes`: real API servers on `tombolo store`, and the same on etcd.
//!
//! A comparison first and a measurement second: what a client sees must be equal on both.

mod kubectl;
mod plane;
mod process;
mod report;
mod work;

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::plane::{Plane, Side};
use self::report::Report;
use super::report::Format;
use crate::process::binaries;
use crate::{lab, setup};

#[derive(Args)]
pub struct Options {
    /// How many objects are created
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// How often both sides are run, each first in turn
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Names of objects have five digits.
const OBJECTS_MAX: usize = 100_000;

pub fn run(options: &Options) -> Result<()> {
    if options.rounds == 0 || !(2..=OBJECTS_MAX).contains(&options.objects) {
        bail!("--rounds must be at least 1 and --objects between 2 and {OBJECTS_MAX}");
    }
    setup::run(setup::Extent::Running)?;
    setup::comparisons()?;
    lab::build()?;
    let program = binaries("release").join("tombolo");
    let mut report = Report::default();
    for round in 0..options.rounds {
        let mut sides = [Side::Tombolo, Side::Etcd];
        if round % 2 == 1 {
            sides.reverse();
        }
        let mut seen = Vec::new();
        for side in sides {
            eprintln!("round {}: {}", round + 1, side.name());
            let outcome = one(side, &program, options.objects)
                .with_context(|| format!("on {}", side.name()))?;
            for (measure, value) in outcome.measures {
                report.add(side, measure, value);
            }
            seen.push(outcome.seen);
        }
        differences(&seen[0], &seen[1])?;
    }
    eprintln!("what clients saw was the same on both sides");
    report.print(options.output);
    Ok(())
}

/// Everything from an empty store to an empty store, with processes of its own that end with it.
fn one(side: Side, program: &Path, objects: usize) -> Result<work::Outcome> {
    work::run(&Plane::start(side, program)?, objects)
}

fn differences(one: &[work::Seen], other: &[work::Seen]) -> Result<()> {
    let different: Vec<String> = one
        .iter()
        .zip(other)
        .filter(|(one, other)| one != other)
        .map(|(one, other)| {
            let (first, second) = (excerpt(&one.what), excerpt(&other.what));
            format!("{}:\n  {first}\n  {second}", one.step)
        })
        .collect();
    if one.len() != other.len() || !different.is_empty() {
        bail!("the two sides differ:\n{}", different.join("\n"));
    }
    Ok(())
}

/// Lists of all objects are long.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 2000;
    text.chars().take(SHOWN).collect()
}
