//! What clusters write for each other into the mesh's store: keys and values in Cilium's wire format, both ways.
//!
//! Bytes in, typed records out, and back. Deliberately without connections, order of events or merging of clusters.
//! Fields that are not known are passed over; whatever can't be understood or believed is refused with its reason.

mod error;
mod key;
mod time;

pub use key::{
    AddressName, Key, KeyError, Name, Namespaced, RecordKey, Resource, Tree, mirror_key,
};
pub use time::Timestamp;

#[cfg(test)]
mod tests;
