//! Packets through the kernel's test-run call.

mod bench;
mod conntrack;
mod invalidation;
mod node;
mod packets;
mod paths;
mod policy;
mod random;
mod run;
mod shapes;
