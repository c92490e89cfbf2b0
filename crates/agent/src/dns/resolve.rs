//! From a question's bytes to the answer's.

use super::{
    Counts,
    forward::forward,
    message::{Malformed, Request},
};
use crate::{
    limit::{Admitted, Limit},
    node::{Command, answer},
};
use ipnet::IpNet;
use std::{net::IpAddr, sync::Arc};
use tokio::sync::mpsc;
use tombolo_control::random;
use tombolo_model::service::Protocol;

/// Questions that are at work at once.
const QUESTIONS_MAX: usize = 512;
/// A pod's programs have a handful; a quarter of all leaves others their room.
const QUESTIONS_EACH_MAX: usize = 128;

pub struct Resolver {
    commands: mpsc::Sender<Command>,
    /// Those who may ask: the node, and its pods.
    sources: Vec<IpNet>,
    pub(super) limit: Limit,
    pub(super) counts: Arc<Counts>,
}

impl Resolver {
    pub fn new(commands: mpsc::Sender<Command>, sources: Vec<IpNet>) -> Resolver {
        Resolver {
            commands,
            sources,
            limit: Limit::new(QUESTIONS_MAX, QUESTIONS_EACH_MAX),
            counts: Arc::default(),
        }
    }

    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Nothing for strangers, and for those who have asked too much at once.
    pub(super) fn admit(&self, from: IpAddr) -> Option<Admitted> {
        let mut sources = self.sources.iter();
        let is_known = sources.any(|range| range.contains(&from.to_canonical()));
        let admitted = is_known.then(|| self.limit.admit(from)).flatten();
        if admitted.is_none() {
            self.counts.refused.add();
        }
        admitted
    }

    /// Nothing for what is no question.
    pub(super) async fn answer(&self, bytes: &[u8], protocol: Protocol) -> Option<Vec<u8>> {
        let request = match Request::read(bytes) {
            Ok(request) => request,
            Err(Malformed::Ignore) => return None,
            Err(Malformed::Reply(reply)) => {
                self.counts.failed.add();
                return Some(reply);
            }
        };
        let question = request.question.clone();
        let asked = answer(&self.commands, |sender| {
            Command::Name(question, protocol, sender)
        });
        let Some((said, servers)) = asked.await else {
            self.counts.failed.add();
            return Some(request.fail());
        };
        let mut random = random();
        if let Some(reply) = request.answer(said, protocol, |limit| random.below(limit)) {
            self.counts.answered.add();
            return Some(reply);
        }
        match forward(bytes, &servers, protocol).await {
            Some(reply) => {
                self.counts.forwarded.add();
                Some(reply)
            }
            None => {
                self.counts.failed.add();
                Some(request.fail())
            }
        }
    }
}
