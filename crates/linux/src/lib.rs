//! Safe hands on the host: namespaces, links, addresses, routes, neighbours, sockets, sysctls, mounts, cgroups, processes.
//!
//! Every call is a short system call or a few of them. The crate knows no policy, keeps no state of its own beyond
//! open file descriptors, and uses no async runtime.

#![allow(unsafe_code)]

pub mod address;
pub mod bpf;
pub mod cgroup;
mod error;
pub mod icmp;
pub mod link;
pub mod lock;
pub mod masquerade;
pub mod mount;
pub mod neighbour;
pub mod netlink;
pub mod netns;
pub mod privilege;
pub mod process;
pub mod route;
pub mod sockets;
pub mod sysctl;
pub mod tap;
pub mod tcp;
#[cfg(test)]
mod testing;
pub mod udp;
pub mod watch;

pub use error::{Error, Result};
