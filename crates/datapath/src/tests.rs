//! Packets through the kernel's test-run call.

mod bench;
mod node;
mod packets;
mod paths;
