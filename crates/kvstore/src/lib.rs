//! The store of a mesh: keys and values with revisions, watches and leases, in memory or in etcd.
//!
//! Deliberately blind to what keys and values mean.

mod access;
mod error;
pub mod etcd;
mod follow;
mod key;
pub mod memory;
pub mod mvcc;
mod record;
pub mod server;
mod store;
mod tls;
mod wire;

#[cfg(test)]
mod random;

pub use access::{Access, Right, Role};
pub use error::{Error, Result};
pub use etcd::{Etcd, EtcdConfig};
pub use follow::{Batch, Follow, PAUSE_MIN};
pub use key::Keys;
pub use memory::Memory;
pub use mvcc::{Limits, WatchSpec};
pub use record::*;
pub use server::{Server, serve};
pub use store::{PageEnd, Store, Watch};
pub use tls::{Proof, TlsFiles, Voucher, Vouchers};
