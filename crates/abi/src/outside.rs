//! Key and value of the map that connections from outside are translated by.

use crate::{Addr, Side};

/// The agent asks for another size when the map is made.
pub const TRANSLATIONS_MAX: u32 = 1 << 17;

/// Source ports that connections to backends on other nodes borrow: below NodePorts and what the kernel gives its own sockets.
pub const LENT_PORTS_FIRST: u32 = 1024;
pub const LENT_PORTS: u32 = 30_000 - LENT_PORTS_FIRST;

/// Key of `TRANSLATIONS`: both ends of a packet as it comes in.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ends {
    pub source: Addr,
    pub destination: Addr,
    /// In network order.
    pub source_port: u16,
    pub destination_port: u16,
    pub protocol: u8,
    pub _pad: [u8; 3],
}

impl Ends {
    /// Those of an answer.
    #[inline(always)]
    pub const fn turned(&self) -> Ends {
        Ends {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
            _pad: [0; 3],
        }
    }
}

/// Value of `TRANSLATIONS`. There are two of each connection, and one's key is the other's `ends` turned round.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Translation {
    /// What the packet's become.
    pub ends: Ends,
    /// Who asked.
    pub client: Side,
    pub pool: u32,
    pub backend: u32,
    /// As in [`crate::Flow`].
    pub last: u32,
    pub lifetime: u32,
    /// See [`crate::flow_state`], where the client is the lower end.
    pub state: u8,
    /// See [`translation`].
    pub flags: u8,
    pub _pad: [u8; 6],
}

/// Bits of [`Translation::flags`].
pub mod translation {
    /// Of answers.
    pub const BACK: u8 = 1;
    /// The backend sees one of the node's addresses.
    pub const LENT: u8 = 2;
}

const _: () = {
    assert!(size_of::<Ends>() == 40 && align_of::<Ends>() == 8);
    assert!(size_of::<Translation>() == 80);
};

#[cfg(feature = "user")]
mod user {
    use super::*;

    pod!(Ends, Translation);
}
