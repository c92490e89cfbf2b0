//! Becoming the one writer: the lock is a key on a lease; whoever has it adopts what a former writer left.

use std::time::Duration;

use bytes::Bytes;
use tombolo_kvstore::{Error, Keys, Operand, Operation, Page, PageEnd, Put, Revision, Transaction};

use super::{Answer, Ask, Flight, Flown, LOCK_LEASE, Lock, Phase, Writer};

/// How often one that stands by looks whether the lock is free.
const LOOK: Duration = Duration::from_secs(2);

impl Writer {
    pub(super) fn ask_standby(&mut self) -> (Ask, Flight) {
        let keys = Keys::One(self.options.lock.clone());
        (Ask::Page { keys, from: None }, Flight::Look)
    }

    pub(super) fn ask_lock(&mut self) -> (Ask, Flight) {
        let Some(lease) = self.lock.as_ref().map(|lock| lock.lease) else {
            return (Ask::Grant(LOCK_LEASE), Flight::Grant(LOCK_LEASE));
        };
        let free = self.compare_lock(Operand::Created(Revision(0)));
        let put = Put::new(&self.options.lock, &self.options.holder).leased(lease);
        let transaction = Transaction {
            compares: vec![free],
            then: vec![Operation::Put(put)],
            otherwise: Vec::new(),
        };
        (Ask::Transact(transaction), Flight::Lock)
    }

    pub(super) fn handle_look(&mut self, page: &Page, now: Duration) {
        self.outrun = !page.records.is_empty();
        if !self.outrun {
            self.phase = Phase::Locking;
            return;
        }
        self.pause = now + LOOK;
    }

    pub(super) fn handle_lock(&mut self, held: bool, revision: Revision, now: Duration) {
        self.set_fence(Some(revision));
        if !held {
            // Another one was faster; the lease ends by itself.
            self.stand_by();
            self.outrun = true;
            self.pause = now + LOOK;
            return;
        }
        let sets = self.sets.iter();
        let ranges = sets.flat_map(|(prefix, set)| set.ranges(prefix));
        let kept = self.kept.iter().cloned().map(Keys::One);
        let left = ranges.chain(kept).collect();
        self.phase = Phase::Adopting { left, from: None };
        self.term += 1;
        self.heartbeat_at = now;
    }

    fn set_fence(&mut self, fence: Option<Revision>) {
        if let Some(lock) = &mut self.lock {
            lock.fence = fence;
        }
    }

    pub(super) fn handle_page(&mut self, keys: &Keys, page: Page, next: Option<PageEnd>) {
        for record in page.records {
            self.adopt(keys, record.key, record.value);
        }
        if let Phase::Adopting { left, from } = &mut self.phase {
            if next.is_none() {
                left.retain(|left| left != keys);
            }
            *from = next;
        }
        self.lead();
    }

    /// Whether there is nothing left to adopt; then canaries of what was complete before may be due.
    fn lead(&mut self) {
        if matches!(&self.phase, Phase::Adopting { left, .. } if left.is_empty()) {
            self.phase = Phase::Leading;
            for prefix in self.sets.keys().cloned().collect::<Vec<_>>() {
                self.settle(&prefix);
            }
        }
    }

    pub(super) fn ask_adopt(&mut self) -> Option<(Ask, Flight)> {
        let Phase::Adopting { left, from } = &self.phase else {
            return None;
        };
        let Some(keys) = left.first().cloned() else {
            self.lead();
            return None;
        };
        let from = from.clone();
        let flight = Flight::Page(keys.clone());
        Some((Ask::Page { keys, from }, flight))
    }

    /// A key that is there and of which no source has spoken yet is wanted until its source has told all.
    fn adopt(&mut self, keys: &Keys, key: Bytes, value: Bytes) {
        if self.entries.contains(&key) {
            return;
        }
        let Some(prefix) = keys.as_prefix() else {
            return self.want(key, Some(value), None);
        };
        let Some(set) = self.sets.get(prefix) else {
            return;
        };
        if set.complete || set.removed {
            self.want(key.clone(), Some(value), Some(prefix));
            self.want(key, None, Some(prefix));
            return;
        }
        self.want(key.clone(), Some(value), Some(prefix));
        if let Some(place) = self.entries.find(&key) {
            // Older than whatever the source tells, even if it is amid telling.
            self.entries.at_mut(place).generation = 0;
        }
    }

    /// The lock is lost or the store another one: nothing is known of what stands there.
    pub(super) fn stand_by(&mut self) {
        self.phase = Phase::Standby;
        self.lock = None;
        self.records.clear();
        self.gates.clear();
        self.refused.clear();
        if self.options.told_anew {
            return self.forget_former();
        }
        let canaries: Vec<_> = self
            .sets
            .values()
            .filter_map(|set| set.canary.clone())
            .collect();
        for canary in canaries {
            self.forget_gate(&canary);
        }
        for place in self.entries.places().collect::<Vec<_>>() {
            self.entries.at_mut(place).lease = None;
            self.enqueue(place);
        }
    }

    /// Whoever leads meanwhile knows better. If the store loses everything before we lead again, nothing there tells us of
    /// that, and what we knew would be a past that readers have left.
    fn forget_former(&mut self) {
        for set in self.sets.values_mut() {
            set.complete = false;
        }
        let places = self.entries.places();
        let keys: Vec<_> = places
            .map(|place| self.entries.at(place).key.clone())
            .collect();
        self.forget_all(&keys);
    }

    /// A canary that has gone is written again when its set is complete again, not before.
    pub(super) fn forget_gate(&mut self, key: &Bytes) {
        self.forget_all(std::slice::from_ref(key));
    }

    pub(super) fn fail(&mut self, flight: Flight, error: &Error, now: Duration) {
        self.trouble = Some(error.to_string());
        if let Flight::Write(batch) = &flight {
            self.put_back(batch);
        }
        match (error, flight) {
            (Error::ClusterChanged { .. }, _) => self.stand_by(),
            (Error::LeaseNotFound { .. }, Flight::Lock) => self.stand_by(),
            (Error::LeaseNotFound { .. }, Flight::Renew(lease)) => self.lose(lease),
            (Error::LeaseNotFound { lease }, _) => {
                self.lose(*lease);
                self.doubt(now);
            }
            (Error::Compacted { .. }, Flight::Page(_)) => {
                if let Phase::Adopting { from, .. } = &mut self.phase {
                    *from = None;
                }
            }
            (error, Flight::Write(batch)) if is_about_keys(error) => {
                return self.refuse(&batch, error);
            }
            _ => {
                self.set_fence(None);
                self.doubt(now);
            }
        }
        self.pause = now + self.backoff.next(&mut self.random);
    }

    /// Leases are asked after before anything is written: the store may have lost them.
    fn doubt(&mut self, now: Duration) {
        self.records.doubt(now);
        self.gates.doubt(now);
        if let Some(lock) = &mut self.lock {
            lock.renew_at = now;
        }
    }

    fn refuse(&mut self, batch: &[Flown], error: &Error) {
        if batch.len() > 1 {
            self.singly = batch.len();
            return;
        }
        // It is not the first if another value has come since.
        let Some(place) = self
            .queue
            .pop_front_if(|first| batch.iter().any(|(place, ..)| place == first))
        else {
            return;
        };
        let entry = self.entries.at_mut(place);
        // Taken for settled: it must not hold up the canary, nor be tried again until it changes.
        entry.waits = false;
        let set = entry.set.clone();
        self.refused.insert(entry.key.clone(), error.to_string());
        if let Some(prefix) = set {
            self.land_in(&prefix);
        }
    }

    pub(super) fn answer(&mut self, flight: Flight, answer: Answer, now: Duration) {
        match (flight, answer) {
            (flight, Answer::Failed(error)) => return self.fail(flight, &error, now),
            (Flight::Look, Answer::Page(page, _)) => self.handle_look(&page, now),
            (Flight::Lock, Answer::Transacted { held, revision }) => {
                self.handle_lock(held, revision, now);
            }
            (Flight::Fence, Answer::Transacted { held, revision }) => match held {
                true => self.set_fence(Some(revision)),
                false => self.stand_by(),
            },
            (Flight::Page(keys), Answer::Page(page, next)) => self.handle_page(&keys, page, next),
            (Flight::Grant(ttl), Answer::Granted(lease)) => match ttl {
                ttl if ttl == LOCK_LEASE => {
                    let (lease, renew_at) = (lease.id, now + LOCK_LEASE / 3);
                    self.lock = Some(Lock {
                        lease,
                        renew_at,
                        fence: None,
                    });
                }
                ttl if ttl == self.gates.ttl => self.gates.add(&lease, now),
                _ => self.records.add(&lease, now),
            },
            (Flight::Renew(lease), Answer::Renewed) => {
                self.records.renewed(lease, now);
                self.gates.renewed(lease, now);
                if let Some(lock) = self.lock.as_mut().filter(|lock| lock.lease == lease) {
                    lock.renew_at = now + LOCK_LEASE / 3;
                }
            }
            (Flight::Write(batch), Answer::Transacted { held: true, .. }) => self.land(batch),
            (Flight::Write(batch), Answer::Transacted { held: false, .. }) => {
                self.put_back(&batch);
                // It may have been an earlier try of ours to write the lock anew.
                self.set_fence(None);
            }
            (flight, answer) => panic!("{flight:?} was answered by {answer:?}"),
        }
        self.backoff.reset();
        self.trouble = None;
    }
}

/// Whether it is for what is written that the store refuses, and not for how it is.
fn is_about_keys(error: &Error) -> bool {
    matches!(
        error,
        Error::TooLarge { .. }
            | Error::EmptyKey
            | Error::DuplicateKey
            | Error::TooManyOperations { .. }
    ) || matches!(
        error,
        Error::Answer {
            temporary: false,
            ..
        }
    )
}
