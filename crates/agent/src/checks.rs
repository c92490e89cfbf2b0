//! Answers load balancers that ask whether a service has backends on this node, each service at a port of its own.
//!
//! What is said there is the model's. Whoever reaches the node may ask, so a connection has one question, little time and a
//! place among few; nothing that is asked reaches the loop.

mod door;
#[cfg(test)]
mod tests;

use crate::limit::Limit;
use anyhow::Result;
use door::Door;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tombolo_model::{fact::Fact, service::Check};

/// Connections at all ports together: a thousand balancers that ask once in a second.
const CONNECTIONS_MAX: usize = 256;
/// Of one address. A balancer has one at a time for each service.
const CONNECTIONS_EACH_MAX: usize = 64;
/// Until a port that can't be opened is tried again, at first and at last.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

type Wanted = BTreeMap<u16, Check>;

/// The loop's end.
pub struct Checks(watch::Sender<Wanted>);

/// The end that answers.
pub struct CheckServer {
    wanted: watch::Receiver<Wanted>,
    limit: Limit,
    doors: BTreeMap<u16, Door>,
    refused: BTreeMap<u16, Refused>,
}

struct Refused {
    reason: String,
    pause: Duration,
    due: Instant,
}

impl Checks {
    pub fn set(&self, wanted: Wanted) {
        self.0.send_replace(wanted);
    }
}

impl CheckServer {
    pub fn new() -> (CheckServer, Checks) {
        let (sender, wanted) = watch::channel(Wanted::new());
        let server = CheckServer {
            wanted,
            limit: Limit::new(CONNECTIONS_MAX, CONNECTIONS_EACH_MAX),
            doors: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        (server, Checks(sender))
    }

    /// Answers until told to stop, or until the loop has ended.
    pub async fn follow(
        mut self,
        facts: mpsc::Sender<Vec<Fact>>,
        stop: CancellationToken,
    ) -> Result<()> {
        let mut told = BTreeMap::new();
        loop {
            let due = self.refused.values().map(|refused| refused.due).min();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = self.wanted.changed() => if changed.is_err() {
                    return Ok(());
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            self.turn().await;
            let refused = self.refused.iter();
            let now: BTreeMap<u16, String> = refused
                .map(|(port, refused)| (*port, refused.reason.clone()))
                .collect();
            if now != told {
                if facts
                    .send(vec![Fact::ChecksRefused(now.clone())])
                    .await
                    .is_err()
                {
                    return Ok(());
                }
                told = now;
            }
        }
    }

    /// Closes what is wanted no more, then opens what is wanted. Other ports are not touched.
    async fn turn(&mut self) {
        let wanted: BTreeSet<u16> = self.wanted.borrow_and_update().keys().copied().collect();
        self.refused.retain(|port, _| wanted.contains(port));
        let gone: Vec<u16> = self.doors.keys().copied().collect();
        for port in gone.into_iter().filter(|port| !wanted.contains(port)) {
            if let Some(door) = self.doors.remove(&port) {
                door.close().await;
                tracing::info!(port, "health checks end there");
            }
        }
        let now = Instant::now();
        for port in wanted {
            let rests = self
                .refused
                .get(&port)
                .is_some_and(|refused| refused.due > now);
            if !rests && !self.doors.contains_key(&port) {
                self.open(port, now);
            }
        }
    }

    fn open(&mut self, port: u16, now: Instant) {
        let reason = match Door::open(port, &self.wanted, &self.limit) {
            Ok(door) => {
                tracing::info!(port, "health checks are answered there");
                self.refused.remove(&port);
                self.doors.insert(port, door);
                return;
            }
            Err(error) => format!("{error:#}"),
        };
        let former = self.refused.remove(&port);
        if former.as_ref().is_none_or(|former| former.reason != reason) {
            tracing::warn!(
                port,
                "health checks can't be answered there: {reason}; see what listens there by `ss -ltnp sport = :{port}`; it is tried again"
            );
        }
        let pause = former.map_or(PAUSE_MIN, |former| (former.pause * 2).min(PAUSE_MAX));
        let refused = Refused {
            reason,
            pause,
            due: now + pause,
        };
        self.refused.insert(port, refused);
    }
}
