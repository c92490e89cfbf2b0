//! The nouns of a mesh and every decision about them.
//!
//! Deliberately without I/O, clock, async or globals: facts and the time are handed in, changes are handed out.

pub mod change;
pub mod event;
pub mod id;
pub mod local;
pub mod net;
pub mod reason;
