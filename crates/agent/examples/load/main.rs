//! Load for `cargo xtask bench mesh`: asks stores as many clients would, tells of pods as Kubernetes would, looks at what
//! a node's kernel knows, and prints what it saw in lines of JSON.
//!
//! Deliberately blind to what serves the store: a real etcd is asked by the same code in the same way.

mod arrivals;
mod churn;
mod cluster;
mod copied;
mod fanout;
mod fill;
mod latency;
mod mirror;
mod objects;
mod puts;
mod reached;

use std::{io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;
use tombolo_clustermesh::drive::Connect as _;
use tombolo_control::FileConnect;
use tombolo_kvstore::Etcd;

#[derive(Parser)]
#[command(name = "load", about = "Load for the benchmarks of the mesh")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write so many keys
    Fill(fill::Options),
    /// Put single keys from several clients, as fast as they go or at a pace
    Puts(puts::Options),
    /// Put keys that many clients watch
    Fanout(fanout::Options),
    /// Write what a cluster tells its peers
    Cluster(cluster::Options),
    /// Wait until clusters have been copied into a store
    Copied(copied::Options),
    /// Replace pods of clusters, and see it happen in the store that they are copied into
    Churn(churn::Options),
    /// Write what a copier would have written of many clusters
    Mirror(mirror::Options),
    /// Wait until a node's kernel knows all pods of many clusters
    Reached(reached::Options),
    /// Tell an exporter of pods, and see a node's kernel learn of them
    Arrivals(arrivals::Options),
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("starting the runtime")?;
    runtime.block_on(async {
        match Arguments::parse().verb {
            Verb::Fill(options) => print(&fill::run(&options).await?),
            Verb::Puts(options) => print(&puts::run(&options).await?),
            Verb::Fanout(options) => print(&fanout::run(&options).await?),
            Verb::Cluster(options) => print(&cluster::run(&options).await?),
            Verb::Copied(options) => print(&copied::run(&options).await?),
            Verb::Churn(options) => print(&churn::run(&options).await?),
            Verb::Mirror(options) => print(&mirror::run(&options).await?),
            Verb::Reached(options) => print(&reached::run(&options)?),
            Verb::Arrivals(options) => arrivals::run(&options),
        }
    })
}

/// At once: whoever reads it may be measuring.
fn print(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// A client with a connection of its own, at no pace but the store's.
async fn connect(file: &Path) -> Result<Etcd> {
    let connect = FileConnect::own(file, u32::MAX)?;
    let etcd = connect.connect().await;
    etcd.with_context(|| format!("connecting as {} says", file.display()))
}
