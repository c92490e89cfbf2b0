//! kvstoremesh: copying ten clusters into a store, then following what happens in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use super::Results;
use super::program::{Load, Program, number, words};
use super::servers::{OWN, Place, Store, kvstoremesh};
use crate::bench::report::{Goal, Measure};

const CLUSTERS: u32 = 10;
/// 5,000 addresses, 500 identities, 56 nodes, 100 services.
const RECORDS: u32 = 5656;
/// Kinds that a cluster without exported services and endpoint slices has.
const CANARIES: u32 = 4;
/// Events a second of a large mesh on a busy day.
const PACE: u32 = 2000;
/// Changes that writers put into one transaction when they write as fast as they can.
const BATCH: u32 = 100;
/// Pods that one measurement replaces over and over; the next one takes others.
const PODS: u32 = 2500;

const COPY: Measure = Measure::new("copy", "s").with(Goal::AtMost(1.5));
const COPY_CPU: Measure = Measure::new("copy_cpu", "s of CPU");
const COPY_MEMORY: Measure = Measure::new("copy_memory", "MB").with(Goal::AtMost(60.0));
const FOLLOW_CPU: Measure = Measure::new("follow_cpu", "µs of CPU").with(Goal::AtMost(15.0));
const FOLLOW_P99: Measure = Measure::new("follow_p99", "ms");
const CHURN: Measure = Measure::new("churn", "events/s").with(Goal::AtLeast(50_000.0));
const CHURN_CPU: Measure = Measure::new("churn_cpu", "µs of CPU");

pub fn run(place: &Place, results: &mut Results) -> Result<()> {
    let own = Store::start(place, results.side, OWN)?;
    let folder = place.folder("peers")?;
    let mut peers = Vec::new();
    for id in 1..=CLUSTERS {
        let peer = Store::start(place, results.side, &format!("c{id}"))?;
        let arguments = words![
            "cluster",
            "--store",
            peer.file().display(),
            "--cluster-name",
            peer.cluster,
            "--cluster-id",
            id,
        ];
        Load::run(&arguments)?;
        fs::write(folder.join(&peer.cluster), peer.peer_file(OWN)?)?;
        peers.push(peer);
    }
    let mesh = copy(place, &own, &folder, results)?;
    let files: Vec<PathBuf> = peers.iter().map(Store::file).collect();
    let churn = Churn {
        own: &own,
        from: &files,
        seconds: results.seconds,
    };

    let (told, cpu) = mesh.spends(|| churn.run(0, &words!["--rate", PACE]))?;
    results.add_cpu(FOLLOW_CPU, cpu, number(&told, "events")?);
    results.add(FOLLOW_P99, number(&told, "p99_ms")?);

    let (told, cpu) = mesh.spends(|| churn.run(PODS, &words!["--batch", BATCH]))?;
    results.add(CHURN, number(&told, "events_per_s")?);
    results.add_cpu(CHURN_CPU, cpu, number(&told, "events")?);
    Ok(())
}

/// From the start of the process until its last canary is in the store.
fn copy(place: &Place, own: &Store, peers: &Path, results: &mut Results) -> Result<Program> {
    let log = place.folder("mesh")?.join("log");
    let canaries = CLUSTERS * CANARIES;
    let copied = Load::start(&words![
        "copied",
        "--store",
        own.file().display(),
        "--canaries",
        canaries,
        "--records",
        CLUSTERS * RECORDS,
    ])?;
    copied.next()?;
    let begun = Instant::now();
    let mesh = Program::start(&mut kvstoremesh(own, peers), &log)?;
    let (ended, _) = copied.next()?;
    results.add(COPY, (ended - begun).as_secs_f64());
    results.add(COPY_CPU, mesh.cpu()?.as_secs_f64());
    results.add(COPY_MEMORY, mesh.memory_peak()?);
    Ok(mesh)
}

struct Churn<'a> {
    own: &'a Store,
    from: &'a [PathBuf],
    seconds: f64,
}

impl Churn<'_> {
    fn run(&self, first_pod: u32, how: &[String]) -> Result<serde_json::Value> {
        let own = self.own.file();
        let mut arguments =
            words!["churn", "--to", own.display(), "--seconds", self.seconds].to_vec();
        arguments.extend(words!["--first-pod", first_pod, "--pods", PODS]);
        for file in self.from {
            arguments.extend(words!["--from", file.display()]);
        }
        arguments.extend_from_slice(how);
        Load::run(&arguments)
    }
}
