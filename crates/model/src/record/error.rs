//! Why a record is refused, in words for whoever operates the cluster that reads it.

use super::Resource;
use crate::id::{ClusterId, Identity};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("its value has {len} bytes, more than the {max} that a record of this kind may have")]
    TooLong { len: usize, max: usize },
    #[error("its value can't be read: {reason}")]
    Malformed { reason: String },
    #[error("it has more than {max} {what}")]
    TooMany { what: &'static str, max: usize },
    #[error("its {field} is missing")]
    Missing { field: &'static str },
    #[error(
        "it says that it is of cluster `{found}`, but it stands where cluster `{expected}` writes: does the peer run under the name that it is configured with here?"
    )]
    ClusterName { found: String, expected: String },
    #[error(
        "it says that its cluster's number is {found}, but cluster `{cluster}` told that it is {expected}"
    )]
    ClusterId {
        found: u32,
        cluster: String,
        expected: ClusterId,
    },
    #[error("its key says `{key}`, its value `{value}`")]
    KeyDisagrees { key: String, value: String },
    #[error(
        "its identity {identity} is not one of cluster `{cluster}`, whose identities are {} to {}: is --max-connected-clusters the same in both clusters?", first.0, last.0
    )]
    IdentityOutOfRange {
        identity: u32,
        cluster: String,
        first: Identity,
        last: Identity,
    },
    #[error("its address {address} is not {family}, which it says that all of them are")]
    AddressFamily {
        address: String,
        family: &'static str,
    },
}

impl RecordError {
    /// The word for counters.
    pub fn label(&self) -> &'static str {
        match self {
            RecordError::TooLong { .. } => "too-long",
            RecordError::Malformed { .. } => "malformed",
            RecordError::TooMany { .. } => "too-many",
            RecordError::Missing { .. } => "missing",
            RecordError::ClusterName { .. } => "cluster-name",
            RecordError::ClusterId { .. } => "cluster-id",
            RecordError::KeyDisagrees { .. } => "key-disagrees",
            RecordError::IdentityOutOfRange { .. } => "identity-out-of-range",
            RecordError::AddressFamily { .. } => "address-family",
        }
    }

    pub(super) fn malformed(reason: impl ToString) -> RecordError {
        RecordError::Malformed {
            reason: shorten(&reason.to_string()),
        }
    }
}

impl Resource {
    /// Longer values are not read; what Kubernetes lets objects be is well below.
    pub fn value_len_max(self) -> usize {
        match self {
            Resource::Addresses | Resource::Identities => 64 << 10,
            Resource::Nodes => 512 << 10,
            // etcd's own limit for a request.
            Resource::Services | Resource::EndpointSlices | Resource::ServiceExports => 1536 << 10,
        }
    }
}

/// What others wrote, made fit for one line of a status: neither long nor able to steer a terminal.
pub(super) fn shorten(text: &str) -> String {
    const LEN_MAX: usize = 120;
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(LEN_MAX).map(plain).collect();
    if text.chars().nth(LEN_MAX).is_some() {
        short.push('…');
    }
    short
}
