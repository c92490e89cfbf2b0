//! What the one writer asks for: its leases' time, and batches of what waits.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use tombolo_kvstore::{
    Compare, Delete, Keys, LeaseId, Operand, Operation, Put, Relation, Transaction,
};

use super::{Answer, Ask, Flight, Flown, GATE_LEASE, GATHER, HEARTBEAT, LEASE, Phase, Writer};

/// etcd takes 128 in one transaction, and 1.5 MiB.
pub(super) const BATCH_KEYS: usize = 100;
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
        if !matches!(self.phase, Phase::Leading) {
            return Some(self.pause);
        }
        if !self.queue.is_empty() {
            return Some(self.pause.max(self.write_at()));
        }
        let leases = self.records.next().into_iter().chain(self.gates.next());
        let leases = leases.map(|(at, _)| at);
        let heartbeat = self.options.heartbeat.as_ref().map(|_| self.heartbeat_at);
        let lock = self.lock.as_ref().map(|lock| lock.renew_at);
        let next = leases.chain(heartbeat).chain(lock).min();
        next.map(|next| next.max(self.pause))
    }

    /// When what waits may be written.
    fn write_at(&self) -> Duration {
        let enough = self.queue.len() >= BATCH_KEYS || self.singly > 0;
        if enough {
            Duration::ZERO
        } else {
            self.gathered
        }
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
        let place = *self.queue.front()?;
        if now < self.write_at() {
            return None;
        }
        // Both kinds of leases before the first batch: a batch mixes keys.
        if !self.gates.has_room() {
            return Some((Ask::Grant(GATE_LEASE), Flight::Grant(GATE_LEASE)));
        }
        let of_set = self.entries.at(place).set.is_some();
        if of_set && !self.records.has_room() {
            return Some((Ask::Grant(LEASE), Flight::Grant(LEASE)));
        }
        let Some(fence) = self.lock.as_ref().and_then(|lock| lock.fence) else {
            return Some(self.ask_fence());
        };
        let batch = self.take_batch();
        self.gathered = now + GATHER;
        // Who has lost the lock without knowing writes nothing.
        let ours = self.compare_lock(Operand::Modified(fence));
        let transaction = Transaction {
            compares: vec![ours],
            then: batch.iter().map(|flown| self.operation(flown)).collect(),
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
        while let Some(place) = self.queue.front().filter(|_| batch.len() < max) {
            let entry = self.entries.at_mut(*place);
            bytes += entry.key.len() + entry.wanted.as_ref().map_or(0, Bytes::len);
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            let lease = match (&entry.wanted, entry.lease) {
                (None, lease) | (_, lease @ Some(_)) => lease,
                (Some(_), None) => {
                    let lease = if entry.set.is_some() {
                        records.next()
                    } else {
                        gates.next()
                    };
                    // The next batch comes with another lease.
                    let Some(lease) = lease else { break };
                    Some(lease)
                }
            };
            (entry.waits, entry.flies) = (false, true);
            batch.push((*place, entry.wanted.clone(), lease));
            self.queue.pop_front();
        }
        batch
    }

    fn operation(&self, (place, value, lease): &Flown) -> Operation {
        let key = &self.entries.at(*place).key;
        match (value, lease) {
            (Some(value), Some(lease)) => Operation::Put(Put::new(key, value).leased(*lease)),
            (Some(value), None) => Operation::Put(Put::new(key, value)),
            (None, _) => Operation::Delete(Delete::new(Keys::One(key.clone()))),
        }
    }

    /// What has flown stands.
    pub(super) fn land(&mut self, batch: Vec<Flown>) {
        let mut sets = BTreeSet::new();
        for (place, value, lease) in batch {
            let entry = self.entries.at_mut(place);
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
                let key = entry.key.clone();
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
        for (place, ..) in batch.iter().rev() {
            let entry = self.entries.at_mut(*place);
            entry.flies = false;
            if !entry.waits {
                entry.waits = true;
                self.queue.push_front(*place);
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
        let lost = self.entries.places();
        let lost = lost.filter(|place| self.entries.at(*place).lease == Some(lease));
        for place in lost.collect::<Vec<_>>() {
            self.entries.at_mut(place).lease = None;
            self.enqueue(place);
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
