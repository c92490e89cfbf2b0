//! Waits until the kernel of a node knows all pods of many clusters, as `mirror` tells of them.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use tokio::time::Instant;
use tombolo_datapath::AddressTable;

use crate::cluster::{Cluster, Size};

/// Between two looks: each is a system call, and the agent has the rest of the time.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Args)]
pub struct Options {
    /// Where the node's agent has pinned its tables
    #[arg(long)]
    pins: PathBuf,
    #[arg(long)]
    clusters: u32,
    #[command(flatten)]
    size: Size,
    #[arg(long, default_value_t = 120)]
    seconds_max: u64,
}

#[derive(Serialize)]
pub struct Reached {
    addresses: usize,
    /// How long it took to count them, when they were all there already.
    counting_s: f64,
}

/// An agent reads each cluster in the order of keys and tells the kernel in about the order of reading: once the last pod
/// of each cluster is there, it is worth to count.
pub fn run(options: &Options) -> Result<Reached> {
    let deadline = Instant::now() + Duration::from_secs(options.seconds_max);
    let table = open(&options.pins, deadline)?;
    let clusters = (1..=options.clusters).map(|id| Cluster::copied(id, options.size));
    let mut last: Vec<IpAddr> = clusters.filter_map(|cluster| cluster.last_pod()).collect();
    while let Some(awaited) = last.last() {
        match table.get(*awaited)? {
            Some(_) => drop(last.pop()),
            None => wait(deadline, || {
                format!("the kernel does not know {} of the clusters", last.len())
            })?,
        }
    }
    let expected = options.clusters as usize * options.size.addresses as usize;
    loop {
        let begun = Instant::now();
        let known = table.all()?;
        let addresses = known.iter().filter(|(net, _)| Cluster::is_pod(net)).count();
        if addresses == expected {
            let counting_s = begun.elapsed().as_secs_f64();
            return Ok(Reached {
                addresses,
                counting_s,
            });
        }
        wait(deadline, || {
            format!("the kernel knows {addresses} pods, not {expected}")
        })?;
    }
}

/// The table, which an agent that starts has yet to make.
pub fn open(pins: &Path, deadline: Instant) -> Result<AddressTable> {
    loop {
        match AddressTable::open(pins) {
            Ok(table) => return Ok(table),
            Err(error) => wait(deadline, || {
                format!("no table of an agent in {}: {error}", pins.display())
            })?,
        }
    }
}

fn wait(deadline: Instant, what: impl FnOnce() -> String) -> Result<()> {
    if Instant::now() > deadline {
        bail!(what());
    }
    thread::sleep(LOOK);
    Ok(())
}
