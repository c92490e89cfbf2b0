//! What a store holds and what it can be asked, the same for every store.
//!
//! The fields are those of etcd's protocol, so that nothing is lost between a client, the server and the memory.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::key::Keys;

/// Each writing request makes the next one. 0 is before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl fmt::LowerHex for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub key: Bytes,
    pub value: Bytes,
    /// When the key came to be, after it was last absent.
    pub created: Revision,
    pub modified: Revision,
    /// Writes since it came to be, counted from 1; 0 where the key was deleted.
    pub version: i64,
    pub lease: Option<LeaseId>,
}

impl Record {
    pub fn is_deletion(&self) -> bool {
        self.version == 0
    }
}

/// One key's change, as a watch tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is there now; a deletion has its key and revision only.
    pub record: Record,
    /// What was there before, if the watch asked for it.
    pub previous: Option<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub keys: Keys,
    /// The present, if none.
    pub revision: Option<Revision>,
    /// 0 is all.
    pub limit: usize,
    pub order: Option<Order>,
    pub keys_only: bool,
    pub count_only: bool,
    pub within: Within,
}

impl Query {
    pub fn new(keys: Keys) -> Query {
        Query {
            keys,
            revision: None,
            limit: 0,
            order: None,
            keys_only: false,
            count_only: false,
            within: Within::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub by: Field,
    pub descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Key,
    Version,
    Created,
    Modified,
    Value,
}

/// Bounds of the revisions of what is answered; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    pub modified_min: Revision,
    pub modified_max: Revision,
    pub created_min: Revision,
    pub created_max: Revision,
}

/// A part of a list, all of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Record>,
    /// More of the same follows after the last.
    pub more: bool,
    /// How many keys the range has, without limit and filters.
    pub count: usize,
    /// The store's revision when it answered.
    pub revision: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub key: Bytes,
    pub value: Written<Bytes>,
    pub lease: Written<Option<LeaseId>>,
    pub want_previous: bool,
}

/// What to write, or to let it be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written<T> {
    New(T),
    Keep,
}

impl Put {
    pub fn new(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Put {
        Put {
            key: Bytes::copy_from_slice(key.as_ref()),
            value: Written::New(Bytes::copy_from_slice(value.as_ref())),
            lease: Written::New(None),
            want_previous: false,
        }
    }

    pub fn leased(self, lease: LeaseId) -> Put {
        Put {
            lease: Written::New(Some(lease)),
            ..self
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    pub keys: Keys,
    pub want_previous: bool,
}

impl Delete {
    pub fn new(keys: Keys) -> Delete {
        Delete {
            keys,
            want_previous: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Query(Query),
    Put(Put),
    Delete(Delete),
    Transaction(Transaction),
}

/// If all compares hold, the first operations, else the others; in one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub compares: Vec<Compare>,
    pub then: Vec<Operation>,
    pub otherwise: Vec<Operation>,
}

/// Holds if it does for each key of the range; an absent one counts as all zeroes and has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    pub keys: Keys,
    pub relation: Relation,
    pub to: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    Greater,
    Less,
    NotEqual,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    Version(i64),
    Created(Revision),
    Modified(Revision),
    Value(Bytes),
    Lease(Option<LeaseId>),
}

/// What a write did; the revision is the store's after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutAnswer {
    pub revision: Revision,
    pub previous: Option<Record>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteAnswer {
    pub revision: Revision,
    pub deleted: usize,
    pub previous: Vec<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Query(Page),
    Put(PutAnswer),
    Delete(DeleteAnswer),
    Transaction(TransactionAnswer),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionAnswer {
    pub revision: Revision,
    /// Whether the compares held.
    pub succeeded: bool,
    pub answers: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub id: LeaseId,
    /// What the store grants, which may be more than was asked for.
    pub ttl: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseStatus {
    pub granted: Duration,
    pub remaining: Duration,
    pub keys: Vec<Bytes>,
}
