//! What can go wrong with a store, whichever it is.

use std::{io, path::PathBuf, time::Duration};

use crate::record::{LeaseId, Revision};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no key is given")]
    EmptyKey,
    #[error("the key to be kept as it is does not exist")]
    KeyNotFound,
    #[error("a value is given although the present one is to be kept")]
    ValueGiven,
    #[error("a lease is given although the present one is to be kept")]
    LeaseGiven,
    #[error("the transaction writes one key twice")]
    DuplicateKey,
    #[error("the transaction has more than {max} operations")]
    TooManyOperations { max: usize },
    #[error("the request is larger than {max} bytes")]
    TooLarge { max: usize },
    #[error("an order or filter is not known")]
    InvalidOrder,
    #[error("what was there at this revision has been compacted, the oldest known is {oldest}")]
    Compacted { oldest: Revision },
    #[error("this revision is yet to come, the present one is {present}")]
    FutureRevision { present: Revision },
    #[error("the store is full: make its limit greater, or delete what is not needed")]
    NoSpace,
    #[error("too many requests, leases or watches at once")]
    TooMany,
    #[error("lease {lease:x} is not there, it may have expired")]
    LeaseNotFound { lease: LeaseId },
    #[error("lease {lease:x} is there already")]
    LeaseExists { lease: LeaseId },
    #[error("a lease of {} s is too long", ttl.as_secs())]
    LeaseTooLong { ttl: Duration },
    #[error("permission denied: give the user of this certificate a role that covers the keys")]
    Denied,
    #[error("{}: {hint}", path.display())]
    Certificate {
        path: PathBuf,
        hint: &'static str,
        #[source]
        source: Option<io::Error>,
    },
    #[error("no TLS with these certificates: {problem}")]
    Tls { problem: String },
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("endpoint `{endpoint}`: {problem}")]
    Endpoint {
        endpoint: String,
        problem: &'static str,
    },
    #[error("cannot reach {endpoint}: {problem}")]
    Connect { endpoint: String, problem: String },
    #[error("no TLS with {endpoint}: {problem}")]
    Handshake {
        endpoint: String,
        problem: String,
        hint: &'static str,
    },
    #[error("what answers at {endpoint} does not speak etcd's protocol: {problem}")]
    NotEtcd { endpoint: String, problem: String },
    #[error("the connection with {endpoint} broke: {problem}")]
    Broken { endpoint: String, problem: String },
    #[error("{operation}: no answer within {} s", after.as_secs())]
    Timeout {
        operation: &'static str,
        after: Duration,
    },
    #[error("{operation}: another etcd cluster answers, {found:x} instead of {expected:x}")]
    ClusterChanged {
        operation: &'static str,
        expected: u64,
        found: u64,
    },
    #[error("{operation}: {message}")]
    Answer {
        operation: &'static str,
        message: String,
        /// Whether the same may succeed later.
        temporary: bool,
    },
    #[error("the store has ended")]
    Ended,
}

impl Error {
    /// What to do about it, where that is not in the sentence already.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Handshake { hint, .. } => hint,
            Error::Denied => {
                "at that cluster, `tombolo certificates list` shows who may read; a certificate is of one cluster only"
            }
            Error::Connect { .. } => {
                "see that the address in its file is right, its store runs, and the port may be reached from here"
            }
            Error::NotEtcd { .. } => {
                "see that address and port in its file are those of the store, and that they begin with https:// where it has certificates"
            }
            Error::Broken { .. } => {
                "see that its store runs; where it has certificates, its endpoint begins with https://"
            }
            Error::Timeout { .. } => "see whether its store is overloaded or the way to it cut",
            Error::Certificate { .. } | Error::Tls { .. } => {
                "put certificate and key in PEM where the file says; they are read anew at the next try"
            }
            _ => "",
        }
    }

    /// Whether a list must be read again before its changes can be followed further.
    pub fn wants_relist(&self) -> bool {
        matches!(
            self,
            Error::Compacted { .. } | Error::FutureRevision { .. } | Error::ClusterChanged { .. }
        )
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
