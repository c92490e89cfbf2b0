//! Loads the kernel programs, owns their maps, applies changes, decodes events.
//!
//! Decides nothing: what the kernel should hold is told by [`tombolo_model::change::Change`]. Everything it makes is pinned, so that
//! packets go on while no agent runs; opening it again finds it all and replaces programs one by one, each at one instant.
#![allow(unsafe_code)]

mod bpf;
mod datapath;
mod error;
mod events;
mod host;
mod links;
mod maps;
mod paths;
mod probe;
mod programs;
mod sockets;

pub use datapath::{Config, Counters, Datapath, Recovered, remove};
pub use error::Error;
pub use events::Events;
pub use maps::{AddressTable, NameSockets};
pub use paths::WatchHandle;
pub use probe::probe;
pub use sockets::{Dead, LedSockets, end};

#[cfg(test)]
mod tests;
