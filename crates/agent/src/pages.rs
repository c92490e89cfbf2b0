//! What the agent shows to probes, to Prometheus and to balancers.

use crate::{
    kubernetes::Leaves,
    node::{Command, answer, ask},
};
use serde::Serialize;
use tokio::sync::mpsc;
use tombolo_control::{Answer, Pages, stamp, stamp_now};
use tombolo_model::local::{Reply, Request};

const BUSY: &str = "the agent's loop does not answer";
const LEAVES: &str = "the node is about to leave its cluster: send to others";

pub struct AgentPages(pub mpsc::Sender<Command>);

impl Pages for AgentPages {
    const PATHS: &'static str = "/healthz, /readyz, /metrics and /status";

    async fn page(&self, path: &str) -> Option<Answer> {
        let busy = || Answer::Unavailable(BUSY.into());
        match path {
            "/healthz" => {
                let alive = answer(&self.0, Command::Alive).await;
                Some(alive.map_or_else(busy, |()| Answer::Text("ok\n".into())))
            }
            "/readyz" => Some(match answer(&self.0, Command::Ready).await {
                Some(Ok(())) => Answer::Text("ok\n".into()),
                Some(Err(failure)) => Answer::Unavailable(format!("{failure}; {}", failure.hint)),
                None => busy(),
            }),
            "/metrics" => {
                let page = answer(&self.0, Command::Metrics).await;
                Some(page.map_or_else(busy, Answer::Text))
            }
            "/status" => Some(match ask(&self.0, Request::Status).await {
                Some(Reply::Status(status)) => Answer::json(&status),
                _ => busy(),
            }),
            _ => None,
        }
    }
}

/// What balancers ask each node that they send to, at the port and by the paths of kube-proxy.
pub struct NodePages {
    pub commands: mpsc::Sender<Command>,
    pub leaves: Leaves,
}

impl Pages for NodePages {
    const PATHS: &'static str = "/healthz and /livez";

    async fn page(&self, path: &str) -> Option<Answer> {
        let leaves = match path {
            "/healthz" => self.leaves.get(),
            "/livez" => false,
            _ => return None,
        };
        Some(match answer(&self.commands, Command::Alive).await {
            None => Answer::Unavailable(BUSY.into()),
            Some(()) if leaves => Answer::Unavailable(LEAVES.into()),
            Some(()) => Answer::json(&NodeHealth::now(!self.leaves.get())),
        })
    }
}

/// In the form of kube-proxy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeHealth {
    last_updated: String,
    current_time: String,
    node_eligible: bool,
}

impl NodeHealth {
    /// The loop has turned just now: it answered.
    fn now(node_eligible: bool) -> NodeHealth {
        let now = stamp(stamp_now());
        NodeHealth {
            last_updated: now.clone(),
            current_time: now,
            node_eligible,
        }
    }
}

#[cfg(test)]
mod tests;
