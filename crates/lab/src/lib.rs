//! Whole clusters on one machine: real Kubernetes, or bare nodes and pods, in namespaces that a fabric joins which can be
//! hurt.
//!
//! Starts the real programs and asks them as any user would; knows nothing of the inside of agent and data path.

#![forbid(unsafe_code)]

mod api;
mod ask;
mod binaries;
mod check;
mod command;
mod down;
mod echo;
mod error;
mod fabric;
mod facts;
mod fault;
mod hold;
mod http;
mod image;
mod inside;
mod kubernetes;
mod learn;
mod logs;
mod machine;
mod mesh;
mod objects;
mod plan;
mod pod;
mod process;
mod programs;
mod progress;
mod relay;
mod renumber;
mod site;
mod state;
mod status;
mod tc;
mod up;

pub use command::{Command, run};
pub use error::Error;
