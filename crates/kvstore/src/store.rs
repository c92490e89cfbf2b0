//! The one trait of all stores. Decides nothing about keys.

use std::{future::Future, time::Duration};

use bytes::Bytes;

use crate::{
    error::Result,
    key::{Keys, follower},
    mvcc::WatchSpec,
    record::{
        Change, Delete, DeleteAnswer, Lease, LeaseId, LeaseStatus, Page, Put, PutAnswer, Query,
        Record, Revision, Transaction, TransactionAnswer,
    },
};

/// A store of keys and values with revisions. Clones are handles to the same store.
pub trait Store: Clone + Send + Sync + 'static {
    type Watch: Watch;

    fn query(&self, query: Query) -> impl Future<Output = Result<Page>> + Send;

    fn put(&self, put: Put) -> impl Future<Output = Result<PutAnswer>> + Send;

    fn delete(&self, delete: Delete) -> impl Future<Output = Result<DeleteAnswer>> + Send;

    fn transact(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<TransactionAnswer>> + Send;

    fn compact(&self, revision: Revision) -> impl Future<Output = Result<()>> + Send;

    /// The store may grant a longer one than asked for.
    fn grant(&self, ttl: Duration) -> impl Future<Output = Result<Lease>> + Send;

    /// Starts the lease's time anew; its whole time is returned.
    fn renew(&self, lease: LeaseId) -> impl Future<Output = Result<Duration>> + Send;

    /// Ends the lease; its keys go with it.
    fn revoke(&self, lease: LeaseId) -> impl Future<Output = Result<()>> + Send;

    fn lease(&self, lease: LeaseId) -> impl Future<Output = Result<LeaseStatus>> + Send;

    /// Returns when the watch is in place: what is written afterwards is seen.
    fn watch(&self, spec: WatchSpec) -> impl Future<Output = Result<Self::Watch>> + Send;

    /// The size of a page, where the caller has no reason to choose one.
    fn page_size(&self) -> usize;

    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Record>>> + Send {
        async move {
            let page = self.query(Query::new(Keys::one(key))).await?;
            Ok(page.records.into_iter().next())
        }
    }

    /// The page of a list that follows after `from`, or its first, at the revision of the first.
    fn page(
        &self,
        keys: Keys,
        from: Option<PageEnd>,
    ) -> impl Future<Output = Result<(Page, Option<PageEnd>)>> + Send {
        async move {
            let (keys, revision) = match &from {
                Some(end) => (keys.starting_at(follower(&end.key)), Some(end.revision)),
                None => (keys, None),
            };
            let query = Query {
                limit: self.page_size(),
                revision,
                ..Query::new(keys)
            };
            let page = self.query(query).await?;
            let next = page.records.last().filter(|_| page.more);
            let next = next.map(|last| PageEnd {
                key: last.key.clone(),
                revision: revision.unwrap_or(page.revision),
            });
            Ok((page, next))
        }
    }
}

/// Where the next page of a list begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageEnd {
    /// The last key of the page before.
    pub key: Bytes,
    pub revision: Revision,
}

/// Changes in order, without gaps and duplicates. Dropping it ends the watch.
pub trait Watch: Send + 'static {
    /// Waits for the next changes; whole revisions, each in one batch. Safe to cancel. After an error the watch has
    /// ended.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Change>>> + Send;
}
