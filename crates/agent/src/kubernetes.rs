//! Kubernetes of this node's own cluster: what it tells the node, and what the node tells it.
//!
//! ```text
//!  before the start   own       Node, CiliumNode ──► addresses, ranges (remembered for a start without an API server)
//!  facts              cluster   CiliumNodes, CiliumEndpoints ──► where others are
//!                     services  Services, EndpointSlices ──► who answers for what
//!  pods               pods      Pods, Namespaces ──► labels ──► CiliumIdentity ──► endpoint, CiliumEndpoint
//!                     own       addresses, readiness ──► CiliumNode, Node
//! ```
//!
//! An API server that is away stops nothing that runs: what it told stays, and new pods wait.

mod ask;
mod cluster;
mod forms;
mod identity;
mod own;
mod pods;
mod record;
mod services;
#[cfg(test)]
mod tests;
mod work;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result};
use tokio::sync::{Notify, mpsc};
use tombolo_control::{Supervisor, Troubles};
use tombolo_k8s::Client;
use tombolo_model::{
    config::Config,
    fact::{Fact, Set, Source},
    local::Failure,
};

use crate::{node::Command, options::Options};
pub use ask::Identifier;
use ask::Question;
pub use own::Own;
use work::Inlets;

/// Who tells what is read here.
const SOURCE: Source = Source::Kubernetes;

/// Plugins that wait for the identity of their pod.
const QUESTIONS: usize = 64;

/// Changes of the node's own records that wait to be heard.
const RECORDS: usize = 256;

/// The connection, before it is known what the node is.
pub struct Kubernetes {
    client: Client,
    troubles: Troubles,
    node: String,
    /// Where the node's own addresses and ranges are remembered.
    memory: PathBuf,
    leaves: Leaves,
}

/// Whether the node is about to leave its cluster, as far as it knows.
#[derive(Clone, Debug, Default)]
pub struct Leaves(Arc<AtomicBool>);

impl Leaves {
    pub fn set(&self, leaves: bool) {
        self.0.store(leaves, Ordering::Relaxed);
    }

    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the loop and the local API have of it.
#[derive(Clone)]
pub struct Link {
    pub troubles: Troubles,
    /// Told whenever the node's endpoints may have changed.
    pub changed: Arc<Notify>,
    pub identifier: Identifier,
}

impl Kubernetes {
    pub async fn connect(options: &Options, memory: PathBuf) -> Result<Kubernetes> {
        let client = options.api.connect().await;
        Ok(Kubernetes {
            client: client.context("--kubernetes")?,
            troubles: Troubles::default(),
            node: options.node_name.clone(),
            memory,
            leaves: Leaves::default(),
        })
    }

    /// Waits until it is known what the node is, for as long as that takes.
    pub async fn learn(&self, told: &Own) -> Own {
        own::learn(self, told).await
    }

    /// Why nobody can be served yet.
    pub fn refusal(&self) -> Failure {
        own::refusal(self)
    }

    pub fn leaves(&self) -> Leaves {
        self.leaves.clone()
    }

    /// From now on it tells and is told.
    pub fn spawn(
        self,
        config: &Config,
        commands: &mpsc::Sender<Command>,
        facts: mpsc::Sender<Vec<Fact>>,
        supervisor: &mut Supervisor,
    ) -> Link {
        let (sender, questions) = mpsc::channel::<Question>(QUESTIONS);
        let link = Link {
            troubles: self.troubles.clone(),
            changed: Arc::new(Notify::new()),
            identifier: Identifier::new(sender, self.troubles.clone()),
        };
        let (changed, commands) = (Arc::clone(&link.changed), commands.clone());
        let config = config.clone();
        let stop = supervisor.stop();
        supervisor.spawn("kubernetes", async move {
            let (told_own, records) = mpsc::channel(RECORDS);
            let told = cluster::follow(&self, &config, facts.clone(), told_own);
            let inlets = Inlets {
                questions,
                records,
                changed,
            };
            let services = services::follow(&self, &config, facts.clone());
            let pods = work::run(&self, &config, &commands, facts.clone(), inlets);
            let own = own::keep(&self, &config, &commands, &facts);
            tokio::select! {
                () = told => Ok(()),
                () = services => Ok(()),
                () = pods => Ok(()),
                ended = own => ended,
                () = stop.cancelled() => Ok(()),
            }
        });
        link
    }
}

/// An object that could not be read.
fn malformed(set: Set, record: String) -> Fact {
    Fact::Malformed {
        source: SOURCE,
        set,
        record,
    }
}
