//! What the one writer asks for: its leases' time, and batches of what waits.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use tombolo_kvstore::{
    Compare, Delete, Keys, LeaseId, Operand, Operation, Put, Relation, Transaction,
};

use super::{Answer, Ask, Flight, Flown, GATE_LEASE, HEARTBEAT, LEASE, Phase, Writer};

/// etcd takes 128 in one transaction, and 1.5 MiB.
const BATCH_KEYS: usize = 100;
const BATCH_BYTES: usize = 1 << 20;

impl Writer {
    /// What to ask now, if anything; the answer to it comes before the next.
    pub fn poll_ask(&mut self, now: Duration) -> Option<Ask> {
        self.now = now;
        if self.flight.is_some() || now < self.pause {
            return None;
        }
        let (ask, flight) = match self.phase {
            Phase::Standby => self.ask_standby(),
            Phase::Locking => self.ask_lock(),
            Phase::Adopting { .. } | Phase::Leading => {
                let ask = self.ask_renewal(now).or_else(|| self.ask_adopt());
                ask.or_else(|| self.ask_write(now))?
            }
        };
        self.flight = Some(flight);
        Some(ask)
    }

    pub fn answered(&mut self, answer: Answer, now: Duration) {
        self.now = now;
        let flight = self.flight.take();
        let flight = flight.unwrap_or_else(|| panic!("nothing was asked, but {answer:?}"));
        self.answer(flight, answer, now);
    }

    /// When `poll_ask` has something to ask, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.flight.is_some() {
            return None;
        }
        if !matches!(self.phase, Phase::Leading) || !self.queue.is_empty() {
            return Some(self.pause);
        }
        let leases = self.records.next().into_iter().chain(self.gates.next());
        let leases = leases.map(|(at, _)| at);
        let heartbeat = self.options.heartbeat.as_ref().map(|_| self.heartbeat_at);
        let lock = self.lock.as_ref().map(|lock| lock.renew_at);
        let next = leases.chain(heartbeat).chain(lock).min();
        next.map(|next| next.max(self.pause))
    }

    fn ask_renewal(&mut self, now: Duration) -> Option<(Ask, Flight)> {
        let lock = self.lock.as_ref().map(|lock| (lock.renew_at, lock.lease));
        let next = [lock, self.gates.next(), self.records.next()];
        let due = next.into_iter().flatten().find(|(at, _)| *at <= now);
        due.map(|(_, lease)| (Ask::Renew(lease), Flight::Renew(lease)))
    }

    fn ask_write(&mut self, now: Duration) -> Option<(Ask, Flight)> {
        if let Some(heartbeat) = &self.options.heartbeat
            && now >= self.heartbeat_at
        {
            let (heartbeat, time) = (heartbeat.clone(), self.timestamp());
            self.put(heartbeat, time.into());
            self.heartbeat_at = now + HEARTBEAT;
        }
        let key = self.queue.front()?;
        // Both kinds of leases before the first batch: a batch mixes keys.
        if self.gates.room().is_none() {
            return Some((Ask::Grant(GATE_LEASE), Flight::Grant(GATE_LEASE)));
        }
        let of_set = self
            .entries
            .get(key)
            .is_some_and(|entry| entry.set.is_some());
        if of_set && self.records.room().is_none() {
            return Some((Ask::Grant(LEASE), Flight::Grant(LEASE)));
        }
        let Some(fence) = self.lock.as_ref().and_then(|lock| lock.fence) else {
            return Some(self.ask_fence());
        };
        let batch = self.take_batch();
        // Who has lost the lock without knowing writes nothing.
        let ours = self.compare_lock(Operand::Modified(fence));
        let transaction = Transaction {
            compares: vec![ours],
            then: batch.iter().map(operation).collect(),
            otherwise: Vec::new(),
        };
        Some((Ask::Transact(transaction), Flight::Write(batch)))
    }

    /// Writes the lock anew, if it is still ours.
    fn ask_fence(&self) -> (Ask, Flight) {
        let lock = self.lock.as_ref();
        let lock = lock.unwrap_or_else(|| panic!("{:?} without a lock", self.phase));
        let put = Put::new(&self.options.lock, &self.options.holder).leased(lock.lease);
        let transaction = Transaction {
            compares: vec![self.compare_lock(Operand::Lease(Some(lock.lease)))],
            then: vec![Operation::Put(put)],
            otherwise: Vec::new(),
        };
        (Ask::Transact(transaction), Flight::Fence)
    }

    pub(super) fn compare_lock(&self, to: Operand) -> Compare {
        Compare {
            keys: Keys::One(self.options.lock.clone()),
            relation: Relation::Equal,
            to,
        }
    }

    fn take_batch(&mut self) -> Vec<Flown> {
        let max = if self.singly > 0 { 1 } else { BATCH_KEYS };
        self.singly = self.singly.saturating_sub(1);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let (mut records, mut gates) = (self.records.room(), self.gates.room());
        while let Some(key) = self.queue.front().filter(|_| batch.len() < max) {
            let Some(entry) = self.entries.get_mut(key) else {
                self.queue.pop_front();
                continue;
            };
            bytes += key.len() + entry.wanted.as_ref().map_or(0, Bytes::len);
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            let room = if entry.set.is_some() {
                &mut records
            } else {
                &mut gates
            };
            let lease = match (&entry.wanted, entry.lease, room) {
                (None, lease, _) | (_, lease @ Some(_), _) => lease,
                (Some(_), None, Some((lease, left))) if *left > 0 => {
                    *left -= 1;
                    Some(*lease)
                }
                // The next batch comes with another lease.
                _ => break,
            };
            (entry.waits, entry.flies) = (false, true);
            batch.push((key.clone(), entry.wanted.clone(), lease));
            self.queue.pop_front();
        }
        batch
    }

    /// What has flown stands.
    pub(super) fn land(&mut self, batch: Vec<Flown>) {
        let mut sets = BTreeSet::new();
        for (key, value, lease) in batch {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            entry.flies = false;
            let leases = if entry.set.is_some() {
                &mut self.records
            } else {
                &mut self.gates
            };
            match (value, entry.lease, lease) {
                (Some(_), None, Some(lease)) if leases.contains(lease) => {
                    leases.attach(lease);
                    entry.lease = Some(lease);
                }
                (None, Some(lease), _) => {
                    leases.detach(lease);
                    entry.lease = None;
                }
                _ => {}
            }
            if entry.waits {
                continue;
            }
            let set = entry.set.clone();
            if entry.wanted.is_none() {
                self.entries.remove(&key);
            }
            sets.extend(set.inspect(|prefix| {
                if let Some(set) = self.sets.get_mut(prefix) {
                    set.pending -= 1;
                }
            }));
        }
        for prefix in sets {
            self.settle(&prefix);
        }
    }

    /// An entry of the set waits no more.
    pub(super) fn land_in(&mut self, prefix: &Bytes) {
        if let Some(set) = self.sets.get_mut(prefix) {
            set.pending -= 1;
        }
        self.settle(prefix);
    }

    /// What has flown waits again, before all others.
    pub(super) fn put_back(&mut self, batch: &[Flown]) {
        for (key, ..) in batch.iter().rev() {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            entry.flies = false;
            if !entry.waits {
                entry.waits = true;
                self.queue.push_front(key.clone());
            }
        }
    }

    /// The store has let a lease expire, and its keys with it.
    pub(super) fn lose(&mut self, lease: LeaseId) {
        if self.lock.as_ref().is_some_and(|lock| lock.lease == lease) {
            return self.stand_by();
        }
        self.records.remove(lease);
        self.gates.remove(lease);
        let lost = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.lease == Some(lease));
        let lost: Vec<_> = lost.map(|(key, _)| key.clone()).collect();
        for key in lost {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.lease = None;
            }
            self.enqueue(key);
        }
        let canaries: Vec<_> = self
            .sets
            .values()
            .filter_map(|set| set.canary.clone())
            .collect();
        for canary in canaries {
            let stands = self
                .entries
                .get(&canary)
                .is_some_and(|entry| entry.lease.is_some());
            if !stands {
                self.forget_gate(&canary);
            }
        }
        for prefix in self.sets.keys().cloned().collect::<Vec<_>>() {
            self.settle(&prefix);
        }
    }
}

fn operation((key, value, lease): &Flown) -> Operation {
    match (value, lease) {
        (Some(value), Some(lease)) => Operation::Put(Put::new(key, value).leased(*lease)),
        (Some(value), None) => Operation::Put(Put::new(key, value)),
        (None, _) => Operation::Delete(Delete::new(Keys::One(key.clone()))),
    }
}
