//! Writes into a cluster's store what a copier would have written there of many clusters.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::{
    cluster::{Cluster, Size},
    fill,
};

#[derive(Args)]
pub struct Options {
    /// How to reach the store
    #[arg(long)]
    store: PathBuf,
    #[arg(long)]
    clusters: u32,
    #[command(flatten)]
    size: Size,
}

#[derive(Serialize)]
pub struct Written {
    records: usize,
}

pub async fn run(options: &Options) -> Result<Written> {
    let etcd = super::connect(&options.store).await?;
    let mut written = 0;
    for id in 1..=options.clusters {
        let cluster = Cluster::copied(id, options.size);
        let records = cluster.records();
        written += records.len();
        fill::write(&etcd, records).await?;
        fill::write(&etcd, cluster.announcements()).await?;
    }
    Ok(Written { records: written })
}
