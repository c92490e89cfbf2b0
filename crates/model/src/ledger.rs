//! What the kernel holds, what it does not hold yet, and in which order it is told.
//!
//! Nothing is queued as a change: a key is noted, and the change is worked out when its turn comes, from what is
//! wanted then. Those that were worked out together are good until a key is noted anew. Within one round:
//!
//! ```text
//!  rules ─► nodes set ─► endpoints set ─► addresses set ─► services ─► addresses gone ─► routes ─► endpoints gone ─► nodes gone
//!                                         longest prefix first, both
//!
//!  services: backends that take connections ─► frontends set ─► tables ─► backends that drain ─► frontends gone ─► backends gone
//! ```

mod key;
mod rows;

pub(crate) use key::Key;

use crate::{
    change::{Change, EndpointPath, NodePath, Place, PolicyEntry, Reach},
    id::{ClusterId, EndpointId, NodeSlot},
    service::{Backend, BackendPath, Frontend, FrontendPath, Row, maglev},
    tables::Tables,
};
use ipnet::IpNet;
use key::key_of;
use rows::{rows, same_row};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    time::Duration,
};

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What should be held.
pub(crate) trait Wanted {
    fn node(&self, slot: NodeSlot) -> Option<NodePath>;
    fn address(&self, prefix: &IpNet) -> Option<Reach>;
    fn endpoint(&self, id: EndpointId) -> Option<EndpointPath>;
    fn policy(&self, id: EndpointId) -> Option<Vec<PolicyEntry>>;
    fn route(&self, prefix: &IpNet) -> bool;
    fn frontend(&self, frontend: &Frontend) -> Option<FrontendPath>;
    fn backend(&self, pool: &Frontend, backend: &Backend) -> Option<BackendPath>;
    fn maglev(&self, pool: &Frontend) -> Option<maglev::Table>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Policy,
    NodeSet,
    EndpointSet,
    AddressSet,
    BackendSet,
    FrontendSet,
    Maglev,
    BackendDrain,
    FrontendGone,
    BackendGone,
    AddressGone,
    Route,
    EndpointGone,
    NodeGone,
}

type Turn = (Phase, Reverse<u8>, Key);

/// What a change waits for; it is looked at again when that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gate {
    NodeHeld(NodeSlot),
    PolicyHeld(EndpointId),
    SlotUnused(NodeSlot),
    /// All who may know of this owner's rows have told all they have.
    Told(Owner),
}

/// The cluster that a row from before the start belongs to, as far as can be told.
pub(crate) type Owner = Option<ClusterId>;

struct Backoff {
    attempts: u32,
    /// Absent while it is being tried again.
    due: Option<Duration>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    held: Tables,
    /// How many held addresses refer to a slot.
    slot_uses: BTreeMap<NodeSlot, usize>,
    slot_by_address: BTreeMap<IpAddr, NodeSlot>,
    /// Held since before the start, and no source has spoken of it yet.
    recovered: BTreeMap<Key, Owner>,
    /// Owners of whose recovered rows nothing is taken away yet.
    spared: BTreeSet<Owner>,
    /// Whether the own cluster's services are known, so that more can be said of them than that they stay as they are.
    knows_services: bool,
    touched: BTreeSet<Key>,
    turns: BTreeSet<Turn>,
    /// What the last look at what was touched has found, the next change last. Turns come before it.
    fresh: Vec<Change>,
    waits: BTreeMap<Key, Gate>,
    waiting: BTreeSet<(Gate, Key)>,
    failed: BTreeMap<Key, Backoff>,
}

impl Ledger {
    /// Starts from what the kernel holds. Nothing of it is taken away before `unspare` is called with its owner.
    pub(crate) fn recover(&mut self, tables: Tables) {
        self.take_over(tables);
        let owned = |key| (key, self.owner(key));
        self.recovered = rows(&self.held).map(owned).collect();
        self.spared = self.recovered.values().copied().collect();
    }

    fn owner(&self, key: Key) -> Owner {
        let cluster = |slot: NodeSlot| Some(self.held.nodes.get(&slot)?.cluster);
        match key {
            Key::Node(slot) => cluster(slot),
            // A range is whose the addresses in it are; the first of them is its node's own.
            Key::Address(prefix) | Key::Route(prefix) => {
                let mut within = self.held.addresses.within(&prefix);
                within.find_map(|(_, reach)| cluster(slot_of(reach)?))
            }
            // What may be another cluster's is kept by those who decide of services.
            Key::Policy(_)
            | Key::Endpoint(_)
            | Key::Frontend(_)
            | Key::Backend(..)
            | Key::Maglev(_) => None,
        }
    }

    /// Believes what was read from the kernel rather than what was told to it.
    pub(crate) fn take_over(&mut self, tables: Tables) {
        let told = mem::replace(&mut self.held, tables);
        let all = rows(&told).chain(rows(&self.held));
        let other: Vec<Key> = all
            .filter(|key| !same_row(*key, &told, &self.held))
            .collect();
        other.into_iter().for_each(|key| self.touch(key));
        // What they wait for may have come about.
        self.touched.extend(self.waits.keys());
        self.slot_uses.clear();
        for slot in self.held.addresses.values().filter_map(slot_of) {
            *self.slot_uses.entry(slot).or_default() += 1;
        }
        let nodes = self.held.nodes.iter();
        self.slot_by_address = nodes.map(|(slot, path)| (path.address, *slot)).collect();
    }

    pub(crate) fn spared(&self) -> &BTreeSet<Owner> {
        &self.spared
    }

    /// From now on what is held of this owner and not wanted goes.
    pub(crate) fn unspare(&mut self, owner: Owner) {
        self.spared.remove(&owner);
        self.release(Gate::Told(owner));
        if self.spared.is_empty() {
            self.recovered.clear();
        }
    }

    /// From now on what is wanted of services is told; `wanted` are all rows of that.
    pub(crate) fn know_services(&mut self, wanted: impl Iterator<Item = Row>) {
        if self.knows_services {
            return;
        }
        self.knows_services = true;
        let held = rows(&self.held).filter(Key::is_of_services);
        let mut all = held.chain(wanted.map(Key::from)).collect();
        self.touched.append(&mut all);
    }

    /// Rows that are kept only because somebody who has not told all yet may speak of them.
    pub(crate) fn kept(&self) -> usize {
        let services = match self.knows_services {
            true => 0,
            false => rows(&self.held).filter(Key::is_of_services).count(),
        };
        services + self.kept_waiting()
    }

    fn kept_waiting(&self) -> usize {
        let kept = |(gate, key): &&(Gate, Key)| {
            matches!(gate, Gate::Told(_) | Gate::SlotUnused(_))
                && self.gate_of_start(*key).is_some()
        };
        self.waiting.iter().filter(kept).count()
    }

    pub(crate) fn held(&self) -> &Tables {
        &self.held
    }

    pub(crate) fn holds_slot(&self, slot: NodeSlot) -> bool {
        self.held.nodes.contains_key(&slot)
            || self.slot_uses.contains_key(&slot)
            || self.failed.contains_key(&Key::Node(slot))
    }

    pub(crate) fn holds_endpoint(&self, id: EndpointId) -> bool {
        let keys = [Key::Endpoint(id), Key::Policy(id)];
        self.held.endpoints.contains_key(&id)
            || self.held.policies.contains_key(&id)
            || keys.iter().any(|key| self.failed.contains_key(key))
    }

    /// The slot that leads to an underlay address: a node that comes back gets its own again.
    pub(crate) fn slot_leading_to(&self, address: IpAddr) -> Option<NodeSlot> {
        self.slot_by_address.get(&address).copied()
    }

    pub(crate) fn pending(&self) -> usize {
        let waiting = self.waiting.len() - self.kept_waiting();
        let found = self.turns.len() + self.fresh.len();
        self.touched.len() + found + waiting + self.resting().count()
    }

    fn resting(&self) -> impl Iterator<Item = (&Key, Duration)> {
        self.failed
            .iter()
            .filter_map(|(key, backoff)| Some((key, backoff.due?)))
    }

    /// Something that this row depends on has changed.
    pub(crate) fn touch(&mut self, key: Key) {
        // All of them are, once services are known.
        if self.knows_services || !key.is_of_services() {
            self.touched.insert(key);
        }
    }

    /// As `touch`, for something that somebody is waiting for: does not wait until a former failure is tried again.
    pub(crate) fn touch_now(&mut self, key: Key) {
        if let Some(backoff) = self.failed.get_mut(&key) {
            backoff.due = None;
        }
        self.touched.insert(key);
    }

    /// The next change, which stays the next until `applied` or `refused` is told of it.
    pub(crate) fn next(&mut self, wanted: &impl Wanted) -> Option<Change> {
        self.look_at_touched(wanted);
        loop {
            let (turn, change) = match self.turns.first().copied() {
                None => {
                    let change = self.fresh.pop()?;
                    let turn = turn_of(&change);
                    self.turns.insert(turn);
                    (turn, change)
                }
                Some(turn) => match self.difference(turn.2, wanted) {
                    Some(change) if turn_of(&change) == turn => (turn, change),
                    // Another change than the one that was noted has another turn.
                    other => {
                        self.turns.remove(&turn);
                        match other {
                            Some(change) => drop(self.turns.insert(turn_of(&change))),
                            None => self.settle(turn.2),
                        }
                        continue;
                    }
                },
            };
            let key = turn.2;
            let Some(gate) = self.gate(key, &change, wanted) else {
                return Some(change);
            };
            self.turns.remove(&turn);
            self.waits.insert(key, gate);
            self.waiting.insert((gate, key));
        }
    }

    fn look_at_touched(&mut self, wanted: &impl Wanted) {
        if self.touched.is_empty() {
            return;
        }
        // What was found before may be another change by now, and comes between those that are found now.
        self.turns
            .extend(self.fresh.drain(..).map(|change| turn_of(&change)));
        for key in mem::take(&mut self.touched) {
            if let Some(gate) = self.waits.remove(&key) {
                self.waiting.remove(&(gate, key));
            }
            let is_resting = |backoff: &Backoff| backoff.due.is_some();
            if self.failed.get(&key).is_some_and(is_resting) {
                continue;
            }
            match self.difference(key, wanted) {
                Some(change) => self.fresh.push(change),
                None => self.settle(key),
            }
        }
        if self.turns.is_empty() {
            // Stable, and mostly sorted.
            self.fresh.sort_by_key(turn_of);
            self.fresh.reverse();
        } else {
            self.turns
                .extend(self.fresh.drain(..).map(|change| turn_of(&change)));
        }
    }

    /// What is held of a row is what is wanted.
    fn settle(&mut self, key: Key) {
        self.recovered.remove(&key);
        // Rules that the kernel may hold in part go with their endpoint.
        if !matches!(key, Key::Policy(_)) {
            self.failed.remove(&key);
        }
    }

    pub(crate) fn applied(&mut self, change: &Change) {
        let key = key_of(change);
        match change {
            Change::AddressSet(prefix, reach) => {
                let former = self.held.addresses.insert(*prefix, *reach);
                if let Some(slot) = slot_of(reach) {
                    self.use_slot(slot);
                }
                if let Some(slot) = former.as_ref().and_then(slot_of) {
                    self.unuse_slot(slot);
                }
            }
            Change::AddressGone(prefix) => {
                let former = self.held.addresses.remove(prefix);
                if let Some(slot) = former.as_ref().and_then(slot_of) {
                    self.unuse_slot(slot);
                }
            }
            Change::NodeSet(slot, _) | Change::NodeGone(slot) => {
                let former = self.held.nodes.get(slot).cloned();
                if let Some(path) = &former
                    && self.slot_by_address.get(&path.address) == Some(slot)
                {
                    self.slot_by_address.remove(&path.address);
                }
                self.held.apply(change);
                if let Change::NodeSet(slot, path) = change {
                    if former.is_some_and(|former| former.cluster != path.cluster) {
                        self.disown(*slot);
                    }
                    self.slot_by_address.insert(path.address, *slot);
                    self.release(Gate::NodeHeld(*slot));
                }
            }
            _ => self.held.apply(change),
        }
        if let Change::PolicySet(id, _) = change {
            self.release(Gate::PolicyHeld(*id));
        }
        if let Change::EndpointGone(id) = change {
            self.failed.remove(&Key::Policy(*id));
        }
        self.turns.remove(&turn_of(change));
        self.failed.remove(&key);
        self.recovered.remove(&key);
    }

    /// The kernel did not take it: it is tried again later, and meanwhile the row may hold the old, the new or nothing.
    pub(crate) fn refused(&mut self, change: &Change, now: Duration) {
        let key = key_of(change);
        self.turns.remove(&turn_of(change));
        let backoff = self.failed.entry(key).or_insert(Backoff {
            attempts: 0,
            due: None,
        });
        let wait = BACKOFF_FIRST
            .saturating_mul(1 << backoff.attempts.min(6))
            .min(BACKOFF_MAX);
        backoff.attempts += 1;
        backoff.due = Some(now + wait);
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.resting().map(|(_, due)| due).min()
    }

    pub(crate) fn wake(&mut self, now: Duration) {
        for (key, backoff) in &mut self.failed {
            if backoff.due.is_some_and(|due| due <= now) {
                backoff.due = None;
                self.touched.insert(*key);
            }
        }
    }

    fn difference(&self, key: Key, wanted: &impl Wanted) -> Option<Change> {
        let uncertain = self.failed.contains_key(&key);
        match key {
            Key::Policy(id) => match wanted.policy(id) {
                Some(entries) if uncertain || self.held.policies.get(&id) != Some(&entries) => {
                    Some(Change::PolicySet(id, entries))
                }
                _ => None,
            },
            Key::Endpoint(id) => match (wanted.endpoint(id), self.held.endpoints.get(&id)) {
                (Some(path), held) if uncertain || held != Some(&path) => {
                    Some(Change::EndpointSet(id, path))
                }
                (None, _) if self.holds_endpoint(id) => Some(Change::EndpointGone(id)),
                _ => None,
            },
            Key::Node(slot) => match (wanted.node(slot), self.held.nodes.get(&slot)) {
                (Some(path), held) if uncertain || held != Some(&path) => {
                    Some(Change::NodeSet(slot, path))
                }
                (None, held) if uncertain || held.is_some() => Some(Change::NodeGone(slot)),
                _ => None,
            },
            Key::Address(prefix) => {
                match (wanted.address(&prefix), self.held.addresses.get(&prefix)) {
                    (Some(reach), held) if uncertain || held != Some(&reach) => {
                        Some(Change::AddressSet(prefix, reach))
                    }
                    (None, held) if uncertain || held.is_some() => {
                        Some(Change::AddressGone(prefix))
                    }
                    _ => None,
                }
            }
            Key::Route(prefix) => match (wanted.route(&prefix), self.held.routes.contains(&prefix))
            {
                (true, held) if uncertain || !held => Some(Change::RouteSet(prefix)),
                (false, held) if uncertain || held => Some(Change::RouteGone(prefix)),
                _ => None,
            },
            Key::Frontend(frontend) => {
                let held = self.held.frontends.get(&frontend);
                match wanted.frontend(&frontend) {
                    Some(path) if uncertain || held != Some(&path) => {
                        Some(Change::FrontendSet(frontend, path))
                    }
                    None if uncertain || held.is_some() => Some(Change::FrontendGone(frontend)),
                    _ => None,
                }
            }
            Key::Backend(pool, backend) => {
                let held = self.held.backends.get(&(pool, backend));
                match wanted.backend(&pool, &backend) {
                    Some(path) if uncertain || held != Some(&path) => {
                        Some(Change::BackendSet(pool, backend, path))
                    }
                    None if uncertain || held.is_some() => Some(Change::BackendGone(pool, backend)),
                    _ => None,
                }
            }
            Key::Maglev(pool) => {
                let held = self.held.maglev.get(&pool);
                match wanted.maglev(&pool) {
                    Some(table) if uncertain || held != Some(&table.digest()) => {
                        Some(Change::MaglevSet(pool, table))
                    }
                    None if uncertain || held.is_some() => Some(Change::MaglevGone(pool)),
                    _ => None,
                }
            }
        }
    }

    fn gate(&self, key: Key, change: &Change, wanted: &impl Wanted) -> Option<Gate> {
        match change {
            Change::AddressSet(
                _,
                Reach {
                    place: Place::Remote(slot),
                    ..
                },
            ) if !self.held.nodes.contains_key(slot) => Some(Gate::NodeHeld(*slot)),
            Change::AddressSet(
                prefix,
                Reach {
                    place: Place::Nowhere,
                    ..
                },
            ) => {
                let reached = self.held.addresses.get(prefix).and_then(slot_of).is_some();
                self.gate_of_start(key).filter(|_| reached)
            }
            Change::EndpointSet(id, _)
                if self.held.policies.get(id) != wanted.policy(*id).as_ref() =>
            {
                Some(Gate::PolicyHeld(*id))
            }
            Change::AddressGone(prefix) => {
                let local = matches!(
                    self.held.addresses.get(prefix),
                    Some(Reach {
                        place: Place::Local(_),
                        ..
                    })
                );
                self.gate_of_start(key).filter(|_| !local)
            }
            Change::RouteGone(_) => self.gate_of_start(key),
            Change::NodeGone(slot) if self.slot_uses.contains_key(slot) => {
                Some(Gate::SlotUnused(*slot))
            }
            Change::NodeGone(_) => self.gate_of_start(key),
            _ => None,
        }
    }

    fn gate_of_start(&self, key: Key) -> Option<Gate> {
        let owner = self.recovered.get(&key)?;
        self.spared.contains(owner).then_some(Gate::Told(*owner))
    }

    /// What was recovered with a slot must not lead to a node of another cluster.
    fn disown(&mut self, slot: NodeSlot) {
        let leads_there = |key: &Key| matches!(key, Key::Address(prefix) if self.held.addresses.get(prefix).and_then(slot_of) == Some(slot));
        let keys: Vec<Key> = self.recovered.keys().copied().filter(leads_there).collect();
        for key in keys {
            self.recovered.remove(&key);
            self.touched.insert(key);
        }
    }

    fn release(&mut self, gate: Gate) {
        let first = (gate, Key::Policy(EndpointId(0)));
        let keys = self
            .waiting
            .range(first..)
            .take_while(|(other, _)| *other == gate)
            .map(|(_, key)| *key);
        self.touched.extend(keys);
    }

    fn use_slot(&mut self, slot: NodeSlot) {
        *self.slot_uses.entry(slot).or_default() += 1;
    }

    fn unuse_slot(&mut self, slot: NodeSlot) {
        let uses = self
            .slot_uses
            .get_mut(&slot)
            .expect("a slot that an address refers to is counted");
        *uses -= 1;
        if *uses == 0 {
            self.slot_uses.remove(&slot);
            self.release(Gate::SlotUnused(slot));
        }
    }
}

pub(crate) fn slot_of(reach: &Reach) -> Option<NodeSlot> {
    match reach.place {
        Place::Remote(slot) => Some(slot),
        _ => None,
    }
}

fn turn_of(change: &Change) -> Turn {
    let (phase, length) = match change {
        Change::PolicySet(..) => (Phase::Policy, 0),
        Change::NodeSet(..) => (Phase::NodeSet, 0),
        Change::EndpointSet(..) => (Phase::EndpointSet, 0),
        Change::AddressSet(prefix, _) => (Phase::AddressSet, prefix.prefix_len()),
        Change::AddressGone(prefix) => (Phase::AddressGone, prefix.prefix_len()),
        Change::RouteSet(_) | Change::RouteGone(_) => (Phase::Route, 0),
        // A pool is never empty between two whole sets of backends.
        Change::BackendSet(_, _, path) if path.weight == 0 => (Phase::BackendDrain, 0),
        Change::BackendSet(..) => (Phase::BackendSet, 0),
        Change::FrontendSet(..) => (Phase::FrontendSet, 0),
        Change::MaglevSet(..) | Change::MaglevGone(_) => (Phase::Maglev, 0),
        Change::FrontendGone(_) => (Phase::FrontendGone, 0),
        Change::BackendGone(..) => (Phase::BackendGone, 0),
        Change::EndpointGone(_) => (Phase::EndpointGone, 0),
        Change::NodeGone(_) => (Phase::NodeGone, 0),
    };
    (phase, Reverse(length), key_of(change))
}
