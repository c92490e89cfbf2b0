//! Pods of a cluster become ready and go, as its Kubernetes would tell of them, and a node of another cluster is looked at:
//! how long until its kernel knows each.

use std::{
    fs::File,
    io::Write,
    net::IpAddr,
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde::Serialize;
use tokio::time::Instant;
use tombolo_datapath::AddressTable;

use crate::{
    latency::{Latencies, Percentiles},
    objects::Objects,
    puts::pause,
    reached,
};

/// Between two looks at the kernel's table: what is measured is late by at most as much, and by what waking up takes.
const LOOK: Duration = Duration::from_micros(500);
/// Nothing is told more often: at high rates several events come at once.
const BEAT: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct Options {
    /// Where the exporter reads its cluster's events
    #[arg(long)]
    objects: PathBuf,
    /// Where the agent of the other cluster's node has pinned its tables
    #[arg(long)]
    pins: PathBuf,
    #[arg(long)]
    cluster_id: u32,
    /// Pods that are there all the time
    #[arg(long, default_value_t = 5000)]
    pods: u32,
    /// Events a second, one rate after the other: half of them are pods that come, half pods that go
    #[arg(long, value_delimiter = ',')]
    rates: Vec<u32>,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

#[derive(Serialize)]
pub struct Done {
    rate: u32,
    events: u64,
    /// What came of the rate, until the kernel knew all.
    events_per_s: f64,
    #[serde(flatten)]
    percentiles: Percentiles,
}

/// Everything that is there from the start is known.
#[derive(Serialize)]
struct Ready {
    pods: u32,
}

pub fn run(options: &Options) -> Result<()> {
    let pipe = File::options().write(true).open(&options.objects);
    let mut pipe = pipe.with_context(|| options.objects.display().to_string())?;
    let table = reached::open(&options.pins, Instant::now() + PATIENCE)?;
    let mut objects = Objects::new(options.cluster_id, options.pods);
    let begun = Instant::now();
    pipe.write_all(&objects.initial())?;
    let last = objects.newest();
    while table.get(last)?.is_none() {
        if begun.elapsed() > PATIENCE {
            bail!("the kernel does not learn of the pods that are there from the start");
        }
        thread::sleep(LOOK);
    }
    super::print(&Ready { pods: options.pods })?;
    for rate in &options.rates {
        let done = at_rate(*rate, options.seconds, &mut objects, &mut pipe, &table)?;
        super::print(&done)?;
    }
    Ok(())
}

/// A pod that comes, and when that was to be told: a pipe that is full makes it late, not fast.
type Coming = (IpAddr, Instant);

fn at_rate(
    rate: u32,
    seconds: f64,
    objects: &mut Objects,
    pipe: &mut File,
    table: &AddressTable,
) -> Result<Done> {
    let (told, coming) = channel();
    let begun = Instant::now();
    let (events, latencies) = thread::scope(|scope| {
        let seeing = scope.spawn(move || see(&coming, table));
        let events = tell(rate, seconds, objects, pipe, told);
        let seen = seeing.join().map_err(|_| anyhow!("a thread panicked"))?;
        Ok::<_, anyhow::Error>((events?, seen?))
    })?;
    Ok(Done {
        rate,
        events,
        events_per_s: events as f64 / begun.elapsed().as_secs_f64(),
        percentiles: latencies.percentiles(),
    })
}

fn tell(
    rate: u32,
    seconds: f64,
    objects: &mut Objects,
    pipe: &mut File,
    told: Sender<Coming>,
) -> Result<u64> {
    let every = pause(rate.into(), 1).context("--rates: give at least 1")?;
    let events = (f64::from(rate) * seconds) as u32;
    let begun = Instant::now();
    let mut number = 0;
    let mut lines = Vec::new();
    while number < events {
        thread::sleep((begun + every * number).saturating_duration_since(Instant::now()));
        let now = Instant::now();
        while number < events && begun + every * number <= now {
            if number.is_multiple_of(2) {
                objects.come(&mut lines);
                // Whoever looks has gone with an error of its own.
                let _ = told.send((objects.newest(), begun + every * number));
            } else {
                objects.go(&mut lines);
            }
            number += 1;
        }
        pipe.write_all(&lines)?;
        lines.clear();
        if every < BEAT {
            thread::sleep(BEAT);
        }
    }
    Ok(events.into())
}

/// Pods are known in the order in which they were told of, so only the oldest that is awaited is looked for.
fn see(coming: &Receiver<Coming>, table: &AddressTable) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    let mut awaited: Option<Coming> = None;
    loop {
        let (address, due) = match awaited.take().map_or_else(|| coming.try_recv(), Ok) {
            Ok(next) => next,
            Err(TryRecvError::Disconnected) => return Ok(latencies),
            Err(TryRecvError::Empty) => {
                thread::sleep(LOOK);
                continue;
            }
        };
        if table.get(address)?.is_some() {
            latencies.add(due.elapsed());
            continue;
        }
        if due.elapsed() > PATIENCE {
            bail!("the kernel does not learn of {address}");
        }
        awaited = Some((address, due));
        thread::sleep(LOOK);
    }
}
