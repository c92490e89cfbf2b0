//! What several programs are told alike.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use tombolo_clustermesh::{Random, export::Lock};
use tombolo_model::{config::is_cluster_name, id::ClusterId};

use crate::{FileConnect, LogFormat, epoch};

/// Which cluster this is, and where its store.
#[derive(Args, Clone, Debug)]
pub struct ClusterOptions {
    /// Name of this cluster, unique in the mesh
    #[arg(long, env = "TOMBOLO_CLUSTER_NAME", value_name = "NAME")]
    pub cluster_name: String,
    /// Number of this cluster, unique in the mesh: 1 to 255, or to 511
    #[arg(long, env = "TOMBOLO_CLUSTER_ID", value_name = "NUMBER")]
    pub cluster_id: u16,
    /// Size of the mesh, equal in all of its clusters: 255 or 511
    #[arg(
        long,
        env = "TOMBOLO_MAX_CONNECTED_CLUSTERS",
        value_name = "NUMBER",
        default_value_t = 255
    )]
    pub max_connected_clusters: u16,
    /// File that says how to reach this cluster's store, in the form of a peer's file
    #[arg(long, env = "TOMBOLO_STORE", value_name = "FILE")]
    pub store: PathBuf,
    /// Requests in a second to the store
    #[arg(
        long,
        env = "TOMBOLO_STORE_QPS",
        value_name = "NUMBER",
        default_value_t = 10_000
    )]
    pub store_qps: u32,
    /// Form of the log, on standard error
    #[arg(long, env = "TOMBOLO_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl ClusterOptions {
    pub fn check(&self) -> Result<()> {
        check_cluster(
            &self.cluster_name,
            self.cluster_id,
            self.max_connected_clusters,
        )
    }

    pub fn id(&self) -> ClusterId {
        ClusterId(self.cluster_id)
    }

    pub fn connect(&self) -> Result<FileConnect> {
        FileConnect::own(&self.store, self.store_qps)
    }
}

/// Refuses what no cluster of a mesh can be called.
pub fn check_cluster(name: &str, id: u16, max: u16) -> Result<()> {
    if !is_cluster_name(name) {
        bail!("--cluster-name {name}: use at most 32 of a-z, 0-9 and -, without - at either end");
    }
    if name == "default" {
        bail!("--cluster-name default: a cluster of a mesh needs a name of its own");
    }
    if max != 255 && max != 511 {
        bail!("--max-connected-clusters {max}: use 255 or 511, the same in all clusters");
    }
    if id == 0 || id > max {
        bail!("--cluster-id {id}: use 1 to {max}");
    }
    Ok(())
}

/// Who we are among the replicas: a name that people recognise and nobody else has.
pub fn replica() -> Lock {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    Lock {
        holder: format!("{host}/{}", std::process::id()).into(),
        epoch: epoch(),
    }
}

/// Differs from one start and one process to the next, so that replicas do not try again at the same instant.
pub fn random() -> Random {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    Random::new(RandomState::new().build_hasher().finish())
}

pub fn megabytes(number: usize) -> usize {
    number.saturating_mul(1 << 20)
}
