//! What the agent shows to probes and to Prometheus.

use crate::node::{Command, answer, ask};
use tokio::sync::mpsc;
use tombolo_control::{Answer, Pages};
use tombolo_model::local::{Reply, Request};

const BUSY: &str = "the agent's loop does not answer";

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

#[cfg(test)]
mod tests;
