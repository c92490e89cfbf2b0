//! A store with history in memory: revisions, leases, watches, compaction by age and size.
//!
//! Synchronous and deterministic, without I/O, clock or tasks: `now` is the time since some start that the caller has
//! chosen, and what is answered depends on the calls only.

mod check;
mod interest;
mod journal;
mod lease;
mod space;
mod transaction;
mod watch;

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    record::{
        Answer, Delete, DeleteAnswer, Lease, LeaseId, LeaseStatus, Operation, Page, Put, PutAnswer,
        Query, Record, Revision, Transaction, TransactionAnswer,
    },
};
use journal::{Event, Journal};
use lease::Leases;
use space::{Space, check_revision};
use transaction::{Done, Pending};
use watch::Watches;
pub use watch::{Delivery, WatchSpec, WatcherId};

/// What a store may hold. Every limit of it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of keys and values; a put beyond is refused.
    pub bytes_max: usize,
    /// Bytes of what is kept for watches and readers of the past; beyond, the oldest is compacted.
    pub history_bytes_max: usize,
    /// How long the past is kept.
    pub history_age_max: Duration,
    /// Bytes of a key with its value.
    pub record_bytes_max: usize,
    /// Operations in each list of a transaction.
    pub operations_max: usize,
    pub watches_max: usize,
    pub leases_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes_max: 2 << 30,
            history_bytes_max: 256 << 20,
            history_age_max: Duration::from_secs(600),
            record_bytes_max: 3 << 19,
            operations_max: 128,
            watches_max: 100_000,
            leases_max: 100_000,
        }
    }
}

/// The age by which history is kept is kept in so many steps.
const AGE_STEPS: u32 = 16;

#[derive(Debug)]
pub struct Mvcc {
    limits: Limits,
    space: Space,
    journal: Journal,
    leases: Leases,
    watches: Watches,
    revision: Revision,
    compacted: Revision,
    now: Duration,
}

impl Mvcc {
    /// `seed` makes the ids of leases differ from those of another store.
    pub fn new(limits: Limits, seed: u64) -> Mvcc {
        let mut leases = Leases::default();
        leases.seed(seed);
        Mvcc {
            limits,
            space: Space::default(),
            journal: Journal::default(),
            leases,
            watches: Watches::default(),
            // An empty etcd says 1 as well.
            revision: Revision(1),
            // Nothing yet; 0 can be compacted, as odd as that is, since it can in etcd.
            compacted: Revision(-1),
            now: Duration::ZERO,
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be asked for.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// What is held, estimated: all of it, and without the past.
    pub fn bytes(&self) -> (usize, usize) {
        let live = self.space.live_bytes();
        (live + self.space.history_bytes(), live)
    }

    pub fn query(&self, query: &Query) -> Result<Page> {
        check::range(&query.keys)?;
        check_revision(query, self.compacted, self.revision)?;
        Ok(self.space.query(query, self.revision))
    }

    pub fn put(&mut self, put: Put, now: Duration) -> Result<PutAnswer> {
        match self.single(Operation::Put(put), now)? {
            Answer::Put(answer) => Ok(answer),
            other => unreachable!("a put was answered by {other:?}"),
        }
    }

    pub fn delete(&mut self, delete: Delete, now: Duration) -> Result<DeleteAnswer> {
        match self.single(Operation::Delete(delete), now)? {
            Answer::Delete(answer) => Ok(answer),
            other => unreachable!("a deletion was answered by {other:?}"),
        }
    }

    fn single(&mut self, operation: Operation, now: Duration) -> Result<Answer> {
        self.advance(now);
        check::operation(&operation, &self.limits)?;
        let path = transaction::Path::default();
        self.check_state(std::slice::from_ref(&operation), &path)?;
        let mut pending = Pending::new(self.revision);
        let answer = self.apply(operation, &path, &mut pending);
        self.commit(pending);
        Ok(answer)
    }

    pub fn transact(
        &mut self,
        transaction: Transaction,
        now: Duration,
    ) -> Result<TransactionAnswer> {
        self.advance(now);
        check::transaction(&transaction, &self.limits)?;
        let path = self.path(&transaction);
        let operations = if path.holds {
            &transaction.then
        } else {
            &transaction.otherwise
        };
        self.check_state(operations, &path)?;
        let mut pending = Pending::new(self.revision);
        let answer = self.apply_transaction(transaction, &path, &mut pending);
        self.commit(pending);
        Ok(answer)
    }

    /// Makes one revision of what a request has written.
    fn commit(&mut self, pending: Pending) {
        if pending.done.is_empty() {
            return;
        }
        self.revision = pending.revision;
        for Done { record, previous } in pending.done {
            let event = Event { record, previous };
            self.watches.note(&event);
            self.space.add_history_bytes(Event::BYTES);
            self.journal.push(event);
        }
        let step = self.limits.history_age_max / AGE_STEPS;
        self.journal.mark(self.now, self.revision, step);
        self.shrink();
    }

    /// Forgets what was superseded before `revision`; watches that have not read it end.
    pub fn compact(&mut self, revision: Revision) -> Result<()> {
        if revision <= self.compacted {
            return Err(Error::Compacted {
                oldest: self.compacted,
            });
        }
        if revision > self.revision {
            return Err(Error::FutureRevision {
                present: self.revision,
            });
        }
        self.forget(revision);
        Ok(())
    }

    fn forget(&mut self, revision: Revision) {
        self.compacted = revision;
        while let Some(event) = self.journal.oldest()
            && event.revision() < revision
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(event) = self.journal.pop() {
            self.space.subtract_history_bytes(Event::BYTES);
            self.space.forget_before(&event.record);
        }
    }

    /// Compacts when the past has grown too large, by a quarter, so that it is not done at every write.
    fn shrink(&mut self) {
        let max = self.limits.history_bytes_max;
        if self.space.history_bytes() <= max {
            return;
        }
        while self.space.history_bytes() > max / 4 * 3
            && let Some(event) = self.journal.oldest()
            && event.revision() < self.revision
        {
            let next = event.revision().next();
            self.forget(next.max(self.compacted));
        }
    }

    /// Leases that have expired go, and what is too old is compacted.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
        while let Some(id) = self.leases.expired(self.now) {
            let keys = self.leases.revoke(id).unwrap_or_default();
            self.delete_keys(keys);
        }
        let Some(then) = self.now.checked_sub(self.limits.history_age_max) else {
            return;
        };
        if let Some(revision) = self.journal.present_at(then)
            && revision > self.compacted
        {
            self.forget(revision);
        }
    }

    /// When `handle_timeout` has something to do.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let lease = self.leases.next_deadline();
        let age = self
            .journal
            .oldest_mark()
            .map(|mark| mark + self.limits.history_age_max);
        lease.into_iter().chain(age).min()
    }

    /// A clock that goes back stands still here.
    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    pub fn grant(&mut self, id: Option<LeaseId>, ttl: Duration, now: Duration) -> Result<Lease> {
        self.advance(now);
        if self.leases.len() >= self.limits.leases_max {
            return Err(Error::TooMany);
        }
        self.leases.grant(id, ttl, self.now)
    }

    pub fn renew(&mut self, lease: LeaseId, now: Duration) -> Result<Duration> {
        self.handle_timeout(now);
        self.leases.renew(lease, self.now)
    }

    pub fn revoke(&mut self, lease: LeaseId, now: Duration) -> Result<Revision> {
        self.advance(now);
        let keys = self.leases.revoke(lease)?;
        self.delete_keys(keys);
        Ok(self.revision)
    }

    pub fn lease(&self, lease: LeaseId) -> Result<LeaseStatus> {
        self.leases.status(lease, self.now)
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.space.live_count()
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        self.watches.count()
    }

    pub fn leases(&self) -> Vec<LeaseId> {
        self.leases.ids()
    }

    fn delete_keys(&mut self, keys: impl IntoIterator<Item = Bytes>) {
        let mut pending = Pending::new(self.revision);
        for key in keys {
            self.delete_key(key, &mut pending);
        }
        self.commit(pending);
    }

    pub fn add_watcher(&mut self) -> WatcherId {
        self.watches.add_watcher()
    }

    pub fn remove_watcher(&mut self, watcher: WatcherId) {
        self.watches.remove_watcher(watcher);
    }

    /// Begins a watch under a number that the watcher does not use yet. From a revision that has been compacted, it
    /// is told so.
    pub fn add_watch(&mut self, watcher: WatcherId, watch: i64, spec: WatchSpec) -> Result<()> {
        if self.watches.count() >= self.limits.watches_max {
            return Err(Error::TooMany);
        }
        self.watches.add(watcher, watch, spec, self.revision);
        Ok(())
    }

    pub fn has_watch(&self, watcher: WatcherId, watch: i64) -> bool {
        self.watches.contains(watcher, watch)
    }

    /// Whether the watch was there.
    pub fn remove_watch(&mut self, watcher: WatcherId, watch: i64) -> bool {
        self.watches.remove(watcher, watch)
    }

    pub fn poll_watcher(
        &mut self,
        watcher: WatcherId,
        context: &mut Context<'_>,
    ) -> Poll<Result<Delivery>> {
        self.watches
            .poll(watcher, &self.journal, self.compacted, context)
    }

    /// The present revision, if everything up to it has been delivered to all watches of the watcher.
    pub fn progress(&self, watcher: WatcherId) -> Option<Revision> {
        self.watches.is_idle(watcher).then_some(self.revision)
    }

    /// The same for one watch.
    pub fn progress_of(&self, watcher: WatcherId, watch: i64) -> Option<Revision> {
        self.watches
            .has_read_all(watcher, watch)
            .then_some(self.revision)
    }

    fn live(&self, key: &[u8]) -> Option<&Arc<Record>> {
        self.space.get(key)
    }
}
