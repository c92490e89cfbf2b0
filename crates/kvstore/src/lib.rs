//! The store of a mesh: keys and values with revisions, watches and leases, in memory or in etcd.
//!
//! Deliberately blind to what keys and values mean.

mod error;
mod key;
pub mod memory;
pub mod mvcc;
mod record;
mod store;

#[cfg(test)]
mod random;

pub use error::{Error, Result};
pub use key::Keys;
pub use memory::Memory;
pub use mvcc::{Limits, WatchSpec};
pub use record::*;
pub use store::{PageEnd, Store, Watch};
