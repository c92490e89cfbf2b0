//! What other clusters' pods have their addresses of, read where the cluster's agents read of their nodes.
//!
//! A cluster that is not heard for a while keeps what is known of it; one that is taken out of the mesh has nothing.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use clap::Args;
use ipnet::IpNet;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tombolo_clustermesh::{
    Scope,
    drive::Wish,
    reader,
    remote::{Remote, Told},
};
use tombolo_model::{
    event::Event,
    fact::{Fact, Node, NodeKey},
    id::ClusterId,
    record::Resource,
};

use super::Operator;
use crate::{Found, Peers, Role, handed::Handed, handed::HandedOptions, options::random};

const RETRY: Duration = Duration::from_secs(5);
const ABOUT: &str = "reading of other clusters' pods";

#[derive(Args, Clone, Debug, Default)]
pub struct PeerOptions {
    /// Folder of files that say where other clusters are read, one for each; their pods' ranges are then refused to nodes
    #[arg(long, env = "TOMBOLO_CLUSTERMESH_CONFIG", value_name = "DIRECTORY")]
    pub clustermesh_config: Option<PathBuf>,
    #[command(flatten)]
    pub handed: HandedOptions,
}

/// For ever.
pub async fn run(operator: &Operator) {
    let Some(folder) = &operator.options.peers.clustermesh_config else {
        return std::future::pending().await;
    };
    loop {
        match follow(operator, folder).await {
            Ok(()) => operator.troubles.clear(ABOUT),
            Err(error) => operator.troubles.set(ABOUT, format!("{error:#}")),
        }
        sleep(RETRY).await;
    }
}

async fn follow(operator: &Operator, folder: &Path) -> Result<()> {
    let options = &operator.options;
    let role = Ranges {
        own: options.id(),
        clusters_max: options.max_connected_clusters,
        known: Mutex::default(),
        told: operator.others.clone(),
    };
    let stop = CancellationToken::new();
    let peers = Peers::new(role, &options.cluster_name, folder, Instant::now());
    let peers = Arc::new(peers).follow(stop.clone());
    match &options.peers.handed.clustermesh_secret {
        Some(secret) => {
            let handed = Handed::open(&options.kubernetes, secret, folder).await?;
            tokio::try_join!(peers, handed.follow(stop)).map(drop)
        }
        None => peers.await,
    }
}

/// What is known of the nodes of each cluster.
struct Ranges {
    own: ClusterId,
    clusters_max: u16,
    known: Mutex<BTreeMap<String, Nodes>>,
    told: watch::Sender<BTreeMap<String, Vec<IpNet>>>,
}

#[derive(Default)]
struct Nodes {
    all: BTreeMap<NodeKey, Vec<IpNet>>,
    /// Since it began to tell anew; what is not among them when it has told all is gone.
    seen: BTreeSet<NodeKey>,
}

impl Nodes {
    fn take(&mut self, event: Event<NodeKey, Node>) {
        match event {
            Event::Restart => self.seen.clear(),
            Event::Upsert(key, node) => {
                self.seen.insert(key.clone());
                self.all.insert(key, node.pod_ranges);
            }
            Event::Delete(key) => {
                self.seen.remove(&key);
                self.all.remove(&key);
            }
            Event::Synced => {
                let seen = std::mem::take(&mut self.seen);
                self.all.retain(|key, _| seen.contains(key));
                self.seen = seen;
            }
        }
    }
}

impl Ranges {
    /// What is behind this lock is a value: a panic within ends the process.
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Nodes>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        let known = self.known();
        let ranges = |nodes: &Nodes| nodes.all.values().flatten().copied().collect();
        let now = known
            .iter()
            .map(|(name, nodes)| (name.clone(), ranges(nodes)));
        let now: BTreeMap<String, Vec<IpNet>> = now.collect();
        self.told.send_if_modified(|before| {
            let differs = *before != now;
            *before = now;
            differs
        });
    }
}

impl Role for Ranges {
    type Reader = Remote;

    fn reader(&self, cluster: &str, now: Duration) -> Remote {
        let options = reader::Options {
            cluster: cluster.to_owned(),
            own: self.own,
            ours: false,
            clusters_max: self.clusters_max,
            resources: vec![Resource::Nodes],
            scope: Scope::All,
        };
        Remote::new(options, random(), now)
    }

    fn begin(&self, _cluster: &str) -> bool {
        true
    }

    async fn hear(
        &self,
        cluster: &str,
        mut told: mpsc::Receiver<Vec<Told>>,
        _wish: &watch::Sender<Wish>,
    ) {
        while let Some(batch) = told.recv().await {
            let events = batch.into_iter().filter_map(|told| match told {
                Told::Fact(Fact::Node(_, event)) => Some(event),
                Told::Fact(_) | Told::Record(..) => None,
            });
            let mut known = self.known();
            let nodes = known.entry(cluster.to_owned()).or_default();
            events.for_each(|event| nodes.take(event));
            drop(known);
            self.tell();
        }
    }

    fn end(&self, cluster: &str) {
        self.known().remove(cluster);
        self.tell();
    }

    fn look(&self, _cluster: &str, reader: &Remote, now: Duration) -> Found {
        let status = reader.status(now);
        Found {
            reader: status.reader,
            rejects: status.rejects,
            arrived: true,
        }
    }
}
