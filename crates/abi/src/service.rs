//! Keys and values of the maps that services are found by.
//!
//! ```text
//!  FRONTENDS ──► pool ──► POOLS: how many ──► SLOTS: which backend ──► BACKENDS: where it is
//! ```
//! The slots of a pool have no gaps, so one that is chosen blindly among as many as there are is always there.

use crate::Addr;

pub const FRONTENDS_MAX: u32 = 1 << 16;
pub const POOLS_MAX: u32 = 1 << 16;
/// Unless told otherwise.
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
    /// Lowest bit: the pool is named after this frontend. Highest bit: the agent answers here, while it runs. The next two: it
    /// is not for the node's pods, and not for the node itself. The others: for how many seconds after its last connection a
    /// client is led to the same backend, 0 for not at all.
    pub terms: u32,
    /// The pool for what comes from outside, 0 if nothing may; the highest bit as the lowest of `terms`.
    pub outside: u32,
    /// Which of the sets in `SOURCES` has those who may come from outside; 0 if anybody may.
    pub sources: u32,
}

const NAMES_OUTSIDE: u32 = 1 << 31;

impl FrontendEntry {
    pub const fn new(
        pool: u32,
        names_pool: bool,
        agent_answers: bool,
        affinity_s: u32,
    ) -> FrontendEntry {
        FrontendEntry {
            pool,
            terms: names_pool as u32
                | (affinity_s << 1 & !FLAGS & !1)
                | (agent_answers as u32 * AGENT_ANSWERS),
            outside: 0,
            sources: 0,
        }
    }

    /// Open to what comes from outside too.
    pub const fn open(self, pool: u32, names_pool: bool) -> FrontendEntry {
        let outside = pool | (names_pool as u32 * NAMES_OUTSIDE);
        FrontendEntry { outside, ..self }
    }

    /// Not for the node's pods, or not for the node itself.
    pub const fn barred(self, pods: bool, node: bool) -> FrontendEntry {
        let (pods, node) = (pods as u32 * BARS_PODS, node as u32 * BARS_NODE);
        let terms = self.terms | pods | node;
        FrontendEntry { terms, ..self }
    }

    #[inline(always)]
    pub const fn bars_pods(&self) -> bool {
        self.terms & BARS_PODS != 0
    }

    #[inline(always)]
    pub const fn bars_node(&self) -> bool {
        self.terms & BARS_NODE != 0
    }

    #[inline(always)]
    pub const fn outside(&self) -> u32 {
        self.outside & !NAMES_OUTSIDE
    }

    pub const fn names_outside(&self) -> bool {
        self.outside & NAMES_OUTSIDE != 0
    }

    pub const fn names_pool(&self) -> bool {
        self.terms & 1 == 1
    }

    #[inline(always)]
    pub const fn affinity_s(&self) -> u32 {
        (self.terms & !FLAGS) >> 1
    }

    #[inline(always)]
    pub const fn agent_answers(&self) -> bool {
        self.terms & AGENT_ANSWERS != 0
    }
}

const AGENT_ANSWERS: u32 = 1 << 31;
const BARS_PODS: u32 = 1 << 30;
const BARS_NODE: u32 = 1 << 29;
const FLAGS: u32 = AGENT_ANSWERS | BARS_PODS | BARS_NODE;

/// How many sockets of the agent's answer questions for names, and which place of `NAME_SOCKETS` each has.
pub const NAME_SOCKETS_MAX: u32 = 4;

#[inline(always)]
pub const fn name_socket(is_v4: bool, is_tcp: bool) -> u32 {
    is_tcp as u32 | (!is_v4 as u32) << 1
}

/// Ranges of clients, of all services together.
pub const SOURCES_MAX: u32 = 1 << 16;

/// Key of `SOURCES`, behind the prefix length: a set of ranges, and an address in one of them. A look-up asks for
/// [`SOURCE_BITS`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SourceKey {
    pub set: u32,
    pub addr: [u32; 4],
}

/// Bits before the address proper in a [`SourceKey`].
pub const SOURCE_BITS_BEFORE: u32 = 32;
pub const SOURCE_BITS: u32 = SOURCE_BITS_BEFORE + 128;

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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
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
    /// 1 when it does not answer and keeps nothing: a socket that has it is led to another one.
    pub lost: u16,
    pub _pad: [u16; 2],
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
    assert!(size_of::<FrontendEntry>() == 16);
    assert!(size_of::<SourceKey>() == 20);
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
        SourceKey,
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
