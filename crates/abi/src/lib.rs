//! The bytes that the kernel programs and the agent both read: keys and values of maps, events, reasons of drops.
//!
//! Deliberately without decisions: a layout, its sizes asserted at compile time, and the few pure functions that both sides must
//! compute alike. `ABI_VERSION` rises with any change of a layout, so that maps of another version are never taken over.
#![no_std]
#![allow(unsafe_code)]

/// Lets userspace write values of these types into maps, and read them there.
#[cfg(feature = "user")]
macro_rules! pod {
    ($($name:ident),* $(,)?) => {$(
        // SAFETY: `repr(C)`, every padding byte is a named field, and any bits are a valid value.
        unsafe impl aya::Pod for $name {}
    )*};
}

mod addr;
mod drop;
mod event;
mod maglev;
mod map;
mod outside;
mod service;

pub use addr::Addr;
pub use drop::Drop;
pub use event::{Event, SeenAt, event_kind, monitor};
pub use maglev::*;
pub use map::*;
pub use outside::*;
pub use service::*;

/// Part of the folder that maps are pinned in.
pub const ABI_VERSION: u32 = 3;

/// UDP port of VXLAN, as Cilium and the kernel's first drafts use it.
pub const VXLAN_PORT: u16 = 8472;

/// The one Ethernet address of every gateway that pods see and of every device that Tombolo makes on a node.
pub const GATEWAY_MAC: [u8; 6] = [0x02, b'T', b'o', b'm', b'b', b'o'];
