//! Identities that mean the same in every cluster.

pub const HOST: u32 = 1;
pub const WORLD: u32 = 2;
pub const REMOTE_NODE: u32 = 6;
pub const RESERVED_MAX: u32 = 255;
