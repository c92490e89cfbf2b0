//! What can be said against a request without looking at the store.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Limits;
use crate::{
    error::{Error, Result},
    key::Keys,
    record::{LeaseId, Operation, Put, Transaction, Written},
};

/// How deep transactions may lie within one another.
const DEPTH_MAX: usize = 16;

pub fn operation(operation: &Operation, limits: &Limits) -> Result<()> {
    match operation {
        Operation::Query(query) => range(&query.keys),
        Operation::Put(request) => put(request, limits),
        Operation::Delete(delete) => range(&delete.keys),
        Operation::Transaction(nested) => transaction(nested, limits),
    }
}

pub fn transaction(transaction: &Transaction, limits: &Limits) -> Result<()> {
    nested(transaction, limits, DEPTH_MAX)?;
    branch(&transaction.then)?;
    branch(&transaction.otherwise)?;
    Ok(())
}

fn nested(transaction: &Transaction, limits: &Limits, depth: usize) -> Result<()> {
    let Transaction {
        compares,
        then,
        otherwise,
    } = transaction;
    let longest = compares.len().max(then.len()).max(otherwise.len());
    if longest > limits.operations_max || depth == 0 {
        let max = limits.operations_max;
        return Err(Error::TooManyOperations { max });
    }
    for compare in compares {
        range(&compare.keys)?;
    }
    for each in then.iter().chain(otherwise) {
        match each {
            Operation::Transaction(inner) => nested(inner, limits, depth - 1)?,
            other => operation(other, limits)?,
        }
    }
    Ok(())
}

pub fn range(keys: &Keys) -> Result<()> {
    match keys {
        Keys::One(key) | Keys::Between(key, _) if key.is_empty() => Err(Error::EmptyKey),
        _ => Ok(()),
    }
}

fn put(put: &Put, limits: &Limits) -> Result<()> {
    if put.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let value = match &put.value {
        Written::New(value) => value.len(),
        Written::Keep => 0,
    };
    let max = limits.record_bytes_max;
    if put.key.len() + value > max {
        return Err(Error::TooLarge { max });
    }
    match put.lease {
        Written::New(Some(lease @ LeaseId(..=0))) => Err(Error::LeaseNotFound { lease }),
        _ => Ok(()),
    }
}

/// Keys that a list of operations puts, and ranges that it deletes.
type Writes = (BTreeSet<Bytes>, Vec<Keys>);

/// No key may be written twice in one revision, except by deletions that overlap.
fn branch(operations: &[Operation]) -> Result<Writes> {
    let mut puts = BTreeSet::new();
    let mut deletions = Vec::new();
    for operation in operations {
        match operation {
            Operation::Query(_) => {}
            Operation::Put(put) => {
                if !puts.insert(put.key.clone()) {
                    return Err(Error::DuplicateKey);
                }
            }
            Operation::Delete(delete) => deletions.push(delete.keys.clone()),
            Operation::Transaction(_) => {}
        }
    }
    apart(&puts, &deletions)?;
    for operation in operations {
        let Operation::Transaction(inner) = operation else {
            continue;
        };
        let (then_puts, then_deletions) = branch(&inner.then)?;
        let (other_puts, other_deletions) = branch(&inner.otherwise)?;
        // Only one of both branches is taken, so they may write the same.
        let inner_puts: BTreeSet<Bytes> = then_puts.union(&other_puts).cloned().collect();
        let inner_deletions = [then_deletions, other_deletions].concat();
        if !puts.is_disjoint(&inner_puts) {
            return Err(Error::DuplicateKey);
        }
        apart(&puts, &inner_deletions)?;
        apart(&inner_puts, &deletions)?;
        puts.extend(inner_puts);
        deletions.extend(inner_deletions);
    }
    Ok((puts, deletions))
}

fn apart(puts: &BTreeSet<Bytes>, deletions: &[Keys]) -> Result<()> {
    let meet = |keys: &Keys| {
        let bounds = keys.bounds();
        bounds.is_some_and(|bounds| puts.range::<[u8], _>(bounds).next().is_some())
    };
    if deletions.iter().any(meet) {
        return Err(Error::DuplicateKey);
    }
    Ok(())
}
