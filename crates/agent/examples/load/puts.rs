//! Single puts from several clients: how many a second, and how long each takes.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tombolo_clustermesh::Random;
use tombolo_kvstore::{Etcd, Store as _};

use crate::{
    fill::{key, put, value},
    latency::{Latencies, Percentiles},
};

/// Waking up may be so late without being the store's fault.
const WAKE_MAX: Duration = Duration::from_millis(2);

#[derive(Args)]
pub struct Options {
    /// How to reach the store
    #[arg(long)]
    store: PathBuf,
    /// Connections
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// Puts of one connection that wait for their answers at once
    #[arg(long, default_value_t = 16)]
    inflight: u64,
    /// Puts a second of all together; as fast as they go, if 0
    #[arg(long, default_value_t = 0)]
    rate: u64,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Keys are chosen from so many
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    #[arg(long, default_value_t = 200)]
    value_bytes: usize,
}

#[derive(Serialize)]
pub struct Done {
    puts: u64,
    puts_per_s: f64,
    #[serde(flatten)]
    percentiles: Percentiles,
}

/// When a lane puts.
#[derive(Clone, Copy)]
struct Schedule {
    first: Instant,
    every: Option<Duration>,
    count_from: Instant,
    end: Instant,
}

pub async fn run(options: &Options) -> Result<Done> {
    let length = Duration::from_secs_f64(options.seconds);
    let lanes = options.clients * options.inflight;
    let every = pause(options.rate, lanes);
    let mut clients = Vec::new();
    for _ in 0..options.clients {
        clients.push(super::connect(&options.store).await?);
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for lane in 0..lanes {
        let client = clients[(lane % options.clients) as usize].clone();
        let offset = every.map_or(Duration::ZERO, |every| {
            every.mul_f64(lane as f64 / lanes as f64)
        });
        let schedule = Schedule {
            first: start + offset,
            every,
            count_from: start + length / 10,
            end: start + length / 10 + length,
        };
        tasks.spawn(run_lane(
            client,
            schedule,
            Random::new(lane + 1),
            options.keys,
            options.value_bytes,
        ));
    }
    let mut latencies = Latencies::default();
    let mut puts = 0;
    while let Some(done) = tasks.join_next().await {
        let (count, of_lane) = done??;
        puts += count;
        latencies.extend(of_lane);
    }
    Ok(Done {
        puts,
        puts_per_s: puts as f64 / length.as_secs_f64(),
        percentiles: latencies.percentiles(),
    })
}

/// Between two steps of one of so many lanes, if there is a pace.
pub fn pause(rate: u64, lanes: u64) -> Option<Duration> {
    (rate > 0).then(|| Duration::from_secs_f64(lanes as f64 / rate as f64))
}

async fn run_lane(
    client: Etcd,
    schedule: Schedule,
    mut random: Random,
    keys: u64,
    value_bytes: usize,
) -> Result<(u64, Latencies)> {
    let (mut count, mut latencies) = (0, Latencies::default());
    let mut due = schedule.first;
    loop {
        if schedule.every.is_some() {
            sleep_until(due).await;
        }
        let mut begun = Instant::now();
        if begun >= schedule.end {
            return Ok((count, latencies));
        }
        if schedule.every.is_some() && begun > due + WAKE_MAX {
            // The put before took so long that this one is late: its time counts from when it was due.
            begun = due;
        }
        let number = random.below(u64::MAX);
        let value = value(number, value_bytes);
        client.put(put(key(number % keys), value)).await?;
        let now = Instant::now();
        if now >= schedule.count_from && now < schedule.end {
            count += 1;
            latencies.add(now - begun);
        }
        due += schedule.every.unwrap_or_default();
    }
}
