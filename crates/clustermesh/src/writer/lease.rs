//! Leases of one length, each for so many keys: a store's work for a lease grows with its keys.

use std::{collections::BTreeMap, iter, time::Duration};

use tombolo_kvstore::{Lease, LeaseId};

use super::GATE_LEASE;

pub(super) const KEYS_MAX: usize = 1000;
/// How often. The same for all, so that gates end before records by about as much as their leases differ.
const RENEW: Duration = Duration::from_secs(GATE_LEASE.as_secs() / 3);

#[derive(Debug)]
pub(super) struct Leases {
    pub(super) ttl: Duration,
    leases: BTreeMap<LeaseId, Held>,
}

#[derive(Debug)]
struct Held {
    keys: usize,
    renew_at: Duration,
}

impl Leases {
    pub(super) fn new(ttl: Duration) -> Leases {
        let leases = BTreeMap::new();
        Leases { ttl, leases }
    }

    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    pub(super) fn contains(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    pub(super) fn add(&mut self, lease: &Lease, now: Duration) {
        let renew_at = now + RENEW;
        self.leases.insert(lease.id, Held { keys: 0, renew_at });
    }

    pub(super) fn has_room(&self) -> bool {
        self.room().next().is_some()
    }

    /// Leases with room, each once for every key that it has room for.
    pub(super) fn room(&self) -> impl Iterator<Item = LeaseId> {
        let room = |held: &Held| KEYS_MAX.saturating_sub(held.keys);
        let leases = self.leases.iter();
        leases.flat_map(move |(id, held)| iter::repeat_n(*id, room(held)))
    }

    pub(super) fn attach(&mut self, lease: LeaseId) {
        if let Some(held) = self.leases.get_mut(&lease) {
            held.keys += 1;
        }
    }

    pub(super) fn detach(&mut self, lease: LeaseId) {
        if let Some(held) = self.leases.get_mut(&lease) {
            held.keys = held.keys.saturating_sub(1);
        }
    }

    pub(super) fn renewed(&mut self, lease: LeaseId, now: Duration) {
        if let Some(held) = self.leases.get_mut(&lease) {
            held.renew_at = now + RENEW;
        }
    }

    pub(super) fn remove(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
    }

    pub(super) fn clear(&mut self) {
        self.leases.clear();
    }

    /// All are asked after: the store may have lost them.
    pub(super) fn doubt(&mut self, now: Duration) {
        for held in self.leases.values_mut() {
            held.renew_at = now;
        }
    }

    pub(super) fn next(&self) -> Option<(Duration, LeaseId)> {
        self.leases
            .iter()
            .map(|(id, held)| (held.renew_at, *id))
            .min()
    }
}
