//! Transactions between the messages of the protocol and our own words.

use super::{
    self as wire,
    convert::{bounds, keys, lease, lease_number, revision},
};
use crate::{
    error::{Error, Result},
    record::{
        Answer, Compare, Operand, Operation, Relation, Revision, Transaction, TransactionAnswer,
    },
};

impl TryFrom<wire::TxnRequest> for Transaction {
    type Error = Error;

    fn try_from(request: wire::TxnRequest) -> Result<Transaction> {
        let operations = |list: Vec<wire::RequestOp>| -> Result<Vec<Operation>> {
            list.into_iter().map(operation).collect()
        };
        let compares = request.compare.into_iter().map(compare);
        Ok(Transaction {
            compares: compares.collect::<Result<_>>()?,
            then: operations(request.success)?,
            otherwise: operations(request.failure)?,
        })
    }
}

fn operation(operation: wire::RequestOp) -> Result<Operation> {
    Ok(match operation.request {
        Some(wire::Request::Range(request)) => Operation::Query(request.try_into()?),
        Some(wire::Request::Put(request)) => Operation::Put(request.try_into()?),
        Some(wire::Request::DeleteRange(request)) => Operation::Delete(request.into()),
        Some(wire::Request::Txn(request)) => Operation::Transaction(request.try_into()?),
        // Odd as it is, this is what etcd says to an operation that is none.
        None => return Err(Error::KeyNotFound),
    })
}

fn compare(compare: wire::Compare) -> Result<Compare> {
    let relation = match compare.result {
        0 => Relation::Equal,
        1 => Relation::Greater,
        2 => Relation::Less,
        3 => Relation::NotEqual,
        _ => return Err(Error::InvalidOrder),
    };
    // What is not given is zero.
    let number = match compare.union {
        Some(wire::Target::Version(number))
        | Some(wire::Target::CreateRevision(number))
        | Some(wire::Target::ModRevision(number))
        | Some(wire::Target::Lease(number)) => number,
        Some(wire::Target::Value(_)) | None => 0,
    };
    let to = match compare.target {
        0 => Operand::Version(number),
        1 => Operand::Created(Revision(number)),
        2 => Operand::Modified(Revision(number)),
        3 => Operand::Value(match compare.union {
            Some(wire::Target::Value(value)) => value,
            _ => Default::default(),
        }),
        4 => Operand::Lease(lease(number)),
        _ => return Err(Error::InvalidOrder),
    };
    Ok(Compare {
        keys: keys(compare.key, compare.range_end),
        relation,
        to,
    })
}

impl From<Transaction> for wire::TxnRequest {
    fn from(transaction: Transaction) -> Self {
        let operations = |list: Vec<Operation>| list.into_iter().map(Into::into).collect();
        wire::TxnRequest {
            compare: transaction.compares.into_iter().map(Into::into).collect(),
            success: operations(transaction.then),
            failure: operations(transaction.otherwise),
        }
    }
}

impl From<Operation> for wire::RequestOp {
    fn from(operation: Operation) -> Self {
        wire::RequestOp {
            request: Some(match operation {
                Operation::Query(query) => wire::Request::Range(query.into()),
                Operation::Put(put) => wire::Request::Put(put.into()),
                Operation::Delete(delete) => wire::Request::DeleteRange(delete.into()),
                Operation::Transaction(inner) => wire::Request::Txn(inner.into()),
            }),
        }
    }
}

impl From<Compare> for wire::Compare {
    fn from(compare: Compare) -> Self {
        let (key, range_end) = bounds(&compare.keys);
        let (target, union) = match compare.to {
            Operand::Version(number) => (0, wire::Target::Version(number)),
            Operand::Created(revision) => (1, wire::Target::CreateRevision(revision.0)),
            Operand::Modified(revision) => (2, wire::Target::ModRevision(revision.0)),
            Operand::Value(value) => (3, wire::Target::Value(value)),
            Operand::Lease(lease) => (4, wire::Target::Lease(lease_number(lease))),
        };
        wire::Compare {
            result: match compare.relation {
                Relation::Equal => 0,
                Relation::Greater => 1,
                Relation::Less => 2,
                Relation::NotEqual => 3,
            },
            target,
            key,
            union: Some(union),
            range_end,
        }
    }
}

impl From<TransactionAnswer> for wire::TxnResponse {
    fn from(answer: TransactionAnswer) -> Self {
        wire::TxnResponse {
            header: None,
            succeeded: answer.succeeded,
            responses: answer.answers.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Answer> for wire::ResponseOp {
    fn from(answer: Answer) -> Self {
        // The answers within a transaction have headers with nothing but the revision.
        let header = |revision: Revision| {
            Some(wire::Header {
                revision: revision.0,
                ..wire::Header::default()
            })
        };
        let response = match answer {
            Answer::Query(page) => wire::Response::Range(wire::RangeResponse {
                header: header(page.revision),
                ..page.into()
            }),
            Answer::Put(put) => wire::Response::Put(wire::PutResponse {
                header: header(put.revision),
                ..put.into()
            }),
            Answer::Delete(delete) => wire::Response::DeleteRange(wire::DeleteRangeResponse {
                header: header(delete.revision),
                ..delete.into()
            }),
            Answer::Transaction(inner) => wire::Response::Txn(wire::TxnResponse {
                header: header(inner.revision),
                ..inner.into()
            }),
        };
        wire::ResponseOp {
            response: Some(response),
        }
    }
}

impl From<wire::TxnResponse> for TransactionAnswer {
    fn from(response: wire::TxnResponse) -> Self {
        let answers = response.responses.into_iter().filter_map(|operation| {
            Some(match operation.response? {
                wire::Response::Range(range) => Answer::Query(range.into()),
                wire::Response::Put(put) => Answer::Put(put.into()),
                wire::Response::DeleteRange(delete) => Answer::Delete(delete.into()),
                wire::Response::Txn(inner) => Answer::Transaction(inner.into()),
            })
        });
        TransactionAnswer {
            revision: revision(response.header.as_ref()),
            succeeded: response.succeeded,
            answers: answers.collect(),
        }
    }
}
