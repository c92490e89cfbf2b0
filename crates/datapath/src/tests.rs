//! Packets through the kernel's test-run call.

mod bench;
mod conntrack;
mod node;
mod packets;
mod paths;
mod run;
mod shapes;
