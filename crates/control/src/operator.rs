//! `tombolo operator`: what is done once in a cluster, by one replica at a time.
//!
//! ```text
//!            ┌─► definitions: the kinds of objects that the others need
//!  election ─┼─► ranges: what each node's pods have their addresses of
//!            ├─► identities: the end of those that nobody uses
//!            ├─► peers: which ranges other clusters' pods have, so that nobody here gets them
//!            ├─► mesh: whom the cluster trusts, and what its programs must know for that
//!            └─► …: each controller watches what it needs and mends what it finds, until the lease is lost
//! ```

mod definitions;
mod election;
mod identities;
mod mesh;
mod peers;
mod ranges;
mod status;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use clap::Args;
use ipnet::IpNet;
use tokio::sync::watch;
use tombolo_k8s::{Client, client::MANAGER};
use tombolo_model::id::ClusterId;

use crate::{
    KubernetesOptions, LogFormat, Server, Supervisor, Troubles,
    options::{check_cluster, random, replica},
    start_log,
};
pub use definitions::install_all as install_definitions;
use election::Election;
use identities::IdentityOptions;
pub use mesh::{GIVEN as GIVEN_PEERS, given_names};
use peers::PeerOptions;
use ranges::RangeOptions;
use status::{OperatorPages, Shown};

#[derive(Args, Clone, Debug)]
pub struct OperatorOptions {
    /// Name of this cluster, unique in the mesh
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_NAME",
        value_name = "NAME",
        default_value = "default"
    )]
    pub cluster_name: String,
    /// Number of this cluster, unique in the mesh: 1 to 255, or to 511; 0 for a cluster that is not meshed
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_ID",
        value_name = "NUMBER",
        default_value_t = 0
    )]
    pub cluster_id: u16,
    /// Size of the mesh, equal in all of its clusters: 255 or 511
    #[arg(
        long,
        env = "TOMBOLO_MAX_CONNECTED_CLUSTERS",
        value_name = "NUMBER",
        default_value_t = 255
    )]
    pub max_connected_clusters: u16,
    #[command(flatten)]
    pub kubernetes: KubernetesOptions,
    #[command(flatten)]
    pub ranges: RangeOptions,
    #[command(flatten)]
    pub identities: IdentityOptions,
    #[command(flatten)]
    pub peers: PeerOptions,
    /// Namespace that Tombolo is installed in
    #[arg(
        long,
        env = "TOMBOLO_NAMESPACE",
        value_name = "NAMESPACE",
        default_value = "kube-system"
    )]
    pub namespace: String,
    #[command(flatten)]
    pub mesh: mesh::MeshApiOptions,
    /// Where /healthz, /readyz, /metrics and /status are served
    #[arg(
        long,
        env = "TOMBOLO_HEALTH_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9234"
    )]
    pub health_listen: SocketAddr,
    /// Form of the log, on standard error
    #[arg(long, env = "TOMBOLO_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl OperatorOptions {
    fn check(&self) -> Result<()> {
        self.ranges.families()?;
        if self.cluster_id == 0 && !self.mesh.mesh_api {
            // It is not meshed.
            return Ok(());
        }
        check_cluster(
            &self.cluster_name,
            self.cluster_id,
            self.max_connected_clusters,
        )
    }

    pub fn id(&self) -> ClusterId {
        ClusterId(self.cluster_id)
    }
}

/// What controllers work with.
pub struct Operator {
    pub options: OperatorOptions,
    pub client: Client,
    /// Nobody else's name, under which nothing is taken that another replica has said.
    pub writer: String,
    pub troubles: Troubles,
    pub shown: Shown,
    /// The ranges of other clusters' pods, by the cluster, as far as they are known.
    pub others: watch::Sender<BTreeMap<String, Vec<IpNet>>>,
}

impl Operator {
    /// All that the leader does, until it is dropped because the lease is lost or the program is to end.
    async fn lead(&self) {
        // What comes after it may rest on the definitions.
        definitions::install(self).await;
        tokio::join!(
            definitions::keep(self),
            ranges::run(self),
            identities::run(self),
            peers::run(self),
            mesh::keep(self)
        );
    }
}

pub fn run(options: OperatorOptions) -> Result<()> {
    start_log(options.log_format);
    options.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .context("starting the runtime")?
        .block_on(serve(options))
}

async fn serve(options: OperatorOptions) -> Result<()> {
    let health = Server::bind(options.health_listen)
        .await
        .context("give --health-listen a free address")?;
    let client = options.kubernetes.connect().await?;
    tracing::info!(
        cluster = options.cluster_name,
        server = client.server(),
        "the operator is ready"
    );
    // On a node's own network all replicas have its name, and in their containers one number.
    let unique = random().below(u64::MAX);
    let holder = format!("{}/{unique:x}", String::from_utf8_lossy(&replica().holder));
    let election = Election::new(&client, &options.namespace, &holder);
    let operator = Arc::new(Operator {
        options,
        client,
        writer: format!("{MANAGER}-{unique:x}"),
        troubles: Troubles::default(),
        shown: Shown::default(),
        others: watch::Sender::default(),
    });
    let mut supervisor = Supervisor::new("another replica takes over");
    let pages = OperatorPages(Arc::clone(&operator));
    supervisor.spawn("health", health.serve(Arc::new(pages), supervisor.stop()));
    let stop = supervisor.stop();
    supervisor
        .run(async move {
            election.run(&operator, stop).await;
            Ok(())
        })
        .await
}
