//! What can be wrong with a single thing that trust rests on.

use super::{introduction::LEN_MAX, secret};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("cluster.secret has {len} bytes and must have {}{hint}", secret::LEN)]
    SecretLength { len: usize, hint: &'static str },
    #[error("cluster.secret is all the same byte, which is no secret")]
    SecretWeak,
    #[error("cluster.id has {len} bytes, more than {LEN_MAX}")]
    TooLong { len: usize },
    #[error("cluster.id is not the JSON that is expected: {problem}")]
    Malformed { problem: String },
    #[error(
        "cluster.id has version {version}, of which this Tombolo knows nothing: upgrade it first"
    )]
    Version { version: u64 },
    #[error("cluster.id: {field}: {problem}")]
    Field {
        field: &'static str,
        problem: String,
    },
    #[error(
        "cluster.id does not belong to cluster.secret: take both from the same cluster at the same time"
    )]
    Seal,
    #[error("{file} is damaged: {problem}")]
    Voucher { file: String, problem: String },
}
