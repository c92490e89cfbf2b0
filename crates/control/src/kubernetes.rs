//! What all programs share that speak to Kubernetes: which cluster, and what goes wrong on the way.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clap::Args;
use tombolo_k8s::client::{Client, Connect, Error, Selection, Watch, WatchChange};

#[derive(Args, Clone, Debug, Default)]
pub struct KubernetesOptions {
    /// Kubeconfig of the cluster's API server; without one, what a pod's service account is given
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig, if not its current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl KubernetesOptions {
    /// Asks the server nothing yet.
    pub async fn connect(&self) -> Result<Client, Error> {
        Client::connect(&Connect {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        })
        .await
    }
}

/// What does not go well at the moment, by what it is about. Each is logged once when it comes, and once when it goes.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<String, String>>>);

impl Troubles {
    pub fn set(&self, about: &str, trouble: impl Into<String>) {
        let trouble = trouble.into();
        let before = self.lock().insert(about.to_owned(), trouble.clone());
        if before.as_ref() != Some(&trouble) {
            tracing::warn!("{about}: {trouble}");
        }
    }

    /// Trouble that goes on is the same, whatever the words.
    fn begin(&self, about: &str, trouble: &str) {
        if !self.lock().contains_key(about) {
            self.set(about, trouble);
        }
    }

    pub fn clear(&self, about: &str) {
        if self.lock().remove(about).is_some() {
            tracing::info!("{about}: it goes well again");
        }
    }

    pub fn all(&self) -> BTreeMap<String, String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const API_SERVER: &str = "the API server";

/// A watch that never fails: what goes wrong is trouble, and it goes on.
pub struct Feed {
    watch: Watch,
    about: String,
    troubles: Troubles,
}

impl Feed {
    pub fn new(client: &Client, selection: Selection, troubles: &Troubles) -> Feed {
        Feed {
            about: format!("watching {selection}"),
            watch: client.watch(selection),
            troubles: troubles.clone(),
        }
    }

    /// Safe to cancel.
    pub async fn next(&mut self) -> WatchChange {
        loop {
            match self.watch.next().await {
                Ok(change) => {
                    self.troubles.clear(&self.about);
                    self.troubles.clear(API_SERVER);
                    if let Some(change) = change {
                        return change;
                    }
                }
                // One for all that is watched.
                Err(error @ Error::Unreachable { .. }) => {
                    self.troubles.begin(API_SERVER, &error.to_string());
                }
                Err(error) => self.troubles.set(&self.about, error.to_string()),
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.troubles.lock().remove(&self.about);
    }
}
