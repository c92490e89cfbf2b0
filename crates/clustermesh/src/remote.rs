//! A peer's records as facts for the world, each believed only as far as its cluster may say it.
//!
//! A record that is malformed or not the peer's to tell is counted with its reason and rejects only itself; what stood
//! at its key before is gone with it, so that what is known depends on what stands in the store, not on what stood there.

mod nodes;
mod rejects;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tombolo_model::{
    event::Event,
    fact::{Fact, Set, Source},
    record::{Key, Name, Peer, Record, Resource},
};

use crate::{
    Answer, Ids, Random, Request, Scope, Ticket,
    drive::Reading,
    reader::{self, Options, Reader},
};
use nodes::Nodes;
pub use rejects::{Reject, Rejects};

/// What a remote tells: facts for the world, and the records that the world has no use for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Fact(Fact),
    Record(Source, Resource, Event<Name, Box<Record>>),
}

#[derive(Debug)]
pub struct Remote {
    reader: Reader,
    peer: Option<Peer>,
    nodes: Nodes,
    rejects: BTreeMap<Resource, Rejects>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub reader: reader::Status,
    /// Of each kind that has any.
    pub rejects: BTreeMap<Resource, Rejects>,
}

impl Remote {
    pub fn new(options: Options, random: Random, now: Duration) -> Remote {
        Remote {
            reader: Reader::new(options, random, now),
            peer: None,
            nodes: Nodes::default(),
            rejects: BTreeMap::new(),
        }
    }

    pub fn status(&self, now: Duration) -> Status {
        let rejects = self
            .rejects
            .iter()
            .filter(|(_, rejects)| rejects.count() > 0);
        Status {
            reader: self.reader.status(now),
            rejects: rejects
                .map(|(resource, rejects)| (*resource, rejects.clone()))
                .collect(),
        }
    }

    /// As [`Reader::set_scope`].
    pub fn set_scope(&mut self, scope: Scope) {
        self.reader.set_scope(scope);
    }

    fn take(&mut self, told: reader::Told) -> Vec<Told> {
        let mut out = Vec::with_capacity(match &told {
            reader::Told::Records(_, events) => events.len(),
            reader::Told::Peer { .. } | reader::Told::Stale(_) | reader::Told::Gone(_) => 0,
        });
        match told {
            reader::Told::Peer { peer, .. } => self.peer = Some(peer),
            // Of one that has never been believed nothing is known that could be out of date.
            reader::Told::Stale(is_stale) => {
                let peer = self.peer.as_ref();
                out.extend(peer.map(|peer| Told::Fact(Fact::Stale(peer.id, is_stale))));
            }
            reader::Told::Gone(peer) => {
                self.peer = None;
                out.push(Told::Fact(Fact::Stale(peer.id, false)));
                self.nodes = Nodes::default();
                self.rejects.clear();
                for resource in self.reader.options().resources.clone() {
                    self.frame(&peer, resource, Event::Restart, &mut out);
                    self.frame(&peer, resource, Event::Synced, &mut out);
                }
            }
            reader::Told::Records(resource, events) => {
                let peer = self.peer.clone();
                let peer = peer.unwrap_or_else(|| panic!("{resource} of a peer that is not known"));
                for event in events {
                    self.record(&peer, resource, event, &mut out);
                }
            }
        }
        out
    }

    fn record(
        &mut self,
        peer: &Peer,
        resource: Resource,
        event: Event<Bytes, Bytes>,
        out: &mut Vec<Told>,
    ) {
        match event {
            Event::Restart => {
                self.rejects.insert(resource, Rejects::default());
                self.frame(peer, resource, Event::Restart, out);
            }
            Event::Synced => self.frame(peer, resource, Event::Synced, out),
            Event::Upsert(key, value) => {
                let rejects = self.rejects.entry(resource).or_default();
                match read(peer, resource, &key, &value) {
                    Ok((name, record)) => {
                        rejects.clear(&key);
                        self.upsert(peer, resource, name, record, out);
                    }
                    Err((name, reject)) => {
                        if let (Some(set), true) = (set(resource), rejects.add(key, reject)) {
                            let source = peer.source();
                            let record = rejects.last().map(|reject| reject.to_string());
                            let record = record.unwrap_or_default();
                            out.push(Told::Fact(Fact::Malformed {
                                source,
                                set,
                                record,
                            }));
                        }
                        if let Some(name) = name {
                            self.delete(peer, resource, name, out);
                        }
                    }
                }
            }
            Event::Delete(key) => {
                let rejected = self.rejects.entry(resource).or_default().clear(&key);
                if let (Some(name), false) = (name(resource, &key), rejected) {
                    self.delete(peer, resource, name, out);
                }
            }
        }
    }

    fn upsert(
        &mut self,
        peer: &Peer,
        resource: Resource,
        name: Name,
        record: Record,
        out: &mut Vec<Told>,
    ) {
        if let Record::Node(node) = &record {
            out.extend(self.nodes.upsert(peer, node).map(Told::Fact));
        }
        match peer.upsert(&record) {
            Some(fact) => out.push(Told::Fact(fact)),
            None => {
                let event = Event::Upsert(name, Box::new(record));
                out.push(Told::Record(peer.source(), resource, event));
            }
        }
    }

    fn delete(&mut self, peer: &Peer, resource: Resource, name: Name, out: &mut Vec<Told>) {
        if let Name::Node(node) = &name {
            out.extend(self.nodes.delete(peer, node).map(Told::Fact));
        }
        match peer.delete(&name) {
            Some(fact) => out.push(Told::Fact(fact)),
            None => out.push(Told::Record(peer.source(), resource, Event::Delete(name))),
        }
    }

    /// `Restart` and `Synced`, in the words of whoever listens for this kind.
    fn frame(
        &mut self,
        peer: &Peer,
        resource: Resource,
        event: Event<(), ()>,
        out: &mut Vec<Told>,
    ) {
        let (source, begins) = (peer.source(), event == Event::Restart);
        match resource {
            Resource::Nodes => {
                let event = if begins {
                    Event::Restart
                } else {
                    Event::Synced
                };
                out.push(Told::Fact(Fact::Node(source, event)));
                let gone = if begins {
                    self.nodes.restart()
                } else {
                    self.nodes.sweep(peer)
                };
                out.extend(gone.into_iter().map(Told::Fact));
            }
            Resource::Addresses if begins => {
                out.push(Told::Fact(Fact::Address(source, Event::Restart)));
                // Those that nodes tell of are in the same set, and would be swept.
                out.extend(self.nodes.addresses(peer).map(Told::Fact));
            }
            Resource::Addresses => out.push(Told::Fact(Fact::Address(source, Event::Synced))),
            _ => {
                let event = if begins {
                    Event::Restart
                } else {
                    Event::Synced
                };
                out.push(Told::Record(source, resource, event));
            }
        }
    }
}

impl Reading for Remote {
    type Told = Told;

    fn poll_request(&mut self) -> Option<Request> {
        self.reader.poll_request()
    }

    fn poll_told(&mut self) -> Option<Vec<Told>> {
        let told = self.reader.poll_told()?;
        Some(self.take(told))
    }

    fn handle(&mut self, ticket: Ticket, answer: Answer, now: Duration, ids: &mut Ids) -> bool {
        self.reader.handle(ticket, answer, now, ids)
    }

    fn poll_timeout(&self) -> Duration {
        self.reader.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.reader.handle_timeout(now);
    }

    fn restart(&mut self, now: Duration) {
        self.reader.restart(now);
    }

    fn remove(&mut self, now: Duration, ids: &mut Ids) {
        self.reader.remove(now, ids);
    }
}

fn set(resource: Resource) -> Option<Set> {
    match resource {
        Resource::Nodes => Some(Set::Nodes),
        Resource::Addresses => Some(Set::Addresses),
        _ => None,
    }
}

fn read(
    peer: &Peer,
    resource: Resource,
    key: &Bytes,
    value: &[u8],
) -> Result<(Name, Record), (Option<Name>, Reject)> {
    let text = String::from_utf8_lossy(key);
    let key = match text.parse() {
        Ok(Key::Record(key)) if key.name().resource() == resource => key,
        Ok(_) => return Err((None, Reject::outside(&text))),
        Err(error) => return Err((None, Reject::key(&error))),
    };
    let name = key.name().clone();
    match peer.read(&key, value) {
        Ok(record) => Ok((name, record)),
        Err(error) => Err((Some(name), Reject::record(&text, &error))),
    }
}

fn name(resource: Resource, key: &[u8]) -> Option<Name> {
    match std::str::from_utf8(key).ok()?.parse().ok()? {
        Key::Record(key) if key.name().resource() == resource => Some(key.name().clone()),
        _ => None,
    }
}
