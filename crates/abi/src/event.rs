//! What the programs tell through the ring buffer.

use crate::Addr;

/// Kinds of [`Event`].
pub mod event_kind {
    /// A connection was judged and allowed.
    pub const ALLOWED: u8 = 1;
    /// A packet was dropped.
    pub const DROPPED: u8 = 2;
}

/// Bits of the map `MONITOR`: which kinds are told.
pub mod monitor {
    pub const ALLOWED: u32 = 1;
    pub const DROPPED: u32 = 2;
}

/// Where the program that saw a packet stands.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeenAt {
    /// Leaving a pod.
    Pod = 0,
    /// Leaving the node's own stack towards pods.
    Host = 1,
    /// Coming in from the underlay.
    Uplink = 2,
    /// Coming out of the kernel's VXLAN device.
    Overlay = 3,
}

impl SeenAt {
    pub const fn name(self) -> &'static str {
        match self {
            SeenAt::Pod => "pod",
            SeenAt::Host => "host",
            SeenAt::Uplink => "uplink",
            SeenAt::Overlay => "overlay",
        }
    }

    pub const fn from_number(number: u8) -> Option<SeenAt> {
        Some(match number {
            0 => SeenAt::Pod,
            1 => SeenAt::Host,
            2 => SeenAt::Uplink,
            3 => SeenAt::Overlay,
            _ => return None,
        })
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The kernel's monotonic clock.
    pub time_ns: u64,
    pub source: Addr,
    pub destination: Addr,
    pub source_identity: u32,
    pub destination_identity: u32,
    pub bytes: u32,
    pub ifindex: u32,
    /// In network order.
    pub source_port: u16,
    /// In network order.
    pub destination_port: u16,
    /// 0 when not a local pod.
    pub source_endpoint: u16,
    /// 0 when not a local pod.
    pub destination_endpoint: u16,
    pub ethertype: u16,
    pub protocol: u8,
    pub kind: u8,
    /// A [`crate::Drop`], or 0.
    pub reason: u8,
    /// A [`SeenAt`].
    pub seen_at: u8,
    pub _pad: [u8; 2],
}

const _: () = assert!(size_of::<Event>() == 72 && align_of::<Event>() == 8);
