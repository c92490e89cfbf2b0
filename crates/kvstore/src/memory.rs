//! The store in memory, as a handle that tasks and threads share. The time is still told from outside.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    mvcc::{Delivery, Limits, Mvcc, WatchSpec, WatcherId},
    record::{
        Change, Delete, DeleteAnswer, Lease, LeaseId, LeaseStatus, Page, Put, PutAnswer, Query,
        Revision, Transaction, TransactionAnswer,
    },
    store::{Store, Watch},
};

const PAGE: usize = 1000;

#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    mvcc: Mvcc,
    now: Duration,
}

impl Memory {
    pub fn new(limits: Limits, seed: u64) -> Memory {
        Memory {
            shared: Arc::new(Mutex::new(Shared {
                mvcc: Mvcc::new(limits, seed),
                now: Duration::ZERO,
            })),
        }
    }

    /// Tells the time, since some start, and lets what is due happen. Returns when it wants to be told next.
    pub fn handle_timeout(&self, now: Duration) -> Option<Duration> {
        let mut shared = self.lock();
        shared.now = shared.now.max(now);
        let now = shared.now;
        shared.mvcc.handle_timeout(now);
        shared.mvcc.poll_timeout()
    }

    /// The store itself and its time, for as long as `use_it` takes: nothing that waits may be in there.
    pub fn with<T>(&self, use_it: impl FnOnce(&mut Mvcc, Duration) -> T) -> T {
        let mut shared = self.lock();
        let now = shared.now;
        use_it(&mut shared.mvcc, now)
    }

    /// The same, with the time told.
    pub fn at<T>(&self, now: Duration, use_it: impl FnOnce(&mut Mvcc, Duration) -> T) -> T {
        let mut shared = self.lock();
        shared.now = shared.now.max(now);
        let now = shared.now;
        use_it(&mut shared.mvcc, now)
    }

    /// A panic within leaves no half-made revision that others could see, since it ends the process.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    type Watch = MemoryWatch;

    async fn query(&self, query: Query) -> Result<Page> {
        self.with(|mvcc, _| mvcc.query(&query))
    }

    async fn put(&self, put: Put) -> Result<PutAnswer> {
        self.with(|mvcc, now| mvcc.put(put, now))
    }

    async fn delete(&self, delete: Delete) -> Result<DeleteAnswer> {
        self.with(|mvcc, now| mvcc.delete(delete, now))
    }

    async fn transact(&self, transaction: Transaction) -> Result<TransactionAnswer> {
        self.with(|mvcc, now| mvcc.transact(transaction, now))
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.with(|mvcc, _| mvcc.compact(revision))
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease> {
        self.with(|mvcc, now| mvcc.grant(None, ttl, now))
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration> {
        self.with(|mvcc, now| mvcc.renew(lease, now))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.with(|mvcc, now| mvcc.revoke(lease, now)).map(drop)
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus> {
        self.with(|mvcc, _| mvcc.lease(lease))
    }

    async fn watch(&self, spec: WatchSpec) -> Result<MemoryWatch> {
        let watch = MemoryWatch {
            memory: self.clone(),
            watcher: self.with(|mvcc, _| mvcc.add_watcher()),
        };
        self.with(|mvcc, _| mvcc.add_watch(watch.watcher, 0, spec))?;
        Ok(watch)
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

#[derive(Debug)]
pub struct MemoryWatch {
    memory: Memory,
    watcher: WatcherId,
}

impl Watch for MemoryWatch {
    async fn next(&mut self) -> Result<Vec<Change>> {
        let next = poll_fn(|context| {
            self.memory
                .with(|mvcc, _| mvcc.poll_watcher(self.watcher, context))
        });
        match next.await? {
            Delivery::Changes { changes, .. } => Ok(changes),
            Delivery::Compacted { oldest, .. } => {
                self.memory
                    .with(|mvcc, _| mvcc.remove_watcher(self.watcher));
                Err(Error::Compacted { oldest })
            }
        }
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.memory
            .with(|mvcc, _| mvcc.remove_watcher(self.watcher));
    }
}
