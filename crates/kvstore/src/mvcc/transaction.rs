//! Carries out operations. All that can be refused is refused before the first of them is.

use std::{cmp::Ordering, sync::Arc};

use bytes::Bytes;

use super::{Mvcc, check_revision};
use crate::{
    error::{Error, Result},
    record::{
        Answer, Compare, Delete, DeleteAnswer, LeaseId, Operand, Operation, Put, PutAnswer, Query,
        Record, Relation, Revision, Transaction, TransactionAnswer, Written,
    },
};

/// Which way each transaction goes, decided by what is there before anything is written.
#[derive(Debug, Default)]
pub struct Path {
    pub holds: bool,
    inner: Vec<Path>,
}

/// What a request has written so far.
#[derive(Debug)]
pub struct Pending {
    /// What it becomes if anything is written.
    pub revision: Revision,
    present: Revision,
    pub done: Vec<Done>,
}

#[derive(Debug)]
pub struct Done {
    pub record: Arc<Record>,
    pub previous: Option<Arc<Record>>,
}

impl Pending {
    pub fn new(present: Revision) -> Pending {
        Pending {
            revision: present.next(),
            present,
            done: Vec::new(),
        }
    }

    /// The store's revision as it is by now.
    fn reached(&self) -> Revision {
        if self.done.is_empty() {
            self.present
        } else {
            self.revision
        }
    }
}

fn nested(operations: &[Operation]) -> impl Iterator<Item = &Transaction> {
    operations.iter().filter_map(|operation| match operation {
        Operation::Transaction(transaction) => Some(transaction),
        _ => None,
    })
}

impl Mvcc {
    pub(super) fn path(&self, transaction: &Transaction) -> Path {
        let holds = transaction
            .compares
            .iter()
            .all(|compare| self.holds(compare));
        let taken = if holds {
            &transaction.then
        } else {
            &transaction.otherwise
        };
        let inner = nested(taken).map(|inner| self.path(inner)).collect();
        Path { holds, inner }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let mut any = false;
        for record in self.space.live(&compare.keys) {
            any = true;
            if !relates(record, compare) {
                return false;
            }
        }
        let absent = Record::default();
        any || (!matches!(compare.to, Operand::Value(_)) && relates(&absent, compare))
    }

    /// Refuses what cannot be carried out as the store is. Counts what is put, so that the store cannot overflow.
    pub(super) fn check_state(&self, operations: &[Operation], path: &Path) -> Result<()> {
        let mut room = self
            .limits
            .bytes_max
            .saturating_sub(self.space.live_bytes());
        self.check_operations(operations, path, &mut room)
    }

    fn check_operations(
        &self,
        operations: &[Operation],
        path: &Path,
        room: &mut usize,
    ) -> Result<()> {
        let mut inner = path.inner.iter();
        for operation in operations {
            match operation {
                Operation::Query(query) => {
                    check_revision(query, self.compacted, self.revision)?;
                }
                Operation::Put(put) => self.check_put(put, room)?,
                Operation::Delete(_) => {}
                Operation::Transaction(transaction) => {
                    let Some(path) = inner.next() else {
                        unreachable!("each nested transaction has its path");
                    };
                    let taken = if path.holds {
                        &transaction.then
                    } else {
                        &transaction.otherwise
                    };
                    self.check_operations(taken, path, room)?;
                }
            }
        }
        Ok(())
    }

    fn check_put(&self, put: &Put, room: &mut usize) -> Result<()> {
        let keeps = put.value == Written::Keep || put.lease == Written::Keep;
        if keeps && self.live(&put.key).is_none() {
            return Err(Error::KeyNotFound);
        }
        if let Written::New(Some(lease)) = put.lease
            && !self.leases.contains(lease)
        {
            return Err(Error::LeaseNotFound { lease });
        }
        if let Written::New(value) = &put.value {
            let needed = put.key.len() + value.len();
            *room = room.checked_sub(needed).ok_or(Error::NoSpace)?;
        }
        Ok(())
    }

    pub(super) fn apply_transaction(
        &mut self,
        transaction: Transaction,
        path: &Path,
        pending: &mut Pending,
    ) -> TransactionAnswer {
        let taken = if path.holds {
            transaction.then
        } else {
            transaction.otherwise
        };
        let mut inner = path.inner.iter();
        let mut answers = Vec::with_capacity(taken.len());
        for operation in taken {
            let path = match &operation {
                Operation::Transaction(_) => inner.next(),
                _ => None,
            };
            answers.push(self.apply(operation, path.unwrap_or(&Path::default()), pending));
        }
        TransactionAnswer {
            revision: pending.reached(),
            succeeded: path.holds,
            answers,
        }
    }

    pub(super) fn apply(
        &mut self,
        operation: Operation,
        path: &Path,
        pending: &mut Pending,
    ) -> Answer {
        match operation {
            Operation::Query(query) => Answer::Query(self.apply_query(&query, pending)),
            Operation::Put(put) => Answer::Put(self.apply_put(put, pending)),
            Operation::Delete(delete) => Answer::Delete(self.apply_delete(&delete, pending)),
            Operation::Transaction(transaction) => {
                Answer::Transaction(self.apply_transaction(transaction, path, pending))
            }
        }
    }

    fn apply_query(&self, query: &Query, pending: &Pending) -> crate::record::Page {
        self.space.query(query, pending.reached())
    }

    fn apply_put(&mut self, put: Put, pending: &mut Pending) -> PutAnswer {
        let previous = self.live(&put.key).cloned();
        let lease_before = previous.as_ref().and_then(|previous| previous.lease);
        let kept = |what: &str| -> ! { panic!("the {what} to keep was checked to be there") };
        let value = match put.value {
            // A slice of a request would keep the whole request in memory.
            Written::New(value) => Bytes::copy_from_slice(&value),
            Written::Keep => match &previous {
                Some(previous) => previous.value.clone(),
                None => kept("value"),
            },
        };
        let lease = match put.lease {
            Written::New(lease) => lease,
            Written::Keep => lease_before,
        };
        let (key, created, version) = match &previous {
            Some(previous) => (previous.key.clone(), previous.created, previous.version + 1),
            None => (Bytes::copy_from_slice(&put.key), pending.revision, 1),
        };
        self.leases.attach(&key, lease_before, lease);
        let record = Arc::new(Record {
            key,
            value,
            created,
            modified: pending.revision,
            version,
            lease,
        });
        self.write(record, pending);
        PutAnswer {
            revision: pending.revision,
            previous: previous
                .filter(|_| put.want_previous)
                .map(|previous| Record::clone(&previous)),
        }
    }

    fn apply_delete(&mut self, delete: &Delete, pending: &mut Pending) -> DeleteAnswer {
        let doomed: Vec<Arc<Record>> = self.space.live(&delete.keys).cloned().collect();
        let mut answer = DeleteAnswer {
            deleted: doomed.len(),
            ..DeleteAnswer::default()
        };
        for record in doomed {
            self.delete_key(record.key.clone(), pending);
            if delete.want_previous {
                answer.previous.push(Record::clone(&record));
            }
        }
        answer.revision = pending.reached();
        answer
    }

    pub(super) fn delete_key(&mut self, key: Bytes, pending: &mut Pending) {
        let Some(record) = self.live(&key) else {
            return;
        };
        let (lease, no_lease): (Option<LeaseId>, Option<LeaseId>) = (record.lease, None);
        self.leases.attach(&key, lease, no_lease);
        let deletion = Arc::new(Record {
            key,
            modified: pending.revision,
            ..Record::default()
        });
        self.write(deletion, pending);
    }

    fn write(&mut self, record: Arc<Record>, pending: &mut Pending) {
        let previous = self.space.write(Arc::clone(&record));
        pending.done.push(Done { record, previous });
    }
}

fn relates(record: &Record, compare: &Compare) -> bool {
    let order = match &compare.to {
        Operand::Version(version) => record.version.cmp(version),
        Operand::Created(revision) => record.created.cmp(revision),
        Operand::Modified(revision) => record.modified.cmp(revision),
        Operand::Value(value) => record.value.cmp(value),
        Operand::Lease(lease) => record.lease.cmp(lease),
    };
    match compare.relation {
        Relation::Equal => order == Ordering::Equal,
        Relation::Greater => order == Ordering::Greater,
        Relation::Less => order == Ordering::Less,
        Relation::NotEqual => order != Ordering::Equal,
    }
}
