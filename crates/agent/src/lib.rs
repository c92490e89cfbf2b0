//! The agent of a node: one loop around `model::World`, which hears sources and hands changes to the data path.
//!
//! Deliberately without decisions of its own, which are the model's, and without kernel calls outside of the loop's task.

mod api;
mod checks;
mod closer;
mod clusters;
mod dns;
mod facts;
mod health;
mod host;
mod kernel;
mod kubernetes;
mod limit;
mod metrics;
mod monitor;
mod node;
mod options;
mod pages;
mod queue;
mod restore;
mod start;

pub use options::{Options, Underlay};
pub use start::run;
