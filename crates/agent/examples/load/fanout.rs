//! One writer, many watchers: how many events a second reach them all together, and how late.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tombolo_kvstore::{Etcd, Keys, Store as _, Watch as _, WatchSpec};

use crate::{
    fill::{key, put},
    latency::{Latencies, Percentiles},
    puts::pause,
};

/// Puts that wait for their answers at once.
const INFLIGHT: usize = 16;
const WAIT_MAX: Duration = Duration::from_secs(120);

#[derive(Args)]
pub struct Options {
    /// How to reach the store
    #[arg(long)]
    store: PathBuf,
    /// Watchers, each with a connection of its own
    #[arg(long, default_value_t = 100)]
    watchers: usize,
    #[arg(long, default_value_t = 2000)]
    puts: u64,
    /// Puts a second; as fast as they go, if 0
    #[arg(long, default_value_t = 0)]
    rate: u64,
    #[arg(long, default_value_t = 200)]
    value_bytes: usize,
}

#[derive(Serialize)]
pub struct Done {
    events: u64,
    events_per_s: f64,
    #[serde(flatten)]
    percentiles: Percentiles,
}

pub async fn run(options: &Options) -> Result<Done> {
    let writer = super::connect(&options.store).await?;
    let start = Instant::now();
    let mut watchers = JoinSet::new();
    for _ in 0..options.watchers {
        let etcd = super::connect(&options.store).await?;
        let watch = etcd
            .watch(WatchSpec::new(Keys::prefix("cilium/"), None))
            .await?;
        watchers.spawn(timeout(WAIT_MAX, follow(watch, options.puts, start)));
    }
    let begun = Instant::now();
    write(&writer, options, start).await?;
    let mut latencies = Latencies::default();
    while let Some(watched) = watchers.join_next().await {
        let watched = watched?.context("a watcher waits for what does not come")?;
        latencies.extend(watched?);
    }
    let events = options.puts * options.watchers as u64;
    Ok(Done {
        events,
        events_per_s: events as f64 / begun.elapsed().as_secs_f64(),
        percentiles: latencies.percentiles(),
    })
}

async fn write(writer: &Etcd, options: &Options, start: Instant) -> Result<()> {
    let every = pause(options.rate, 1);
    let begun = Instant::now();
    let puts = stream::iter(0..options.puts).map(|number| async move {
        if let Some(every) = every {
            sleep_until(begun + every * number as u32).await;
        }
        let value = stamped(start, options.value_bytes);
        writer.put(put(key(number), value)).await
    });
    let puts = puts.buffered(INFLIGHT);
    puts.try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

async fn follow(
    mut watch: tombolo_kvstore::etcd::EtcdWatch,
    mut left: u64,
    start: Instant,
) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    while left > 0 {
        let changes = watch.next().await?;
        let now = start.elapsed();
        for change in &changes {
            latencies.add(now.saturating_sub(stamp_of(&change.record.value)));
        }
        left = left.saturating_sub(changes.len() as u64);
    }
    Ok(latencies)
}

fn stamped(start: Instant, len: usize) -> Bytes {
    let mut value = format!("{:020}", start.elapsed().as_nanos()).into_bytes();
    value.resize(len, b'.');
    value.into()
}

fn stamp_of(value: &[u8]) -> Duration {
    let digits = value
        .get(..20)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    let nanos = digits.and_then(|digits| digits.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
