//! Who uses which identity, and for how long nobody has. No input or output; time comes in as an argument.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use serde::Deserialize;
use tombolo_k8s::client::{Item, ObjectName, WatchChange};
use tombolo_model::{event::Event, id::Identity};

use super::UNUSED;

/// What clusters give. Here it is this cluster's own, or was when the cluster had another number; below are those that mean the
/// same everywhere, which nobody makes objects of.
const GIVEN: RangeInclusive<Identity> = Identity(256)..=Identity(0xff_ffff);

pub struct Usage {
    half: Duration,
    identities: BTreeMap<ObjectName, Known>,
    endpoints: BTreeMap<ObjectName, Identity>,
    users: BTreeMap<Identity, usize>,
    identities_seen: Frame,
    endpoints_seen: Frame,
}

#[derive(Debug)]
struct Known {
    identity: Identity,
    version: String,
    marked: bool,
    /// Since when it has been seen as it is: without users, and with or without the mark.
    since: Duration,
}

#[derive(Default)]
struct Frame {
    seen: BTreeSet<ObjectName>,
    synced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Mark { name: ObjectName, version: String },
    Unmark { name: ObjectName, version: String },
    End { name: ObjectName, version: String },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IdentityForm {
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EndpointForm {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    identity: IdentityOf,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IdentityOf {
    id: u32,
}

impl Usage {
    pub fn new(half: Duration) -> Usage {
        Usage {
            half,
            identities: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            users: BTreeMap::new(),
            identities_seen: Frame::default(),
            endpoints_seen: Frame::default(),
        }
    }

    pub fn count(&self) -> usize {
        self.identities.len()
    }

    pub fn identity(&mut self, change: WatchChange, now: Duration) {
        let gone = match self.identities_seen.take(change, self.identities.keys()) {
            Framed::Upsert(name, item) => return self.upsert(name, &item, now),
            Framed::Gone(names) => names,
        };
        for name in gone {
            self.identities.remove(&name);
        }
    }

    fn upsert(&mut self, name: ObjectName, item: &Item, now: Duration) {
        let Some(identity) = name.name.parse().ok().map(Identity) else {
            return;
        };
        if !GIVEN.contains(&identity) {
            return;
        }
        let form: IdentityForm = item.read().unwrap_or_default();
        let annotations = form.metadata.annotations.unwrap_or_default();
        // Whatever was changed about it: its time begins anew.
        let known = Known {
            identity,
            version: item.version().to_owned(),
            marked: annotations.contains_key(UNUSED),
            since: now,
        };
        self.identities.insert(name, known);
    }

    pub fn endpoint(&mut self, change: WatchChange, now: Duration) {
        match self.endpoints_seen.take(change, self.endpoints.keys()) {
            Framed::Upsert(name, item) => {
                let form: EndpointForm = item.read().unwrap_or_default();
                let identity = Identity(form.status.identity.id);
                let before = self.endpoints.insert(name, identity);
                *self.users.entry(identity).or_default() += 1;
                before.into_iter().for_each(|before| self.left(before, now));
            }
            Framed::Gone(names) => {
                for name in names {
                    let before = self.endpoints.remove(&name);
                    before.into_iter().for_each(|before| self.left(before, now));
                }
            }
        }
    }

    fn left(&mut self, identity: Identity, now: Duration) {
        let Some(users) = self.users.get_mut(&identity) else {
            return;
        };
        *users -= 1;
        if *users > 0 {
            return;
        }
        self.users.remove(&identity);
        let name = ObjectName {
            namespace: String::new(),
            name: identity.0.to_string(),
        };
        if let Some(known) = self.identities.get_mut(&name) {
            known.since = now;
        }
    }

    pub fn steps(&self, now: Duration) -> Vec<Step> {
        if !self.identities_seen.synced || !self.endpoints_seen.synced {
            return Vec::new();
        }
        let each = self.identities.iter().filter_map(|(name, known)| {
            let used = self.users.contains_key(&known.identity);
            let (name, version) = (name.clone(), known.version.clone());
            let due = now.saturating_sub(known.since) >= self.half;
            match (used, known.marked) {
                (true, true) => Some(Step::Unmark { name, version }),
                (false, false) if due => Some(Step::Mark { name, version }),
                (false, true) if due => Some(Step::End { name, version }),
                _ => None,
            }
        });
        each.collect()
    }
}

enum Framed {
    Upsert(ObjectName, Item),
    Gone(Vec<ObjectName>),
}

impl Frame {
    /// Sweeps what a list did not repeat.
    fn take<'a>(
        &mut self,
        change: WatchChange,
        known: impl Iterator<Item = &'a ObjectName>,
    ) -> Framed {
        match change {
            Err(reject) => {
                tracing::warn!("an object is refused: {reject}");
                Framed::Gone(Vec::new())
            }
            Ok(Event::Restart) => {
                self.seen.clear();
                Framed::Gone(Vec::new())
            }
            Ok(Event::Upsert(name, item)) => {
                self.seen.insert(name.clone());
                Framed::Upsert(name, item)
            }
            Ok(Event::Delete(name)) => {
                self.seen.remove(&name);
                Framed::Gone(vec![name])
            }
            Ok(Event::Synced) => {
                self.synced = true;
                let seen = std::mem::take(&mut self.seen);
                Framed::Gone(known.filter(|name| !seen.contains(name)).cloned().collect())
            }
        }
    }
}
