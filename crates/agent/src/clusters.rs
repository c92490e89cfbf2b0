//! The clusters that this node is told of by stores: other ones, and its own. What they tell goes to the loop.
//!
//! Reads nodes and addresses, and of others what they offer for services; what else a store holds is not asked for.

mod known;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tombolo_clustermesh::{
    Scope,
    drive::Wish,
    reader::Options as ReaderOptions,
    remote::{Remote, Told},
};
use tombolo_control::{Found, Peers, Role, Supervisor, random};
use tombolo_model::{
    event::Event,
    fact::{Fact, Set, Source},
    id::ClusterId,
    local::PeerStatus,
    record::{self, Resource},
};

use crate::{facts::BATCH, options::MeshOptions};
use known::Known;

/// What this node reads, and how that goes. Nothing where it reads no store.
#[derive(Default)]
pub struct Clusters {
    own: Option<Arc<Peers<Listener>>>,
    others: Option<Arc<Peers<Listener>>>,
}

/// Who this node is to those it reads.
#[derive(Clone, Debug)]
pub struct Reader {
    pub cluster: String,
    pub cluster_id: ClusterId,
    pub clusters_max: u16,
    /// Whether what others offer for services is of use.
    pub services: bool,
}

impl Clusters {
    /// `numbers` is the file that the other clusters' numbers are kept in.
    pub fn new(
        options: &MeshOptions,
        reader: &Reader,
        numbers: PathBuf,
        facts: &mpsc::Sender<Vec<Fact>>,
        start: Instant,
    ) -> Clusters {
        let listener = |ours, known| Listener {
            reader: reader.clone(),
            ours,
            scope: options.scope(),
            facts: facts.clone(),
            known: Mutex::new(known),
        };
        let mut clusters = Clusters::default();
        if let Some(file) = &options.own_store {
            let listener = listener(true, Known::default());
            let own = Peers::one(listener, &reader.cluster, file, start);
            clusters.own = Some(Arc::new(own));
        }
        if let Some(folder) = &options.clustermesh_config {
            let listener = listener(false, Known::load(numbers));
            let others = Peers::new(listener, &reader.cluster, folder, start);
            clusters.others = Some(Arc::new(others));
        }
        clusters
    }

    pub fn spawn(&self, supervisor: &mut Supervisor) {
        let own = self.own.iter().map(|own| ("own store", own));
        let others = self.others.iter().map(|others| ("clusters", others));
        for (name, peers) in own.chain(others) {
            supervisor.spawn(name, Arc::clone(peers).follow(supervisor.stop()));
        }
    }

    /// The own cluster first.
    pub fn statuses(&self) -> Vec<PeerStatus> {
        let all = self.own.iter().chain(&self.others);
        all.flat_map(|peers| peers.statuses()).collect()
    }
}

struct Listener {
    reader: Reader,
    /// It is our own cluster that is heard.
    ours: bool,
    scope: Scope,
    facts: mpsc::Sender<Vec<Fact>>,
    known: Mutex<Known>,
}

impl Listener {
    /// What is behind this lock is a value: a panic within ends the process.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resources(&self) -> Vec<Resource> {
        let mut resources = vec![Resource::Nodes, Resource::Addresses];
        if self.reader.services && !self.ours {
            resources.extend([Resource::Services, Resource::EndpointSlices]);
        }
        resources
    }

    /// Tells whom to wait for. Our own cluster is a source that the loop knows of.
    async fn tell_awaited(&self) {
        if self.ours {
            return;
        }
        // With room in the channel, nothing comes between the look and the word.
        if let Ok(permit) = self.facts.reserve().await {
            permit.send(vec![Fact::Awaited(self.known().awaited())]);
        }
    }
}

impl Role for Listener {
    type Reader = Remote;

    fn reader(&self, cluster: &str, now: Duration) -> Remote {
        let options = ReaderOptions {
            cluster: cluster.to_owned(),
            own: self.reader.cluster_id,
            ours: self.ours,
            clusters_max: self.reader.clusters_max,
            resources: self.resources(),
            scope: self.scope.clone(),
        };
        Remote::new(options, random(), now)
    }

    async fn named(&self, clusters: &BTreeSet<String>) {
        self.known().name(clusters);
        self.tell_awaited().await;
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
        let mut progress = Progress::default();
        while let Some(batch) = told.recv().await {
            let facts = batch.into_iter().filter_map(|told| match told {
                // Rejected records are told of in the cluster's status, with what is known of them.
                Told::Fact(Fact::Malformed { .. }) => None,
                Told::Record(source, resource, event) => record::offered(source, resource, event),
                Told::Fact(fact) => Some(fact),
            });
            let facts: Vec<Fact> = facts.collect();
            let complete = facts.iter().filter(|fact| progress.note(fact)).count() > 0;
            // Before the kernel holds anything of it.
            if let (Some(id), false) = (progress.id(), self.ours) {
                self.known().number(cluster, id);
            }
            if !send(facts, &self.facts).await {
                return;
            }
            if complete && self.known().hear(cluster) {
                tracing::info!(cluster, "all that it has is known");
                self.tell_awaited().await;
            }
        }
    }

    fn end(&self, _cluster: &str) {}

    fn look(&self, _cluster: &str, reader: &Remote, now: Duration) -> Found {
        let status = reader.status(now);
        Found {
            reader: status.reader,
            rejects: status.rejects,
            arrived: true,
        }
    }
}

/// How far a cluster is in telling all it has.
#[derive(Default)]
struct Progress {
    source: Option<Source>,
    synced: BTreeSet<Set>,
}

impl Progress {
    /// Whether it has just told all.
    fn note(&mut self, fact: &Fact) -> bool {
        let (source, set, synced) = match fact {
            Fact::Node(source, event) => (*source, Set::Nodes, *event == Event::Synced),
            Fact::Address(source, event) => (*source, Set::Addresses, *event == Event::Synced),
            _ => return false,
        };
        if self.source.replace(source) != Some(source) {
            self.synced.clear();
        }
        synced && self.synced.insert(set) && self.synced.len() == 2
    }

    fn id(&self) -> Option<ClusterId> {
        match self.source? {
            Source::Cluster(id) => Some(id),
            Source::File | Source::Kubernetes => None,
        }
    }
}

/// Hands facts over, so many at once that the loop sees to others in between. False if it has ended.
async fn send(facts: Vec<Fact>, loop_: &mpsc::Sender<Vec<Fact>>) -> bool {
    let mut rest = facts.into_iter();
    loop {
        let batch: Vec<Fact> = rest.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return true;
        }
        if loop_.send(batch).await.is_err() {
            return false;
        }
    }
}
