//! Errors as etcd words them: clients know them by these words.

use tonic::{Code, Status};

use crate::{
    error::Error,
    record::{LeaseId, Revision},
};

const EMPTY_KEY: &str = "etcdserver: key is not provided";
const KEY_NOT_FOUND: &str = "etcdserver: key not found";
const VALUE_GIVEN: &str = "etcdserver: value is provided";
const LEASE_GIVEN: &str = "etcdserver: lease is provided";
const TOO_MANY_OPERATIONS: &str = "etcdserver: too many operations in txn request";
const DUPLICATE_KEY: &str = "etcdserver: duplicate key given in txn request";
const INVALID_ORDER: &str = "etcdserver: invalid sort option";
pub const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE_REVISION: &str = "etcdserver: mvcc: required revision is a future revision";
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
const LEASE_NOT_FOUND: &str = "etcdserver: requested lease not found";
const LEASE_EXISTS: &str = "etcdserver: lease already exists";
const LEASE_TOO_LONG: &str = "etcdserver: too large lease TTL";
const TOO_LARGE: &str = "etcdserver: request is too large";
const TOO_MANY: &str = "etcdserver: too many requests";
pub const DENIED: &str = "etcdserver: permission denied";

pub fn from_error(error: &Error) -> Status {
    let (code, message) = match error {
        Error::EmptyKey => (Code::InvalidArgument, EMPTY_KEY),
        Error::KeyNotFound => (Code::InvalidArgument, KEY_NOT_FOUND),
        Error::ValueGiven => (Code::InvalidArgument, VALUE_GIVEN),
        Error::LeaseGiven => (Code::InvalidArgument, LEASE_GIVEN),
        Error::TooManyOperations { .. } => (Code::InvalidArgument, TOO_MANY_OPERATIONS),
        Error::DuplicateKey => (Code::InvalidArgument, DUPLICATE_KEY),
        Error::InvalidOrder => (Code::InvalidArgument, INVALID_ORDER),
        Error::TooLarge { .. } => (Code::InvalidArgument, TOO_LARGE),
        Error::Compacted { .. } => (Code::OutOfRange, COMPACTED),
        Error::FutureRevision { .. } => (Code::OutOfRange, FUTURE_REVISION),
        Error::NoSpace => (Code::ResourceExhausted, NO_SPACE),
        Error::TooMany => (Code::ResourceExhausted, TOO_MANY),
        Error::LeaseNotFound { .. } => (Code::NotFound, LEASE_NOT_FOUND),
        Error::LeaseExists { .. } => (Code::FailedPrecondition, LEASE_EXISTS),
        Error::LeaseTooLong { .. } => (Code::OutOfRange, LEASE_TOO_LONG),
        Error::Denied => (Code::PermissionDenied, DENIED),
        other => return Status::internal(other.to_string()),
    };
    Status::new(code, message)
}

/// The other way round. Numbers that the words do not carry are 0.
pub fn into_error(operation: &'static str, status: &Status) -> Error {
    let nothing = Revision::default();
    let lease = LeaseId(0);
    match status.message() {
        EMPTY_KEY => Error::EmptyKey,
        KEY_NOT_FOUND => Error::KeyNotFound,
        VALUE_GIVEN => Error::ValueGiven,
        LEASE_GIVEN => Error::LeaseGiven,
        TOO_MANY_OPERATIONS => Error::TooManyOperations { max: 0 },
        DUPLICATE_KEY => Error::DuplicateKey,
        INVALID_ORDER => Error::InvalidOrder,
        TOO_LARGE => Error::TooLarge { max: 0 },
        COMPACTED => Error::Compacted { oldest: nothing },
        FUTURE_REVISION => Error::FutureRevision { present: nothing },
        NO_SPACE => Error::NoSpace,
        TOO_MANY => Error::TooMany,
        LEASE_NOT_FOUND => Error::LeaseNotFound { lease },
        LEASE_EXISTS => Error::LeaseExists { lease },
        LEASE_TOO_LONG => Error::LeaseTooLong {
            ttl: Default::default(),
        },
        DENIED => Error::Denied,
        message => Error::Answer {
            operation,
            message: format!("{}: {message}", status.code()),
            temporary: matches!(
                status.code(),
                Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::Cancelled
                    | Code::Unknown
                    | Code::Internal
                    | Code::Aborted
            ),
        },
    }
}
