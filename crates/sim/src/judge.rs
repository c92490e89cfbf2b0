//! What must hold at every moment, looked at after each step.
//!
//! * What is written into a store, and what is told of it, was true at some time of just that name.
//! * Within one life of a store nobody is told of a key's past after he was told of what came later; where no writer
//!   stands in for one that knew more, nothing goes back in time from one end of the mesh to the other.
//! * What is deleted from a store or from what an agent knows has ended: its cluster deleted or renumbered it, its lease
//!   ran out, or its cluster was taken out of the mesh.
//! * A canary that comes into being finds everything in the store that its writer had been told of by then.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use tombolo_kvstore::{Change, Revision};
use tombolo_model::record::{Key, Name, Resource, Tree};

use crate::{
    process::{End, ProcessId},
    server::Server,
    shape::Shape,
    truth::{Truth, Version},
    view::{Learnt, View},
};

#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// See `Shape::is_monotone`.
    pub(crate) monotone: bool,
    /// Whether leases may run out in an order that readers can't take for an end of the writer.
    pub(crate) leases_excuse: bool,
    /// Keys that no honest cluster has written.
    pub(crate) junk: BTreeSet<Bytes>,
    violation: Option<String>,
    stores: BTreeMap<u64, History>,
    /// The latest record of each name whose lease has run out anywhere.
    expired: BTreeMap<(usize, Name), Version>,
    /// Names of which an exporter has written less than another knew: what watches the cluster for it was behind, and it
    /// can't tell. Of these nothing may be said about the order until it has caught up.
    set_back: BTreeSet<(usize, Name)>,
    cursors: BTreeMap<(ProcessId, usize, Name), Cursor>,
    pub(crate) judged: u64,
}

/// All that happened to one store.
#[derive(Debug, Default)]
struct History {
    keys: BTreeMap<Bytes, Vec<Entry>>,
    /// When a canary of a kind was written first.
    canaries: BTreeMap<(usize, Tree, Resource), Revision>,
}

/// What stood at a key from a revision on.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Revision,
    /// Nothing after a deletion.
    version: Option<Version>,
    exporter: Option<End>,
}

/// Where a reader is with a name.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    data: u64,
    revision: Revision,
    version: Version,
}

/// Whose doing a change of a store is.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    Lease,
    /// A writer that has ended since it asked, or somebody who is not of the mesh.
    Stranger,
    /// What it has been told, and for the how manieth time it asks.
    Exporter(End, &'a View, u64),
    /// What it has been told of the peers that it copies.
    Mesh(&'a BTreeMap<usize, View>),
}

/// A reader of a peer, and of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    pub(crate) process: ProcessId,
    pub(crate) peer: usize,
    pub(crate) tree: Tree,
    /// The store that it has heard last.
    pub(crate) data: Option<u64>,
    /// Its peer has been taken out.
    pub(crate) leaves: bool,
}

impl Judge {
    pub(crate) fn new(shape: &Shape) -> Judge {
        Judge {
            monotone: shape.is_monotone(),
            leases_excuse: shape.upsets_leases(),
            ..Judge::default()
        }
    }

    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// The first violation is the one that counts.
    pub(crate) fn fail(&mut self, text: impl fmt::Display) {
        self.violation.get_or_insert_with(|| text.to_string());
    }

    pub(crate) fn check(&mut self, holds: bool, text: impl FnOnce() -> String) {
        self.judged += 1;
        if !holds {
            self.fail(text());
        }
    }

    /// What has happened to a store.
    pub(crate) fn written(
        &mut self,
        server: &Server,
        by: By,
        changes: &[Change],
        truths: &[Truth],
    ) {
        for change in changes {
            let key = String::from_utf8_lossy(&change.record.key);
            match key.parse() {
                Ok(Key::Record(_)) => self.record_written(server, by, change, truths),
                Ok(Key::Synced {
                    cluster,
                    tree,
                    resource,
                }) if change.record.version == 1 => {
                    let of = truths.iter().find(|truth| truth.name == cluster);
                    if let Some(truth) = of {
                        let place = (tree, resource, change.record.modified);
                        self.canary_written(server, by, truth, place);
                    }
                }
                _ => {}
            }
        }
    }

    fn record_written(&mut self, server: &Server, by: By, change: &Change, truths: &[Truth]) {
        let record = &change.record;
        let Some((truth, tree, name)) = self.whose(server, &record.key, truths) else {
            return;
        };
        let history = self.stores.entry(server.data).or_default();
        let entries = history.keys.entry(record.key.clone()).or_default();
        let before = entries.iter().rev().find(|entry| entry.version.is_some());
        let before = before.copied();
        let stood = entries.last().is_some_and(|last| last.version.is_some());
        let version = match record.is_deletion() {
            true => None,
            false => truth.version_of(&name, &record.value),
        };
        let exporter = match by {
            By::Exporter(exporter, ..) => Some(exporter),
            _ => None,
        };
        entries.push(Entry {
            at: record.modified,
            version,
            exporter,
        });
        let what = || {
            format!(
                "{tree:?} of {} in store {:x}: {name}",
                truth.name, server.data
            )
        };
        let ended = |version| truth.has_ended(&name, version);
        let place = (truth.cluster, name.clone());
        let knew = match by {
            By::Exporter(_, view, ask) => Some(view.knew(&name, ask)),
            _ => None,
        };
        if let (Some(knew), Some(before)) = (knew, before)
            && knew < before.version
            && before.exporter != exporter
        {
            self.set_back.insert(place.clone());
        }
        let before = before.and_then(|before| before.version);
        let set_back = self.set_back.contains(&place);
        match (version, before) {
            (None, _) if !record.is_deletion() => {
                self.fail(format_args!("{}: was written and never true", what()));
            }
            (None, Some(before)) if matches!(by, By::Lease) => {
                let expired = self.expired.entry(place).or_default();
                *expired = before.max(*expired);
            }
            (None, Some(before)) => {
                let legal = !self.monotone
                    || set_back
                    || ended(before)
                    || self.has_expired(truth, &name, before)
                    || leaves(by, truth.cluster);
                self.check(legal, || {
                    format!("{}: version {before} was deleted and is true", what())
                });
            }
            (Some(version), Some(before)) if self.monotone && !set_back => {
                let expired = self.expired.contains_key(&place);
                let again = version == before && !stood && ended(version) && !expired;
                self.check(version >= before, || {
                    format!("{}: version {version} was written over {before}", what())
                });
                let told = knew == Some(Some(version));
                self.check(!again || told || matches!(by, By::Mesh(_)), || {
                    format!("{}: version {version} came back after its end", what())
                });
            }
            _ => {}
        }
    }

    /// Of which cluster a record in this store is, if an honest one.
    fn whose<'a>(
        &self,
        server: &Server,
        key: &Bytes,
        truths: &'a [Truth],
    ) -> Option<(&'a Truth, Tree, Name)> {
        if self.junk.contains(key) {
            return None;
        }
        let text = std::str::from_utf8(key).ok()?;
        let Ok(Key::Record(parsed)) = text.parse() else {
            return None;
        };
        let truth = match parsed.cluster() {
            Some(cluster) => truths.iter().find(|truth| truth.name == cluster)?,
            None => &truths[server.cluster],
        };
        let of_junk = truth.key(Tree::State, parsed.name());
        (!self.junk.contains(&of_junk)).then(|| (truth, parsed.tree(), parsed.name().clone()))
    }

    fn canary_written(
        &mut self,
        server: &Server,
        by: By,
        truth: &Truth,
        (tree, resource, at): (Tree, Resource, Revision),
    ) {
        let history = self.stores.entry(server.data).or_default();
        let kind = (truth.cluster, tree, resource);
        history.canaries.entry(kind).or_insert(at);
        let view = match by {
            By::Exporter(_, view, _) => view,
            By::Mesh(views) => match views.get(&truth.cluster) {
                Some(view) => view,
                None => return,
            },
            By::Lease | By::Stranger => return,
        };
        let what = format!("{tree:?} of {} in store {:x}", truth.name, server.data);
        let Some(complete) = view.complete(0, resource) else {
            return self.fail(format_args!(
                "{what}: a canary of {resource} came too early"
            ));
        };
        if matches!(by, By::Exporter(..)) {
            self.note_set_back(truth, resource, complete);
        }
        let history = self.stores.entry(server.data).or_default();
        for (name, version) in complete {
            let entries = history.keys.get(&truth.key(tree, name));
            let stands = entries.and_then(|entries| entries.last()?.version);
            if stands.is_none_or(|stands| stands < *version) {
                let violation = format!("{what}: a canary of {resource} without {name} {version}");
                self.violation.get_or_insert(violation);
            }
        }
    }

    /// What another exporter wrote into a store of before, and the one that writes now has not been told of yet.
    fn note_set_back(
        &mut self,
        truth: &Truth,
        resource: Resource,
        complete: &BTreeMap<Name, Version>,
    ) {
        let own = (truth.cluster, Tree::State, resource);
        let stores = self.stores.values();
        let stores = stores.filter(|store| store.canaries.contains_key(&own));
        for (key, entries) in stores.flat_map(|store| &store.keys) {
            let name = match truth.name_at(key) {
                Some((Tree::State, name)) if name.resource() == resource => name,
                _ => continue,
            };
            let stood = entries.last().and_then(|last| last.version);
            let lacks = |version| complete.get(&name).is_none_or(|known| *known < version);
            if stood.is_some_and(|version| lacks(version) && !truth.has_ended(&name, version)) {
                self.set_back.insert((truth.cluster, name));
            }
        }
    }

    fn has_expired(&self, truth: &Truth, name: &Name, version: Version) -> bool {
        let expired = self.expired.get(&(truth.cluster, name.clone()));
        self.leases_excuse && expired.is_some_and(|expired| *expired >= version)
    }

    /// Whether leases have ended that readers could not take for their writer's end.
    pub(crate) fn has_seen_leases_end(&self) -> bool {
        self.leases_excuse && !self.expired.is_empty()
    }

    /// What a reader has told of its peer.
    pub(crate) fn told(&mut self, reader: Reader, all: &[Learnt], truth: &Truth, view: &View) {
        for learnt in all {
            match learnt {
                Learnt::Told { name, version } => {
                    let version = version.filter(|version| truth.was(name, *version));
                    let what = || format!("{:?} was told of {name}", reader);
                    match version {
                        None => self.fail(format_args!("{}, which was never true", what())),
                        Some(version) => self.told_of(reader, name, version, truth),
                    }
                }
                Learnt::Lost { name, version, .. } => {
                    let legal = self.may_lose(reader, (name, *version), all, truth, view);
                    self.check(legal, || {
                        format!("{reader:?} lost {name} {version}, which is true")
                    });
                }
            }
        }
    }

    fn told_of(&mut self, reader: Reader, name: &Name, version: Version, truth: &Truth) {
        if Truth::health_version(name).is_some() {
            return;
        }
        let Some(data) = reader.data else {
            return self.fail(format_args!("{reader:?} was told of {name} by nobody"));
        };
        let key = truth.key(reader.tree, name);
        let entries = self
            .stores
            .get(&data)
            .and_then(|store| store.keys.get(&key));
        let place = (reader.process, reader.peer, name.clone());
        let cursor = self.cursors.get(&place).copied();
        let same = cursor.filter(|cursor| cursor.data == data);
        let since = same.map_or(Revision(0), |cursor| cursor.revision);
        let entry = entries.into_iter().flatten();
        let mut entry = entry.filter(|it| it.at >= since && it.version == Some(version));
        let Some(Entry { at: revision, .. }) = entry.next().copied() else {
            return self.fail(format_args!(
                "{reader:?} was told of {name} {version} after revision {since}"
            ));
        };
        let set_back = self.set_back.contains(&(truth.cluster, name.clone()));
        let ordered = self.monotone && !set_back;
        let back = cursor.filter(|cursor| cursor.version > version && ordered);
        self.check(back.is_none(), || {
            format!("{reader:?} was told of {name} {version} after {back:?}")
        });
        let cursor = Cursor {
            data,
            revision,
            version,
        };
        self.cursors.insert(place, cursor);
    }

    fn may_lose(
        &self,
        reader: Reader,
        (name, version): (&Name, Version),
        learnt: &[Learnt],
        truth: &Truth,
        view: &View,
    ) -> bool {
        if reader.leaves || truth.has_ended(name, version) || self.has_expired(truth, name, version)
        {
            return true;
        }
        if Truth::health_version(name).is_some() {
            // They go with the record of their node, which is judged by itself; it may be back by now.
            let node = |it: &Learnt| matches!(it, Learnt::Lost { name: Name::Node(_), version: at, .. } if *at == version);
            let nodes = view.all(truth.id, Resource::Nodes);
            return learnt.iter().any(node) || !nodes.values().any(|node| *node == version);
        }
        let set_back = self.set_back.contains(&(truth.cluster, name.clone()));
        (!self.monotone || set_back) && self.has_lacked(reader, name, version, truth)
    }

    /// Whether the reader's store did not have it at some time after the reader was told of it there, or after the
    /// store first said that it had all. The reader may be behind: what the store has now says nothing of what it reads.
    fn has_lacked(&self, reader: Reader, name: &Name, version: Version, truth: &Truth) -> bool {
        let Some(data) = reader.data else {
            return false;
        };
        let kind = (reader.peer, reader.tree, name.resource());
        let store = self.stores.get(&data);
        let Some((store, listed)) = store.and_then(|it| Some((it, *it.canaries.get(&kind)?)))
        else {
            return false;
        };
        let cursor = self
            .cursors
            .get(&(reader.process, reader.peer, name.clone()));
        let told = cursor.filter(|cursor| cursor.data == data);
        let since = told.map_or(listed, |cursor| cursor.revision.max(listed));
        let entries = store.keys.get(&truth.key(reader.tree, name));
        let entries = entries.map_or(&[][..], Vec::as_slice);
        let before = entries.partition_point(|entry| entry.at <= since);
        let first = before.checked_sub(1);
        let first = first.and_then(|last| entries[last].version);
        let later = entries[before..].iter().map(|entry| entry.version);
        let mut stood = [first].into_iter().chain(later);
        stood.any(|stood| stood.is_none_or(|stood| stood < version))
    }
}

/// Whether the writer drains what it has of a cluster.
fn leaves(by: By, cluster: usize) -> bool {
    matches!(by, By::Mesh(views) if !views.contains_key(&cluster))
}
