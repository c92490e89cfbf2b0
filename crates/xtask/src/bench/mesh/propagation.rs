//! From a pod that is ready in one cluster to the kernel of another cluster's node: exporter, store, copier, store, agent.
//!
//! Every step is the real program. The load tells the exporter of pods by a pipe, as `kubectl get --watch` would, and looks
//! every half millisecond whether the table of addresses, which the node's programs read, holds the oldest that is awaited.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::Results;
use super::program::{Load, Program, number, words};
use super::servers::{Agent, OWN, Place, Store, kvstoremesh, tombolo};
use crate::bench::report::{Goal, Measure};

const PEER: &str = "c1";
const PEER_ID: u32 = 1;
/// At the highest rate each lives for four seconds: one that goes before it is looked for is never seen.
const PODS: u32 = 20_000;

/// Events a second, and what is told of them.
struct Rate {
    events: u32,
    percentiles: [Measure; 3],
}

const fn ms(name: &'static str) -> Measure {
    Measure::new(name, "ms")
}

const RATES: [Rate; 3] = [
    Rate {
        events: 10,
        percentiles: [
            ms("reach_at_10_p50"),
            ms("reach_at_10_p99"),
            ms("reach_at_10_p999"),
        ],
    },
    Rate {
        events: 1000,
        percentiles: [
            ms("reach_at_1000_p50"),
            ms("reach_at_1000_p99").with(Goal::AtMost(100.0)),
            ms("reach_at_1000_p999"),
        ],
    },
    Rate {
        events: 10_000,
        percentiles: [
            ms("reach_at_10000_p50"),
            ms("reach_at_10000_p99"),
            ms("reach_at_10000_p999"),
        ],
    },
];

pub fn run(place: &Place, results: &mut Results) -> Result<()> {
    let own = Store::start(place, results.side, OWN)?;
    let peer = Store::start(place, results.side, PEER)?;
    let logs = place.folder("logs")?;
    let pipe = pipe(place)?;
    let mut exporter = tombolo();
    exporter.args(["apiserver", "--objects", "-", "--cluster-name", PEER]);
    exporter.args(["--cluster-id", &PEER_ID.to_string()]);
    exporter.arg("--store").arg(peer.file());
    exporter.args(["--health-listen", "127.0.0.1:0"]);
    // Open for both, it never ends.
    let input = File::options().read(true).write(true).open(&pipe)?;
    let _exporter = Program::fed(&mut exporter, input.into(), &logs.join("apiserver"))?;
    let peers = place.folder("peers")?;
    fs::write(peers.join(PEER), peer.peer_file(OWN)?)?;
    let _mesh = Program::start(&mut kvstoremesh(&own, &peers), &logs.join("kvstoremesh"))?;
    let copies = place.folder("copies")?;
    fs::write(copies.join(PEER), own.local_file())?;
    let agent = Agent::start(&copies, &logs.join("agent"))?;

    let rates = RATES.map(|rate| rate.events.to_string()).join(",");
    let load = Load::start(&words![
        "arrivals",
        "--objects",
        pipe.display(),
        "--pins",
        agent.pins().display(),
        "--cluster-id",
        PEER_ID,
        "--pods",
        PODS,
        "--rates",
        rates,
        "--seconds",
        results.seconds,
    ])?;
    results.step("tells the kernel of the pods that are there from the start");
    load.next()?;
    for rate in &RATES {
        let (_, told) = load
            .next()
            .with_context(|| format!("at {} events/s", rate.events))?;
        for (measure, field) in rate.percentiles.iter().zip(["p50_ms", "p99_ms", "p999_ms"]) {
            results.add(*measure, number(&told, field)?);
        }
    }
    Ok(())
}

/// What the exporter reads its cluster's objects from.
fn pipe(place: &Place) -> Result<PathBuf> {
    let path = place.folder("objects")?.join("events");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, &path, FileType::Fifo, mode, 0).context("making a pipe")?;
    Ok(path)
}
