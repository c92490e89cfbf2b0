//! What `tombolo operator` shows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use super::Operator;
use crate::{Answer, Page, Pages};

/// What the controllers have to tell of how they stand.
#[derive(Debug, Default)]
pub struct Shown(Mutex<Standing>);

#[derive(Clone, Debug, Default, Serialize)]
pub struct Standing {
    /// Whether it is we who do the work; another replica does otherwise.
    pub leads: bool,
    /// Who does, as far as it is known.
    pub leader: String,
    /// The definitions of custom resources are there.
    pub definitions: bool,
    /// Nodes that have ranges of pods.
    pub nodes: usize,
    pub identities: usize,
}

impl Shown {
    pub fn leader(&self, leads: bool, leader: &str) {
        let mut standing = self.lock();
        standing.leads = leads;
        leader.clone_into(&mut standing.leader);
    }

    pub fn definitions(&self) {
        self.lock().definitions = true;
    }

    pub fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct OperatorPages(pub Arc<Operator>);

#[derive(Serialize)]
struct OperatorStatus {
    program: &'static str,
    version: &'static str,
    cluster: String,
    /// The API server.
    server: String,
    ready: bool,
    #[serde(flatten)]
    standing: Standing,
    /// What does not go well at the moment, by what it is about.
    troubles: BTreeMap<String, String>,
}

impl OperatorPages {
    fn status(&self) -> OperatorStatus {
        let operator = &self.0;
        let standing = operator.shown.lock().clone();
        OperatorStatus {
            program: "operator",
            version: env!("CARGO_PKG_VERSION"),
            cluster: operator.options.cluster_name.clone(),
            server: operator.client.server().to_owned(),
            // One that stands by is ready to take over.
            ready: match standing.leads {
                true => standing.definitions,
                false => !standing.leader.is_empty(),
            },
            standing,
            troubles: operator.troubles.all(),
        }
    }

    fn metrics(&self) -> String {
        let status = self.status();
        let mut page = Page::default();
        let help = "1 where this replica leads, 0 where it stands by.";
        page.gauge("tombolo_operator_leads", help, status.standing.leads.into());
        let help = "What does not go well at the moment.";
        let troubles = status.troubles.len() as u64;
        page.gauge("tombolo_operator_troubles", help, troubles);
        page.text()
    }
}

impl Pages for OperatorPages {
    const PATHS: &'static str = "/healthz, /readyz, /metrics and /status";

    async fn page(&self, path: &str) -> Option<Answer> {
        Some(match path {
            "/healthz" => Answer::Text("ok\n".into()),
            "/readyz" => match self.status() {
                status if status.ready => Answer::Text("ok\n".into()),
                status => {
                    let first = status.troubles.into_iter().next();
                    Answer::Unavailable(first.map_or_else(
                        || "it is not known yet who leads".to_owned(),
                        |(about, trouble)| format!("{about}: {trouble}"),
                    ))
                }
            },
            "/metrics" => Answer::Text(self.metrics()),
            "/status" => Answer::json(&self.status()),
            _ => return None,
        })
    }
}
