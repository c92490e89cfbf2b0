//! Copies what peers have into our own store, byte for byte, so that the agents of a cluster read one store only.
//!
//! A peer that is taken out of the mesh is drained in steps. Until its records go it can come back at any time, and what is
//! there of it is brought up to date as after a cut; only the last step is done to its end first:
//!
//! ```text
//! Copying ──► Leaving: its config goes ──► Grace: agents leave it ──► Draining: canaries, then records ──► gone
//!    ▲               │ it comes back             │
//!    └───────────────┴───────────────────────────┘
//! ```
//! A peer that was taken out while no copier ran is not looked for: its keys end with their leases.
//!
//! Of several copiers one writes. The others keep nothing of what they hear, nor of what they knew when they wrote:
//! whoever begins to write adopts what is there, and reads all peers anew. A store that has lost everything therefore
//! stays without a peer that is out of reach until it is heard again; agents keep what they know of it.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use tombolo_model::{
    event::Event,
    record::{Key, Resource, Tree, mirror_config},
};

use crate::{
    Random,
    drive::Writing,
    export::Lock,
    reader::Told,
    remote::{Reject, Rejects},
    writer::{self, Answer, Ask, Options, Writer},
};

/// How long agents have to leave a peer before its records go, unless told.
pub const GRACE: Duration = Duration::from_secs(180);

/// For people; readers go by the key alone.
const UNHEARD: Bytes = Bytes::from_static(b"unheard");

#[derive(Debug)]
pub struct Kvstoremesh {
    writer: Writer,
    grace: Duration,
    peers: BTreeMap<String, Copied>,
}

#[derive(Debug)]
struct Copied {
    step: Step,
    /// The writer's term in which its reader has begun to tell.
    term: u64,
    /// Where the peer has its records.
    tree: Tree,
    places: BTreeMap<Resource, Place>,
    rejects: BTreeMap<Resource, Rejects>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Copying,
    Leaving,
    Grace { until: Duration },
    Draining,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Copying => "copied",
            Step::Leaving => "its config goes",
            Step::Grace { .. } => "agents have time to leave it",
            Step::Draining => "its records go",
        })
    }
}

impl Kvstoremesh {
    pub fn new(lock: Lock, random: Random) -> Kvstoremesh {
        let options = Options {
            lock: Bytes::from_static(b"cilium/kvstoremesh-lock"),
            holder: lock.holder,
            heartbeat: Some(Key::Heartbeat.to_string().into()),
            epoch: lock.epoch,
            told_anew: true,
        };
        Kvstoremesh {
            writer: Writer::new(options, random),
            grace: GRACE,
            peers: BTreeMap::new(),
        }
    }

    /// How long agents have to leave a peer from now on.
    pub fn set_grace(&mut self, grace: Duration) {
        self.grace = grace;
    }

    /// False while records of this peer's former life are going: try again when they have gone.
    pub fn add(&mut self, peer: &str) -> bool {
        if let Some(copied) = self.peers.get_mut(peer) {
            if let Step::Leaving | Step::Grace { .. } = copied.step {
                *copied = Copied::new();
                self.writer.keep(config_key(peer));
                self.writer.keep(unheard_key(peer));
            }
            return copied.step == Step::Copying;
        }
        for resource in Resource::ALL {
            let canary = Key::Synced {
                cluster: peer.to_owned(),
                tree: Tree::Cache,
                resource,
            };
            let prefix = resource.prefix(Tree::Cache, peer);
            self.writer
                .add_set(prefix.into(), Some(canary.to_string().into()));
        }
        self.writer.keep(config_key(peer));
        self.writer.keep(unheard_key(peer));
        self.peers.insert(peer.to_owned(), Copied::new());
        true
    }

    /// Begins to drain a peer that has been taken out of the mesh.
    pub fn remove(&mut self, peer: &str) {
        let copied = self.peers.get_mut(peer);
        let Some(copied) = copied.filter(|copied| copied.step == Step::Copying) else {
            return;
        };
        copied.step = Step::Leaving;
        if self.writer.leads() {
            self.writer.delete(config_key(peer));
            self.writer.delete(unheard_key(peer));
        } else {
            self.forget_leaving();
        }
    }

    /// Another copier puts away what is there of peers that were taken out.
    fn forget_leaving(&mut self) {
        let Kvstoremesh { writer, peers, .. } = self;
        peers.retain(|peer, copied| {
            let stays = copied.step == Step::Copying;
            if !stays {
                writer.forget(&config_key(peer));
                writer.forget(&unheard_key(peer));
                for resource in Resource::ALL {
                    writer.forget_set(&resource.prefix(Tree::Cache, peer).into());
                }
            }
            stays
        });
    }

    pub fn step(&self, peer: &str) -> Option<Step> {
        self.peers.get(peer).map(|copied| copied.step)
    }

    pub fn rejects(&self, peer: &str) -> Option<&BTreeMap<Resource, Rejects>> {
        self.peers.get(peer).map(|copied| &copied.rejects)
    }

    /// Peers that were taken out and are being put away.
    pub fn leaving(&self) -> impl Iterator<Item = (&str, Step)> {
        let leaving = self.peers.iter();
        let leaving = leaving.filter(|(_, copied)| copied.step != Step::Copying);
        leaving.map(|(peer, copied)| (peer.as_str(), copied.step))
    }

    pub fn status(&self) -> writer::Status {
        self.writer.status()
    }

    /// Whether our store has what the peer has of these kinds, or another copier sees to that.
    pub fn has_copied(&self, peer: &str, kinds: impl IntoIterator<Item = Resource>) -> bool {
        let mut prefixes = kinds.into_iter().map(|kind| kind.prefix(Tree::Cache, peer));
        self.writer.stands_by() || prefixes.all(|prefix| self.writer.holds(&prefix.into()))
    }

    /// How much waits to be written; who tells much waits while this is large.
    pub fn pending(&self) -> usize {
        self.writer.pending()
    }

    /// Whether so much waits to be written that there is no point in gathering more.
    pub fn is_pressed(&self) -> bool {
        self.writer.is_pressed()
    }

    /// What the reader of a peer has learnt.
    pub fn take(&mut self, peer: &str, told: Told) {
        let Some(copied) = self
            .peers
            .get_mut(peer)
            .filter(|copied| copied.step == Step::Copying)
        else {
            return;
        };
        if !self.writer.leads() {
            return;
        }
        match told {
            Told::Peer { tree, config, .. } => {
                (copied.tree, copied.term) = (tree, self.writer.term());
                copied.places.clear();
                if let Ok(config) = mirror_config(&config) {
                    self.writer.put(config_key(peer), config.into());
                }
            }
            // Told before we led, and by now perhaps no longer so.
            Told::Records(..) if copied.term != self.writer.term() => {}
            Told::Records(resource, events) => {
                let rejects = copied.rejects.entry(resource).or_default();
                let place = copied.places.entry(resource);
                let place = place.or_insert_with(|| Place::new(resource, copied.tree, peer));
                for event in events {
                    if let Some(event) = place.copy(event, rejects) {
                        self.writer.handle(&place.to, event);
                    }
                }
            }
            // Agents can't see it: they are connected to our store.
            Told::Stale(true) => self.writer.put(unheard_key(peer), UNHEARD),
            Told::Stale(false) => self.writer.delete(unheard_key(peer)),
            // It is listed anew under its other number, and what is not repeated is swept then.
            Told::Gone(_) => {}
        }
    }

    fn advance(&mut self, now: Duration) {
        if !self.writer.leads() {
            return self.forget_leaving();
        }
        let Kvstoremesh {
            writer,
            grace,
            peers,
        } = self;
        peers.retain(|peer, copied| {
            let prefix = |kind: Resource| Bytes::from(kind.prefix(Tree::Cache, peer));
            let mut prefixes = Resource::ALL.into_iter().map(prefix);
            match copied.step {
                Step::Copying => {}
                Step::Leaving if writer.is_settled(&config_key(peer)) => {
                    copied.step = Step::Grace {
                        until: now + *grace,
                    };
                }
                Step::Grace { until } if until <= now => {
                    prefixes.for_each(|prefix| writer.remove_set(&prefix));
                    copied.step = Step::Draining;
                }
                Step::Draining => return prefixes.any(|prefix| writer.has_set(&prefix)),
                Step::Leaving | Step::Grace { .. } => {}
            }
            true
        });
    }
}

impl Copied {
    fn new() -> Copied {
        Copied {
            step: Step::Copying,
            term: 0,
            tree: Tree::State,
            places: BTreeMap::new(),
            rejects: BTreeMap::new(),
        }
    }
}

/// Where records of one kind lie in the peer's store and in ours.
#[derive(Debug)]
struct Place {
    from: String,
    to: Bytes,
    resource: Resource,
}

impl Place {
    fn new(resource: Resource, tree: Tree, peer: &str) -> Place {
        Place {
            from: resource.prefix(tree, peer),
            to: resource.prefix(Tree::Cache, peer).into(),
            resource,
        }
    }

    fn copy(
        &self,
        event: Event<Bytes, Bytes>,
        rejects: &mut Rejects,
    ) -> Option<Event<Bytes, Bytes>> {
        match event {
            Event::Restart => {
                *rejects = Rejects::default();
                Some(Event::Restart)
            }
            Event::Synced => Some(Event::Synced),
            Event::Delete(key) => {
                rejects.clear(&key);
                self.key(&key).ok().map(Event::Delete)
            }
            Event::Upsert(key, value) => {
                let ours = match self.key(&key) {
                    Ok(ours) => ours,
                    Err(reject) => {
                        rejects.add(key, reject);
                        return None;
                    }
                };
                let max = self.resource.value_len_max();
                if value.len() > max {
                    let why = format!("its value has {} bytes, more than {max}", value.len());
                    let reject = Reject::new("too-long", &key, &why);
                    rejects.add(key, reject);
                    return Some(Event::Delete(ours));
                }
                rejects.clear(&key);
                Some(Event::Upsert(ours, value))
            }
        }
    }

    /// Keys that no agent could read are not copied.
    fn key(&self, key: &[u8]) -> Result<Bytes, Reject> {
        let text = String::from_utf8_lossy(key);
        match text.parse::<Key>() {
            Ok(Key::Record(_)) => {}
            Ok(_) => return Err(Reject::outside(&text)),
            Err(error) => return Err(Reject::key(&error)),
        }
        match text.strip_prefix(&self.from) {
            Some(rest) => Ok([&self.to[..], rest.as_bytes()].concat().into()),
            None => Err(Reject::outside(&text)),
        }
    }
}

impl Writing for Kvstoremesh {
    fn poll_ask(&mut self, now: Duration) -> Option<Ask> {
        self.advance(now);
        self.writer.poll_ask(now)
    }

    fn answered(&mut self, answer: Answer, now: Duration) {
        self.writer.answered(answer, now);
    }

    fn term(&self) -> u64 {
        self.writer.term()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let grace = self.peers.values().filter_map(|copied| match copied.step {
            Step::Grace { until } => Some(until),
            _ => None,
        });
        grace.chain(self.writer.poll_timeout()).min()
    }
}

fn unheard_key(peer: &str) -> Bytes {
    let cluster = peer.to_owned();
    Key::Unheard { cluster }.to_string().into()
}

fn config_key(peer: &str) -> Bytes {
    let cluster = peer.to_owned();
    Key::ClusterConfig { cluster }.to_string().into()
}
