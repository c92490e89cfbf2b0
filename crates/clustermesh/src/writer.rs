//! Brings a store to hold what is wanted: one writer at a time, under leases, in batches, with canaries when all is there.
//!
//! ```text
//! Standby ──► Locking ──► Adopting ──► Leading
//!    ▲           │            │           │  lock lost, another store
//!    └───────────┴────────────┴───────────┘
//! ```
//! Sources tell of sets in the one vocabulary of change. What a former writer left is adopted, and swept only when the
//! set's source has told all it has: a writer that starts anew deletes nothing because a source is late. It knows
//! nothing of what keys and values mean, and asks one thing at a time.

mod entries;
mod leading;
mod lease;
mod places;
mod standby;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use tombolo_kvstore::{Error, Keys, Lease, LeaseId, Page, PageEnd, Revision, Transaction};
use tombolo_model::event::Event;

use crate::{Random, backoff::Backoff};
use leading::BATCH_KEYS;
use lease::Leases;
use places::{Entries, Place};

/// How long keys outlive their writer.
pub const LEASE: Duration = Duration::from_secs(15 * 60);
/// The same for configs, canaries and heartbeats. It is shorter, so that readers leave before the records go, and keep them.
pub const GATE_LEASE: Duration = Duration::from_secs(10 * 60);
pub const LOCK_LEASE: Duration = Duration::from_secs(25);
const HEARTBEAT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// From a batch to the next one, unless that is full: a request costs as much as a dozen keys in it, here, in the store and
/// at each of its readers. What comes after silence does not wait.
const GATHER: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
pub struct Options {
    /// Held by the one replica that writes.
    pub lock: Bytes,
    /// Who we are, for people who look at the lock.
    pub holder: Bytes,
    /// The key that is written anew every minute.
    pub heartbeat: Option<Bytes>,
    /// Seconds since 1970 at the start that `now` counts from.
    pub epoch: u64,
    /// Whether all sources tell anew what they have when we begin to lead. Then nothing is kept of what was known before:
    /// another writer may have known better meanwhile.
    pub told_anew: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Page { keys: Keys, from: Option<PageEnd> },
    Transact(Transaction),
    Grant(Duration),
    Renew(LeaseId),
}

#[derive(Debug)]
pub enum Answer {
    Page(Page, Option<PageEnd>),
    /// The store's revision with it.
    Transacted {
        held: bool,
        revision: Revision,
    },
    Granted(Lease),
    Renewed,
    Failed(Error),
}

#[derive(Debug)]
pub struct Writer {
    options: Options,
    random: Random,
    backoff: Backoff,
    phase: Phase,
    /// Another one was seen to lead, and has not been seen to end.
    outrun: bool,
    /// How often we have begun to lead.
    term: u64,
    flight: Option<Flight>,
    now: Duration,
    /// Nothing is asked before.
    pause: Duration,
    /// Nor is less than a full batch written before.
    gathered: Duration,
    sets: BTreeMap<Bytes, Set>,
    entries: Entries,
    kept: BTreeSet<Bytes>,
    /// Where the entries are that are marked as waiting, each once.
    queue: VecDeque<Place>,
    records: Leases,
    gates: Leases,
    lock: Option<Lock>,
    heartbeat_at: Duration,
    /// So many batches have one key only, to find which of many the store does not take.
    singly: usize,
    refused: BTreeMap<Bytes, String>,
    trouble: Option<String>,
}

#[derive(Debug)]
struct Lock {
    lease: LeaseId,
    renew_at: Duration,
    /// When the lock was written last. Whatever we write holds to it: requests whose answers are lost may still be on
    /// their way, and must not be executed once we have gone on. Absent while it is to be written anew.
    fence: Option<Revision>,
}

#[derive(Debug)]
enum Phase {
    Standby,
    Locking,
    Adopting {
        left: Vec<Keys>,
        from: Option<PageEnd>,
    },
    Leading,
}

#[derive(Debug)]
enum Flight {
    Look,
    Lock,
    Fence,
    Page(Keys),
    Grant(Duration),
    Renew(LeaseId),
    Write(Vec<Flown>),
}

/// Where the entry is, what is written at its key, and under which lease.
type Flown = (Place, Option<Bytes>, Option<LeaseId>);

#[derive(Debug, Default)]
struct Set {
    generation: u64,
    /// The source has told all it has.
    complete: bool,
    canary: Option<Bytes>,
    /// Entries that wait or fly.
    pending: usize,
    removed: bool,
}

/// How the writing goes, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it is we who write; others stand by.
    pub leads: bool,
    pub keys: usize,
    /// Those that the store does not hold yet, for all that is known.
    pub pending: usize,
    pub leases: usize,
    /// What the store does not take, with the reason.
    pub refused: BTreeMap<Bytes, String>,
    pub trouble: Option<String>,
}

impl Writer {
    pub fn new(options: Options, random: Random) -> Writer {
        Writer {
            options,
            random,
            backoff: Backoff::new(PAUSE, PAUSE_MAX),
            phase: Phase::Standby,
            outrun: false,
            term: 0,
            flight: None,
            now: Duration::ZERO,
            pause: Duration::ZERO,
            gathered: Duration::ZERO,
            sets: BTreeMap::new(),
            entries: Entries::default(),
            kept: BTreeSet::new(),
            queue: VecDeque::new(),
            records: Leases::new(LEASE),
            gates: Leases::new(GATE_LEASE),
            lock: None,
            heartbeat_at: Duration::ZERO,
            singly: 0,
            refused: BTreeMap::new(),
            trouble: None,
        }
    }

    /// A set of keys of which some source will tell; its canary is written once all of them are.
    pub fn add_set(&mut self, prefix: Bytes, canary: Option<Bytes>) {
        let set = Set {
            canary,
            ..Set::default()
        };
        self.sets.insert(prefix.clone(), set);
        let ranges = self.sets[&prefix].ranges(&prefix);
        self.look_at(ranges);
    }

    /// A key beside the sets that is kept as it is found until it is put or deleted.
    pub fn keep(&mut self, key: Bytes) {
        self.kept.insert(key.clone());
        self.look_at(vec![Keys::One(key)]);
    }

    fn look_at(&mut self, ranges: Vec<Keys>) {
        match &mut self.phase {
            Phase::Standby | Phase::Locking => {}
            Phase::Adopting { left, .. } => left.extend(ranges),
            Phase::Leading => {
                let (left, from) = (ranges, None);
                self.phase = Phase::Adopting { left, from };
            }
        }
    }

    /// Takes the set with all its keys out of the store, the canary first.
    pub fn remove_set(&mut self, prefix: &Bytes) {
        let Some(set) = self.sets.get_mut(prefix) else {
            return;
        };
        set.removed = true;
        if let Some(canary) = set.canary.take() {
            self.want(canary, None, None);
        }
        self.sweep(prefix, |_| true);
        self.settle(prefix);
    }

    /// Knows nothing of the set any more, and leaves the store as it is. Only for one that stands by.
    pub fn forget_set(&mut self, prefix: &Bytes) {
        if let Some(set) = self.sets.remove(prefix) {
            self.forget_keys(prefix);
            self.forget_all(set.canary.as_slice());
        }
    }

    /// The same of a key beside the sets.
    pub fn forget(&mut self, key: &Bytes) {
        self.kept.remove(key);
        self.forget_all(std::slice::from_ref(key));
    }

    pub fn has_set(&self, prefix: &Bytes) -> bool {
        self.sets.contains_key(prefix)
    }

    pub fn handle(&mut self, prefix: &Bytes, event: Event<Bytes, Bytes>) {
        let set = self.sets.get_mut(prefix).filter(|set| !set.removed);
        let Some(set) = set else { return };
        match event {
            Event::Restart => set.generation += 1,
            Event::Upsert(key, value) => {
                self.want(key, Some(value), Some(prefix));
            }
            Event::Delete(key) => self.want(key, None, Some(prefix)),
            Event::Synced => {
                set.complete = true;
                let now = set.generation;
                self.sweep(prefix, |generation| generation != now);
                self.settle(prefix);
            }
        }
    }

    /// A key beside the sets, such as a config.
    pub fn put(&mut self, key: Bytes, value: Bytes) {
        self.want(key, Some(value), None);
    }

    pub fn delete(&mut self, key: Bytes) {
        self.kept.remove(&key);
        self.want(key, None, None);
    }

    /// Whether the store holds what is wanted at the key.
    pub fn is_settled(&self, key: &Bytes) -> bool {
        self.entries
            .get(key)
            .is_none_or(|entry| !entry.waits && !entry.flies)
    }

    /// How many keys are still to be written; who tells much waits while this is large. One that stands by has nothing
    /// to write: it would wait, and know less than all when it is to lead.
    pub fn pending(&self) -> usize {
        if self.leads() { self.queue.len() } else { 0 }
    }

    /// How many keys the store has been asked to write and has not said that it has, but for those that wait again, and for
    /// the sign of life.
    fn under_way(&self) -> usize {
        let Some(Flight::Write(batch)) = &self.flight else {
            return 0;
        };
        let entries = batch.iter().map(|flown| self.entries.at(flown.0));
        let heartbeat = self.options.heartbeat.as_ref();
        let counts = entries.filter(|entry| !entry.waits && Some(&entry.key) != heartbeat);
        counts.count()
    }

    /// Whether so much waits that it is worth a request of its own.
    pub fn is_pressed(&self) -> bool {
        match self.phase {
            Phase::Standby | Phase::Locking => false,
            Phase::Adopting { .. } => true,
            Phase::Leading => self.queue.len() >= BATCH_KEYS / 4,
        }
    }

    /// Whether it is we who write.
    pub fn leads(&self) -> bool {
        matches!(self.phase, Phase::Leading | Phase::Adopting { .. })
    }

    /// Whether another one writes. Neither this nor `leads` is so before the store has answered.
    pub fn stands_by(&self) -> bool {
        self.outrun
    }

    /// Whether the store holds all that the set's source had when it had told all of it.
    pub fn holds(&self, prefix: &Bytes) -> bool {
        let written = |canary| self.entries.contains(canary) && self.is_settled(canary);
        let set = self.sets.get(prefix).filter(|set| set.complete);
        set.is_some_and(|set| set.canary.as_ref().is_none_or(written))
    }

    /// The same of all sets.
    pub fn holds_all(&self) -> bool {
        self.sets.keys().all(|prefix| self.holds(prefix))
    }

    /// How often we have begun to lead.
    pub fn term(&self) -> u64 {
        self.term
    }

    pub fn status(&self) -> Status {
        Status {
            leads: self.leads(),
            keys: self.entries.len(),
            pending: self.queue.len() + self.under_way(),
            leases: self.records.len() + self.gates.len(),
            refused: self.refused.clone(),
            trouble: self.trouble.clone(),
        }
    }
}
