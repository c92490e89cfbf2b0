//! What somebody has been told of a cluster, kept as a world keeps it: what a snapshot does not repeat is swept.

use std::collections::BTreeMap;

use tombolo_clustermesh::remote;
use tombolo_model::{
    event::Event,
    fact::{Fact, Source},
    record::{AddressName, Name, Resource},
};

use crate::truth::{Truth, Version};

/// Sets of one teller, by the number of the cluster that they are of; 0 where numbers don't matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    sets: BTreeMap<(u16, Resource), Set>,
    /// How often whoever writes by this has asked for something.
    asks: u64,
    /// What is told was told in a former term, until the peer is named anew.
    is_former: bool,
}

#[derive(Clone, Debug, Default)]
struct Set {
    generation: u64,
    entries: BTreeMap<Name, (u64, Version)>,
    /// What was ever told of a name, each after how many asks; nothing where it had gone.
    ever: BTreeMap<Name, Vec<(u64, Option<Version>)>>,
    /// What there was when all had been told for the last time, without what has gone since.
    complete: Option<BTreeMap<Name, Version>>,
    /// The same of the time before.
    complete_before: Option<BTreeMap<Name, Version>>,
    /// After how many asks it was complete for the last time.
    complete_at: Option<u64>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Learnt {
    /// Without a version it was never true.
    Told {
        name: Name,
        version: Option<Version>,
    },
    Lost {
        name: Name,
        version: Version,
        /// By an event of its own, not by a snapshot that did not repeat it.
        deleted: bool,
    },
}

impl View {
    pub(crate) fn take(
        &mut self,
        id: u16,
        resource: Resource,
        event: Event<Name, Option<Version>>,
        out: &mut Vec<Learnt>,
    ) {
        let (asks, is_former) = (self.asks, self.is_former);
        let set = self.sets.entry((id, resource)).or_default();
        match event {
            Event::Restart => set.generation += 1,
            Event::Upsert(name, version) => {
                if let Some(version) = version {
                    set.note(&name, asks, Some(version));
                    set.entries.insert(name.clone(), (set.generation, version));
                }
                out.push(Learnt::Told { name, version });
            }
            Event::Delete(name) => {
                let complete = set.complete.iter_mut().chain(&mut set.complete_before);
                for complete in complete {
                    complete.remove(&name);
                }
                if let Some((_, version)) = set.entries.remove(&name) {
                    set.note(&name, asks, None);
                    let deleted = true;
                    out.push(Learnt::Lost {
                        name,
                        version,
                        deleted,
                    });
                }
            }
            Event::Synced => {
                let now = set.generation;
                let old = |_: &Name, (generation, _): &mut (u64, Version)| *generation != now;
                let swept: Vec<_> = set.entries.extract_if(.., old).collect();
                for (name, _) in &swept {
                    set.note(name, asks, None);
                }
                out.extend(swept.into_iter().map(|(name, (_, version))| Learnt::Lost {
                    name,
                    version,
                    deleted: false,
                }));
                if is_former {
                    return;
                }
                let entries = set.entries.iter();
                let complete = entries.map(|(name, (_, version))| (name.clone(), *version));
                let before = set.complete.replace(complete.collect());
                if set.complete_at.replace(asks) != Some(asks) {
                    set.complete_before = before;
                }
            }
        }
    }

    /// From now on all is told anew, after what is still on its way.
    pub(crate) fn begin_term(&mut self) {
        self.is_former = true;
        for set in self.sets.values_mut() {
            (set.complete, set.complete_before, set.complete_at) = (None, None, None);
        }
    }

    /// The peer is named: what follows is told in this term.
    pub(crate) fn begin_peer(&mut self) {
        self.is_former = false;
    }

    /// Whoever writes by this asks for something; what is told from now on is not in it.
    pub(crate) fn note_ask(&mut self) {
        self.asks += 1;
    }

    /// What a remote tells its agent.
    pub(crate) fn take_told(&mut self, truth: &Truth, told: &remote::Told, out: &mut Vec<Learnt>) {
        match told {
            remote::Told::Fact(Fact::Node(source, event)) => {
                let event = map(
                    event,
                    |key| Name::Node(key.name.clone()),
                    |node| truth.node_version(node),
                );
                self.take(id_of(*source), Resource::Nodes, event, out);
            }
            remote::Told::Fact(Fact::Address(source, event)) => {
                let id = id_of(*source);
                let name = |key: &tombolo_model::fact::AddressKey| {
                    let ip = key.prefix.addr();
                    Name::Address(AddressName { ip, length: None })
                };
                let event = match event {
                    Event::Upsert(key, address) if address.identity.is_reserved() => {
                        let name = name(key);
                        let version = Truth::health_version(&name);
                        Event::Upsert(name, version)
                    }
                    event => map(event, name, |address| Truth::address_version(id, address)),
                };
                self.take(id, Resource::Addresses, event, out);
            }
            remote::Told::Record(source, resource, event) => {
                let event = map(event, Name::clone, |record| Truth::record_version(record));
                self.take(id_of(*source), *resource, event, out);
            }
            remote::Told::Fact(_) => {}
        }
    }

    /// What was known of a name when a writer asked for the so manieth time.
    pub(crate) fn knew(&self, name: &Name, ask: u64) -> Option<Version> {
        let set = self.sets.get(&(0, name.resource()))?;
        let mut before = set.ever.get(name)?.iter().rev();
        before.find(|(asks, _)| *asks < ask)?.1
    }

    pub(crate) fn get(&self, id: u16, name: &Name) -> Option<Version> {
        let set = self.sets.get(&(id, name.resource()))?;
        set.entries.get(name).map(|(_, version)| *version)
    }

    /// All of one kind, without addresses of health endpoints.
    pub(crate) fn all(&self, id: u16, resource: Resource) -> BTreeMap<&Name, Version> {
        let set = self.sets.get(&(id, resource));
        let entries = set.into_iter().flat_map(|set| &set.entries);
        let entries = entries.filter(|(name, _)| Truth::health_version(name).is_none());
        entries
            .map(|(name, (_, version))| (name, *version))
            .collect()
    }

    pub(crate) fn health(&self, id: u16) -> impl Iterator<Item = &Name> {
        let set = self.sets.get(&(id, Resource::Addresses));
        let names = set.into_iter().flat_map(|set| set.entries.keys());
        names.filter(|name| Truth::health_version(name).is_some())
    }

    /// What was known when all had last been told before the last ask, if it ever was.
    pub(crate) fn complete(&self, id: u16, resource: Resource) -> Option<&BTreeMap<Name, Version>> {
        let set = self.sets.get(&(id, resource))?;
        match set.complete_at.is_some_and(|at| at < self.asks) {
            true => set.complete.as_ref(),
            false => set.complete_before.as_ref(),
        }
    }

    /// Numbers of clusters of which anything is known.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u16> {
        let known = self.sets.iter().filter(|(_, set)| !set.entries.is_empty());
        known.map(|((id, _), _)| *id)
    }
}

impl Set {
    fn note(&mut self, name: &Name, asks: u64, version: Option<Version>) {
        let ever = self.ever.entry(name.clone()).or_default();
        ever.push((asks, version));
    }
}

fn map<K, V>(
    event: &Event<K, V>,
    name: impl Fn(&K) -> Name,
    version: impl Fn(&V) -> Option<Version>,
) -> Event<Name, Option<Version>> {
    match event {
        Event::Restart => Event::Restart,
        Event::Upsert(key, value) => Event::Upsert(name(key), version(value)),
        Event::Delete(key) => Event::Delete(name(key)),
        Event::Synced => Event::Synced,
    }
}

fn id_of(source: Source) -> u16 {
    match source {
        Source::Cluster(id) => id.0,
        source => panic!("nobody here is {source}"),
    }
}
