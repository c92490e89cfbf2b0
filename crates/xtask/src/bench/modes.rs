//! Both ways to mesh clusters: what each costs the stores, and the wires between clusters.
//!
//! Three clusters of a bare lab, with real stores, exports and mirrors. One agent of each cluster is real; the others are
//! readers that are to a store what agents are, a hundred in a process.

mod lab;
mod objects;

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;

use super::report::Format;
use crate::process::{cargo, run as execute};
use lab::{Counters, Lab, Readers};
use objects::Pods;

pub const CLUSTERS: u8 = 3;
const MODES: [&str; 2] = ["direct", "kvstoremesh"];
/// Changes are written so often in a second.
const BEATS: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Args)]
pub struct Options {
    /// Agents of each cluster
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=200))]
    agents: u32,
    /// Pods of each agent's node
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    pods: u32,
    /// Changes of pods in a second, in each cluster; a multiple of ten
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(10..=200))]
    rate: u32,
    /// Seconds that are measured, at rest and under changes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=120))]
    seconds: u32,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What one mode did, in the order of the report.
type Figures = Vec<(String, f64)>;

pub fn run(options: &Options) -> Result<()> {
    if !options.rate.is_multiple_of(BEATS) {
        bail!("--rate {}: give a multiple of {BEATS}", options.rate);
    }
    crate::lab::build()?;
    let example = ["--package", "tombolo-control", "--example", "readers"];
    execute(cargo(&["build", "--locked", "--release"]).args(example))?;
    let mut columns = Vec::new();
    for mode in MODES {
        eprintln!("{mode}: {CLUSTERS} clusters × {} agents", options.agents);
        columns.push(measure(options, mode).with_context(|| format!("measuring {mode}"))?);
    }
    print(options, &columns);
    Ok(())
}

fn measure(options: &Options, mode: &str) -> Result<Figures> {
    let lab = Lab::up(mode)?;
    let mut pods = Pods::new(options.agents, options.pods);
    for cluster in 1..=CLUSTERS {
        pods.write_all(&lab, cluster)?;
    }
    lab.wait_for_records(pods.records(), PATIENCE)?;

    let (begin, before) = (Instant::now(), lab.counters()?);
    let mut readers = lab.start_readers(options.agents - 1)?;
    for readers in &mut readers {
        readers.wait_until_ready()?;
    }
    let started = Passed::since(begin, &before, &lab)?;
    let connections = lab.connections()?;

    let (begin, before) = (Instant::now(), lab.counters()?);
    sleep(Duration::from_secs(options.seconds.into()));
    let rested = Passed::since(begin, &before, &lab)?;

    let (begin, before) = (Instant::now(), lab.counters()?);
    let heard = change(options, &lab, &mut pods, &mut readers)?;
    let loaded = Passed::since(begin, &before, &lab)?;
    let memory = lab.store_megabytes()?;

    let stores = f64::from(CLUSTERS);
    let agents = options.agents * u32::from(CLUSTERS);
    let rate = options.rate * u32::from(CLUSTERS);
    let per_second = |passed: &Passed, bytes: u64| bytes as f64 / 1e3 / passed.seconds;
    let percent = |seconds: f64| seconds / loaded.seconds / stores * 100.0;
    let mut figures = Figures::new();
    let mut figure = |name: &str, value: f64| figures.push((name.to_owned(), value));
    figure(
        "connections to a store, own cluster",
        connections.own as f64 / stores,
    );
    figure(
        "connections to a store, other clusters",
        connections.others as f64 / stores,
    );
    figure(&format!("start of {agents} agents, s"), started.seconds);
    figure(
        "  between clusters, MB",
        started.counters.between as f64 / 1e6,
    );
    figure(
        "  sent by a store, MB",
        started.counters.sent as f64 / 1e6 / stores,
    );
    figure(
        "  processor time of a store, s",
        started.counters.store / stores,
    );
    figure(
        "at rest, between clusters, kB/s",
        per_second(&rested, rested.counters.between),
    );
    figure(
        &format!("{rate} changes/s: heard by agents, 1/s"),
        heard as f64 / loaded.seconds,
    );
    figure(
        "  between clusters, kB/s",
        per_second(&loaded, loaded.counters.between),
    );
    figure(
        "  sent by a store, kB/s",
        per_second(&loaded, loaded.counters.sent) / stores,
    );
    figure("  store, % of a core", percent(loaded.counters.store));
    figure(
        "  kvstoremesh, % of a core",
        percent(loaded.counters.kvstoremesh),
    );
    figure("memory of a store, MB", memory / stores);
    Ok(figures)
}

/// Changes pods at the rate, until all readers have heard of all changes; how many they heard.
fn change(options: &Options, lab: &Lab, pods: &mut Pods, readers: &mut [Readers]) -> Result<u64> {
    let mut facts = || -> Result<u64> { readers.iter_mut().map(Readers::facts).sum() };
    let before = facts()?;
    let beats = options.seconds * BEATS;
    let begin = Instant::now();
    for beat in 0..beats {
        for cluster in 1..=CLUSTERS {
            pods.change(lab, cluster, options.rate / BEATS)?;
        }
        sleep(
            (begin + Duration::from_secs(1) / BEATS * (beat + 1))
                .saturating_duration_since(Instant::now()),
        );
    }
    let changes = u64::from(options.rate) * u64::from(options.seconds) * u64::from(CLUSTERS);
    let expected = changes * u64::from(options.agents - 1) * u64::from(CLUSTERS);
    loop {
        let heard = facts()? - before;
        if heard >= expected {
            return Ok(heard);
        }
        if begin.elapsed() > PATIENCE {
            bail!("agents heard {heard} of {expected} changes within {PATIENCE:?}");
        }
        sleep(Duration::from_millis(10));
    }
}

/// What was counted in a while.
struct Passed {
    seconds: f64,
    counters: Counters,
}

impl Passed {
    fn since(begin: Instant, before: &Counters, lab: &Lab) -> Result<Passed> {
        let counters = lab.counters()?.since(before);
        Ok(Passed {
            seconds: begin.elapsed().as_secs_f64(),
            counters,
        })
    }
}

fn print(options: &Options, columns: &[Figures]) {
    let rows = columns[0].iter().enumerate();
    match options.output {
        Format::Table => {
            println!("{:<44}{:>14}{:>14}", "", MODES[0], MODES[1]);
            for (index, (name, _)) in rows {
                print!("{name:<44}");
                for column in columns {
                    print!("{:>14}", short(column[index].1));
                }
                println!();
            }
        }
        Format::Json => {
            let all = rows.map(|(index, (name, _))| {
                let values = MODES.iter().zip(columns);
                let values =
                    values.map(|(mode, column)| (mode.to_string(), json!(column[index].1)));
                json!({"measure": name.trim(), "values": values.collect::<serde_json::Map<_, _>>()})
            });
            let lines: Vec<String> = all.map(|line| line.to_string()).collect();
            println!("[\n{}\n]", lines.join(",\n"));
        }
    }
}

/// Three digits are more than such a figure is good for.
fn short(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
