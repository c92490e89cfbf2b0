//! Leases: keys that go when their owner is silent for too long. Does not delete the keys, tells which.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    record::{Lease, LeaseId, LeaseStatus},
};

/// Shorter ones are granted as this; clients cannot renew in time what is shorter.
const TTL_MIN: Duration = Duration::from_secs(2);
const TTL_MAX: Duration = Duration::from_secs(9_000_000_000);

#[derive(Debug, Default)]
pub struct Leases {
    leases: BTreeMap<LeaseId, Held>,
    deadlines: BTreeSet<(Duration, LeaseId)>,
    last: i64,
}

#[derive(Debug)]
struct Held {
    ttl: Duration,
    deadline: Duration,
    keys: BTreeSet<Bytes>,
}

impl Leases {
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    pub fn contains(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    /// Chooses the id if none is given.
    pub fn grant(&mut self, id: Option<LeaseId>, ttl: Duration, now: Duration) -> Result<Lease> {
        if ttl > TTL_MAX {
            return Err(Error::LeaseTooLong { ttl });
        }
        let id = match id {
            Some(lease) if self.contains(lease) => return Err(Error::LeaseExists { lease }),
            Some(id) => id,
            None => self.unused(),
        };
        let ttl = ttl.max(TTL_MIN);
        let deadline = now + ttl;
        self.leases.insert(
            id,
            Held {
                ttl,
                deadline,
                keys: BTreeSet::new(),
            },
        );
        self.deadlines.insert((deadline, id));
        Ok(Lease { id, ttl })
    }

    /// Spread over the number space, so that an id of a store that was wiped is not met again in its successor.
    fn unused(&mut self) -> LeaseId {
        loop {
            self.last = self.last.wrapping_add(1);
            let spread = (self.last as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let id = LeaseId((spread >> 1) as i64);
            if id.0 > 0 && !self.contains(id) {
                return id;
            }
        }
    }

    /// Where the choice of ids begins.
    pub fn seed(&mut self, seed: u64) {
        self.last = seed as i64;
    }

    pub fn renew(&mut self, lease: LeaseId, now: Duration) -> Result<Duration> {
        let held = self
            .leases
            .get_mut(&lease)
            .ok_or(Error::LeaseNotFound { lease })?;
        self.deadlines.remove(&(held.deadline, lease));
        held.deadline = now + held.ttl;
        self.deadlines.insert((held.deadline, lease));
        Ok(held.ttl)
    }

    pub fn status(&self, lease: LeaseId, now: Duration) -> Result<LeaseStatus> {
        let held = self
            .leases
            .get(&lease)
            .ok_or(Error::LeaseNotFound { lease })?;
        Ok(LeaseStatus {
            granted: held.ttl,
            remaining: held.deadline.saturating_sub(now),
            keys: held.keys.iter().cloned().collect(),
        })
    }

    pub fn ids(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// Takes the lease away and returns the keys that go with it.
    pub fn revoke(&mut self, lease: LeaseId) -> Result<BTreeSet<Bytes>> {
        let held = self
            .leases
            .remove(&lease)
            .ok_or(Error::LeaseNotFound { lease })?;
        self.deadlines.remove(&(held.deadline, lease));
        Ok(held.keys)
    }

    pub fn expired(&self, now: Duration) -> Option<LeaseId> {
        let (deadline, id) = self.deadlines.first()?;
        (*deadline <= now).then_some(*id)
    }

    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Moves a key from one lease to another; the new one exists.
    pub fn attach(&mut self, key: &Bytes, from: Option<LeaseId>, to: Option<LeaseId>) {
        if from == to {
            return;
        }
        if let Some(held) = from.and_then(|id| self.leases.get_mut(&id)) {
            held.keys.remove(key);
        }
        if let Some(id) = to {
            let held = self.leases.get_mut(&id);
            let held = held.unwrap_or_else(|| panic!("lease {id:x} was checked to be there"));
            held.keys.insert(key.clone());
        }
    }
}
