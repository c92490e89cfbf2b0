//! Trust between two clusters that share no authority: docs/trust.md says why it is made so.
//!
//! A cluster has a `Secret` and an `Introduction`, and gives both to its peers. From both sides' secrets follow `ProofKey`s;
//! a certificate by which a cluster reads a peer carries a proof made with them, and is of that cluster's own authority.

mod error;
mod introduction;
mod meeting;
mod mistake;
mod pair;
mod secret;
#[cfg(test)]
mod tests;
mod voucher;

pub use error::TrustError;
pub use introduction::{Introduction, split_endpoint};
pub use meeting::{ClientPair, Data, Own, Peer, meet, refuse_same_ids};
pub use mistake::{Mistake, Scene, SecretName};
pub use pair::{ProofKey, Side};
pub use secret::Secret;
pub use voucher::{VoucherFile, read_vouchers};

/// The keys of the Secret that a cluster gives to its peers.
pub const ID_KEY: &str = "cluster.id";
pub const SECRET_KEY: &str = "cluster.secret";
/// Beside them, where the cluster has a real etcd: what its authority has issued to this very peer.
pub const CLIENT_CERTIFICATE: &str = "client.crt";
pub const CLIENT_KEY: &str = "client.key";
/// What `SECRET_KEY` held before, for as long as peers may still have it.
pub const OLD_SECRET_KEY: &str = "cluster.secret.old";
