//! The nouns of a mesh and every decision about them.
//!
//! Deliberately without I/O, clock, async or globals: facts and the time are handed in, changes are handed out.

pub mod change;
pub mod config;
pub mod drive;
pub mod endpoint;
pub mod event;
pub mod fact;
pub mod health;
pub mod id;
mod ipcache;
mod ledger;
pub mod local;
mod mix;
pub mod name;
pub mod net;
mod node;
pub mod policy;
pub mod pool;
pub mod prefix;
pub mod reason;
pub mod record;
pub mod refusal;
pub mod service;
pub mod tables;
pub mod world;

#[cfg(test)]
mod random;

pub use world::World;
