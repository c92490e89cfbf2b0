//! Ways to a store in memory that tests cut and lead elsewhere.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tombolo_kvstore::{
    Change, Delete, DeleteAnswer, Error, Lease, LeaseId, LeaseStatus, Memory, Page, Put, PutAnswer,
    Query, Result, Revision, Store, Transaction, TransactionAnswer, Watch, WatchSpec,
};

use crate::drive::Connect;

/// A store's place: the store that is there now, and whether it can be reached. A change of either ends connections.
#[derive(Clone)]
pub(crate) struct Place(Arc<watch::Sender<(u64, Option<Memory>)>>);

#[derive(Clone)]
pub(crate) struct Link {
    memory: Memory,
    number: u64,
    place: watch::Receiver<(u64, Option<Memory>)>,
}

impl Place {
    pub(crate) fn new(memory: Memory) -> Place {
        Place(Arc::new(watch::Sender::new((0, Some(memory)))))
    }

    /// Ends all connections; new ones lead to this store, if there is one.
    pub(crate) fn set(&self, memory: Option<Memory>) {
        self.0.send_modify(|(number, place)| {
            *number += 1;
            *place = memory;
        });
    }
}

impl Connect for Place {
    type Store = Link;

    async fn connect(&self) -> Result<Link> {
        let place = self.0.subscribe();
        let (number, memory) = place.borrow().clone();
        let memory = memory.ok_or_else(cut)?;
        Ok(Link {
            memory,
            number,
            place,
        })
    }
}

fn cut() -> Error {
    Error::Connect {
        endpoint: "https://peer".to_owned(),
        problem: "cut".to_owned(),
    }
}

impl Link {
    fn store(&self) -> Result<&Memory> {
        if self.place.borrow().0 == self.number {
            Ok(&self.memory)
        } else {
            Err(cut())
        }
    }
}

impl Store for Link {
    type Watch = LinkWatch;

    async fn query(&self, query: Query) -> Result<Page> {
        self.store()?.query(query).await
    }

    async fn put(&self, put: Put) -> Result<PutAnswer> {
        self.store()?.put(put).await
    }

    async fn delete(&self, delete: Delete) -> Result<DeleteAnswer> {
        self.store()?.delete(delete).await
    }

    async fn transact(&self, transaction: Transaction) -> Result<TransactionAnswer> {
        self.store()?.transact(transaction).await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.store()?.compact(revision).await
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease> {
        self.store()?.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<Duration> {
        self.store()?.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.store()?.revoke(lease).await
    }

    async fn lease(&self, lease: LeaseId) -> Result<LeaseStatus> {
        self.store()?.lease(lease).await
    }

    async fn watch(&self, spec: WatchSpec) -> Result<LinkWatch> {
        let watch = self.store()?.watch(spec).await?;
        let link = self.clone();
        Ok(LinkWatch { watch, link })
    }

    fn page_size(&self) -> usize {
        3
    }
}

pub(crate) struct LinkWatch {
    watch: <Memory as Store>::Watch,
    link: Link,
}

impl Watch for LinkWatch {
    async fn next(&mut self) -> Result<Vec<Change>> {
        self.link.store()?;
        tokio::select! {
            changes = self.watch.next() => changes,
            _ = self.link.place.changed() => Err(cut()),
        }
    }
}
