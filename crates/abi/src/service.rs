//! Keys and values of the maps that services are found by.
//!
//! ```text
//!  FRONTENDS ──► pool ──► POOLS: how many ──► SLOTS: which backend ──► BACKENDS: where it is
//! ```
//! The slots of a pool have no gaps, so one that is chosen blindly among as many as there are is always there.

use crate::Addr;

pub const FRONTENDS_MAX: u32 = 1 << 16;
pub const POOLS_MAX: u32 = 1 << 16;
pub const BACKENDS_MAX: u32 = 1 << 18;
/// Sockets whose translated peers are remembered; the one used longest ago is forgotten.
pub const SOCKETS_MAX: u32 = 1 << 16;
/// As above, of clients of services that remember them.
pub const CLIENTS_MAX: u32 = 1 << 16;

/// Key of `FRONTENDS`: where clients think that a service is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrontendKey {
    pub addr: Addr,
    /// In network order.
    pub port: u16,
    pub protocol: u8,
    pub _pad: [u8; 5],
}

/// Value of `FRONTENDS`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrontendEntry {
    pub pool: u32,
    /// Lowest bit: the pool is named after this frontend. The others: for how many seconds after its last connection a client is
    /// led to the same backend, 0 for not at all.
    pub terms: u32,
}

impl FrontendEntry {
    pub const fn new(pool: u32, names_pool: bool, affinity_s: u32) -> FrontendEntry {
        FrontendEntry {
            pool,
            terms: names_pool as u32 | affinity_s << 1,
        }
    }

    pub const fn names_pool(&self) -> bool {
        self.terms & 1 == 1
    }

    #[inline(always)]
    pub const fn affinity_s(&self) -> u32 {
        self.terms >> 1
    }
}

/// Value of `POOLS`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolEntry {
    /// How many slots there are.
    pub slots: u32,
    /// The greatest weight among them.
    pub weight_max: u32,
}

/// Key of `SLOTS`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlotKey {
    pub pool: u32,
    pub index: u32,
}

/// Value of `SLOTS`: a backend that takes new connections.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlotEntry {
    pub backend: u32,
    pub weight: u32,
}

/// Value of `BACKENDS`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackendEntry {
    pub addr: Addr,
    pub pool: u32,
    /// In network order.
    pub port: u16,
    /// Whose it is.
    pub cluster: u16,
    /// 0 when it keeps what it has and takes nothing new.
    pub weight: u16,
    pub _pad: [u16; 3],
}

/// Key of `CLIENTS`: who is led to the same backend again.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClientKey {
    /// Cookie of the network namespace: a pod's, or the node's own.
    pub netns: u64,
    pub pool: u32,
    pub _pad: u32,
}

/// Value of `CLIENTS`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClientEntry {
    pub backend: u32,
    /// When it connected last, in seconds since the kernel's start.
    pub seen_s: u32,
}

/// Key of `SOCKET_FRONTENDS`, where `addr` and `port` are the backend's, and of `SOCKET_BACKENDS`, where they are the
/// frontend's.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketKey {
    pub cookie: u64,
    pub addr: Addr,
    /// In network order.
    pub port: u16,
    pub protocol: u8,
    pub _pad: [u8; 5],
}

/// Value of `SOCKET_FRONTENDS`: what the socket's user takes for its peer.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketFrontend {
    pub addr: Addr,
    /// In network order.
    pub port: u16,
    pub _pad: [u16; 3],
}

const _: () = {
    assert!(size_of::<FrontendKey>() == 24);
    assert!(size_of::<FrontendEntry>() == 8);
    assert!(size_of::<PoolEntry>() == 8);
    assert!(size_of::<SlotKey>() == 8);
    assert!(size_of::<SlotEntry>() == 8);
    assert!(size_of::<BackendEntry>() == 32);
    assert!(size_of::<ClientKey>() == 16);
    assert!(size_of::<ClientEntry>() == 8);
    assert!(size_of::<SocketKey>() == 32);
    assert!(size_of::<SocketFrontend>() == 24);
};

#[cfg(feature = "user")]
mod user {
    use super::*;

    pod!(
        FrontendKey,
        FrontendEntry,
        PoolEntry,
        SlotKey,
        SlotEntry,
        BackendEntry,
        ClientKey,
        ClientEntry,
        SocketKey,
        SocketFrontend
    );
}
