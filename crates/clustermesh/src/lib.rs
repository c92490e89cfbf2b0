//! What clusters tell each other: reading peers, writing what is our own, copying peers into our own store.
//!
//! All decisions are values without clock, I/O and tasks: answers and the time go in, requests and what was learnt come
//! out. `drive` lets them meet a store. Deliberately without Kubernetes, files and the meaning that facts have for a node.

mod backoff;
pub mod config;
pub mod drive;
pub mod export;
mod follow;
mod ids;
pub mod kvstoremesh;
mod random;
pub mod reader;
pub mod remote;
mod request;
mod scope;
pub mod writer;

pub use ids::Ids;
pub use random::Random;
pub use request::{Answer, Ask, Request, Ticket};
pub use scope::Scope;

#[cfg(test)]
mod testing;
