//! Replaces pods of clusters in their own stores, and sees it happen in the store that they are copied into.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tombolo_kvstore::{
    Delete, Etcd, Keys, Operation, Store as _, Transaction, Watch as _, WatchSpec,
};
use tombolo_model::record::Tree;

use crate::{
    cluster::{Cluster, Size},
    fill::put,
    latency::{Latencies, Percentiles},
    puts::pause,
};

/// Events that are on their way at once, when they are written as fast as they go: fewer than come before an address is
/// used again, since a copier may leave out what has gone again before it was written.
const AHEAD_MAX: u64 = 4000;
const WAIT_MAX: Duration = Duration::from_secs(20);
/// What stands before the moment of writing in the name of a pod.
const STAMP: &[u8] = b"\"K8sPodName\":\"t";

#[derive(Args)]
pub struct Options {
    /// How to reach the store of each cluster; the first has number 1, and so on
    #[arg(long = "from", required = true)]
    from: Vec<PathBuf>,
    /// How to reach the store that they are copied into
    #[arg(long)]
    to: PathBuf,
    /// Number of the first cluster
    #[arg(long, default_value_t = 1)]
    first_id: u32,
    #[command(flatten)]
    size: Size,
    /// The first of the pods that are replaced; another run in the same stores begins behind them
    #[arg(long, default_value_t = 0)]
    first_pod: u32,
    /// How many there are of each cluster; half as many replacements go by before one of them is replaced again
    #[arg(long, default_value_t = 2500)]
    pods: u32,
    /// Events a second of all clusters together; as fast as they go, if 0
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Events of one transaction
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

#[derive(Serialize)]
pub struct Done {
    events: u64,
    seconds: f64,
    events_per_s: f64,
    #[serde(flatten)]
    percentiles: Percentiles,
}

/// What writers and the watcher share.
#[derive(Default)]
struct Progress {
    written: AtomicU64,
    seen: AtomicU64,
    advanced: Notify,
    /// All has been written.
    last: AtomicU64,
}

pub async fn run(options: &Options) -> Result<Done> {
    let to = super::connect(&options.to).await?;
    let prefix = Keys::prefix("cilium/cache/ip/v1/");
    let watch = to.watch(WatchSpec::new(prefix, None)).await?;
    let progress = Arc::new(Progress::default());
    progress.last.store(u64::MAX, Ordering::Relaxed);
    let start = Instant::now();
    let mut watching = JoinSet::new();
    watching.spawn(see(watch, Arc::clone(&progress), start));
    let mut writing = JoinSet::new();
    for (number, file) in (0..).zip(&options.from) {
        let etcd = super::connect(file).await?;
        let id = options.first_id + number;
        let cluster = Cluster {
            name: format!("c{id}"),
            id,
            size: options.size,
            tree: Tree::State,
        };
        let pods = Pods {
            cluster,
            first: options.first_pod,
            count: options.pods,
            oldest: 0,
            start,
        };
        let pace = Pace {
            begun: Instant::now(),
            every: pause(options.rate, (options.from.len() * options.batch) as u64),
            length: Duration::from_secs_f64(options.seconds),
            batch: options.batch,
        };
        writing.spawn(write(etcd, pods, pace, Arc::clone(&progress)));
    }
    let begun = Instant::now();
    while let Some(written) = writing.join_next().await {
        written??;
    }
    progress
        .last
        .store(progress.written.load(Ordering::Relaxed), Ordering::Relaxed);
    let seen = timeout(WAIT_MAX, watching.join_next()).await;
    let seen = seen.with_context(|| {
        let written = progress.written.load(Ordering::Relaxed);
        format!("of {written} events {} do not come", progress.ahead())
    })?;
    let (latencies, ended) = seen.context("nobody watched")???;
    let events = progress.written.load(Ordering::Relaxed);
    let seconds = (ended - begun).as_secs_f64();
    Ok(Done {
        events,
        seconds,
        events_per_s: events as f64 / seconds,
        percentiles: latencies.percentiles(),
    })
}

struct Pace {
    begun: Instant,
    every: Option<Duration>,
    length: Duration,
    batch: usize,
}

/// Pods of a cluster, of which the oldest is always replaced by one at an address that has been free for long.
struct Pods {
    cluster: Cluster,
    first: u32,
    count: u32,
    oldest: u32,
    start: Instant,
}

impl Pods {
    /// Another pod comes, and then the oldest goes: one event each.
    fn next(&mut self, number: u64) -> Operation {
        if number.is_multiple_of(2) {
            let stamp = format!("t{:020}", self.start.elapsed().as_nanos());
            let free = self.address(self.oldest + self.count);
            let (key, value) = self.cluster.address(free, &stamp);
            return Operation::Put(put(key, value.into()));
        }
        let key = self.cluster.address_key(self.address(self.oldest));
        self.oldest += 1;
        Operation::Delete(Delete::new(Keys::One(key)))
    }

    /// Half of the addresses are those that the cluster has had from the start, half are free.
    fn address(&self, pod: u32) -> u32 {
        let (turn, number) = (pod / self.count % 2, pod % self.count);
        self.first + number + turn * self.cluster.size.addresses
    }
}

async fn write(etcd: Etcd, mut pods: Pods, pace: Pace, progress: Arc<Progress>) -> Result<()> {
    let mut number = 0;
    for turn in 0.. {
        if let Some(every) = pace.every {
            sleep_until(pace.begun + every * turn).await;
        }
        if pace.begun.elapsed() >= pace.length {
            return Ok(());
        }
        while pace.every.is_none() && progress.ahead() > AHEAD_MAX {
            let advanced = progress.advanced.notified();
            if progress.ahead() > AHEAD_MAX {
                timeout(WAIT_MAX, advanced)
                    .await
                    .context("nothing is copied any more")?;
            }
        }
        let mut then = Vec::with_capacity(pace.batch);
        for _ in 0..pace.batch {
            then.push(pods.next(number));
            number += 1;
        }
        progress
            .written
            .fetch_add(pace.batch as u64, Ordering::Relaxed);
        match then.len() {
            1 => match then.remove(0) {
                Operation::Put(put) => drop(etcd.put(put).await?),
                Operation::Delete(delete) => drop(etcd.delete(delete).await?),
                other => bail!("{other:?} is not written here"),
            },
            _ => {
                let transaction = Transaction {
                    then,
                    ..Transaction::default()
                };
                etcd.transact(transaction).await?;
            }
        }
    }
    Ok(())
}

impl Progress {
    fn ahead(&self) -> u64 {
        let written = self.written.load(Ordering::Relaxed);
        written.saturating_sub(self.seen.load(Ordering::Relaxed))
    }
}

/// Until all that was written has been seen; then when that was.
async fn see(
    mut watch: tombolo_kvstore::etcd::EtcdWatch,
    progress: Arc<Progress>,
    start: Instant,
) -> Result<(Latencies, Instant)> {
    const LOOK: Duration = Duration::from_millis(20);
    let mut latencies = Latencies::default();
    let (mut seen, mut last_at) = (0, start);
    while seen < progress.last.load(Ordering::Relaxed) {
        let Ok(changes) = timeout(LOOK, watch.next()).await else {
            continue;
        };
        let changes = changes?;
        last_at = Instant::now();
        let now = last_at - start;
        for change in &changes {
            if let Some(stamp) = stamp_of(&change.record.value) {
                latencies.add(now.saturating_sub(stamp));
            }
        }
        seen += changes.len() as u64;
        progress.seen.store(seen, Ordering::Relaxed);
        progress.advanced.notify_waiters();
    }
    Ok((latencies, last_at))
}

fn stamp_of(value: &Bytes) -> Option<Duration> {
    let at = value.windows(STAMP.len()).position(|part| part == STAMP)? + STAMP.len();
    let digits = std::str::from_utf8(value.get(at..at + 20)?).ok()?;
    Some(Duration::from_nanos(digits.parse().ok()?))
}
