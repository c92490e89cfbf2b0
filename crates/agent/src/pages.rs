//! What the agent shows to probes and to Prometheus.

use crate::node::{Command, answer};
use tokio::sync::mpsc;
use tombolo_control::{Answer, Pages};

const BUSY: &str = "the agent's loop does not answer";

pub struct AgentPages(pub mpsc::Sender<Command>);

impl Pages for AgentPages {
    const PATHS: &'static str = "/healthz and /metrics";

    async fn page(&self, path: &str) -> Option<Answer> {
        let busy = || Answer::Unavailable(BUSY.into());
        match path {
            "/healthz" => {
                let alive = answer(&self.0, Command::Alive).await;
                Some(alive.map_or_else(busy, |()| Answer::Text("ok\n".into())))
            }
            "/metrics" => {
                let page = answer(&self.0, Command::Metrics).await;
                Some(page.map_or_else(busy, Answer::Text))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
