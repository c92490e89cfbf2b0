//! The agent of a node: one loop around `model::World`, which hears sources and hands changes to the data path.
//!
//! Deliberately without decisions of its own, which are the model's, and without kernel calls outside of the loop's task.

mod api;
mod facts;
mod folder;
mod host;
mod http;
mod kernel;
mod log;
mod metrics;
mod monitor;
mod node;
mod options;
mod queue;
mod restore;
mod start;
mod supervise;

pub use options::{LogFormat, Options, Underlay};
pub use start::run;
