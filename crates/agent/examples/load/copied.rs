//! Waits until clusters have been copied into a store, whole and with their canaries.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use tokio::time::timeout;
use tombolo_kvstore::{Etcd, Keys, Query, Store as _, Watch as _, WatchSpec};

#[derive(Args)]
pub struct Options {
    /// How to reach the store
    #[arg(long)]
    store: PathBuf,
    /// How many canaries there are when all is there
    #[arg(long)]
    canaries: usize,
    /// How many records there are then
    #[arg(long)]
    records: usize,
    #[arg(long, default_value_t = 120)]
    seconds_max: u64,
}

#[derive(Serialize)]
struct Waiting {
    waiting: bool,
}

#[derive(Serialize)]
pub struct Copied {
    records: usize,
}

pub async fn run(options: &Options) -> Result<Copied> {
    let etcd = super::connect(&options.store).await?;
    let all = timeout(
        Duration::from_secs(options.seconds_max),
        wait(&etcd, options),
    );
    all.await.context("the copy does not become whole")??;
    let records = count(&etcd, "cilium/cache/").await?;
    if records != options.records {
        bail!(
            "the canaries say that all is there, but {records} records are, not {}",
            options.records
        );
    }
    Ok(Copied { records })
}

async fn wait(etcd: &Etcd, options: &Options) -> Result<()> {
    const CANARIES: &str = "cilium/synced/";
    let mut watch = etcd
        .watch(WatchSpec::new(Keys::prefix(CANARIES), None))
        .await?;
    super::print(&Waiting { waiting: true })?;
    while count(etcd, CANARIES).await? < options.canaries {
        watch.next().await?;
    }
    Ok(())
}

async fn count(etcd: &Etcd, prefix: &str) -> Result<usize> {
    let query = Query {
        count_only: true,
        ..Query::new(Keys::prefix(prefix))
    };
    Ok(etcd.query(query).await?.count)
}
