//! Neighbours: which Ethernet address an IP address has on a link.

use crate::{
    Result,
    netlink::{
        Netlink, Task, family,
        message::{Message, Request, u16_at, u32_at},
    },
};
use std::net::IpAddr;

/// An entry of the kernel's neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub ifindex: u32,
    pub address: IpAddr,
    /// Absent while unresolved.
    pub mac: Option<[u8; 6]>,
    /// `NUD_*` bits.
    pub state: u16,
    /// Kept resolved by the kernel.
    pub managed: bool,
}

/// Size of `struct ndmsg`.
const HEAD: usize = 12;
/// From `linux/neighbour.h`.
const NDA_FLAGS_EXT: u16 = 15;
const NTF_EXT_MANAGED: u32 = 1;

const REPLACE: i32 = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

impl Neighbour {
    /// Whether its Ethernet address may be used now, even if the kernel would like to confirm it.
    pub fn is_valid(&self) -> bool {
        const VALID: u16 = libc::NUD_PERMANENT
            | libc::NUD_NOARP
            | libc::NUD_REACHABLE
            | libc::NUD_PROBE
            | libc::NUD_STALE
            | libc::NUD_DELAY;
        self.mac.is_some() && self.state & VALID != 0
    }
}

impl Netlink {
    /// The neighbours on a link, IPv4 and IPv6.
    pub fn neighbours(&self, ifindex: u32) -> Result<Vec<Neighbour>> {
        let request = || {
            let mut request = Request::new(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, &[0; HEAD]);
            request.u32(libc::NDA_IFINDEX, ifindex);
            request
        };
        let read =
            |message: Message<'_>| parse(message).filter(|neighbour| neighbour.ifindex == ifindex);
        self.list(
            Task {
                operation: "list",
                subject: &format_args!("neighbours on link {ifindex}"),
            },
            request,
            read,
        )
    }

    /// Says for good which Ethernet address an IP address has.
    pub fn set_neighbour_permanent(
        &self,
        ifindex: u32,
        address: IpAddr,
        mac: [u8; 6],
    ) -> Result<()> {
        let mut request = request(
            libc::RTM_NEWNEIGH,
            REPLACE,
            ifindex,
            address,
            libc::NUD_PERMANENT,
        );
        request.attribute(libc::NDA_LLADDR, &mac);
        self.change(
            Task {
                operation: "set",
                subject: &format_args!("neighbour {address} on link {ifindex}"),
            },
            request,
        )
    }

    /// Has the kernel resolve an address now and keep it resolved, without any traffic to it.
    pub fn manage_neighbour(&self, ifindex: u32, address: IpAddr) -> Result<()> {
        let mut request = request(
            libc::RTM_NEWNEIGH,
            REPLACE,
            ifindex,
            address,
            libc::NUD_NONE,
        );
        request.u32(NDA_FLAGS_EXT, NTF_EXT_MANAGED);
        let task = Task {
            operation: "manage",
            subject: &format_args!("neighbour {address} on link {ifindex}"),
        };
        self.change(task, request)
    }

    /// Forgets a neighbour, managed or not. No such neighbour is fine.
    pub fn delete_neighbour(&self, ifindex: u32, address: IpAddr) -> Result<()> {
        let request = request(
            libc::RTM_DELNEIGH,
            libc::NLM_F_ACK,
            ifindex,
            address,
            libc::NUD_NONE,
        );
        let task = Task {
            operation: "delete",
            subject: &format_args!("neighbour {address} on link {ifindex}"),
        };
        match self.change(task, request) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }
}

fn request(kind: u16, flags: i32, ifindex: u32, address: IpAddr, state: u16) -> Request {
    let mut head = [0; HEAD];
    head[0] = family::of(address);
    head[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    head[8..10].copy_from_slice(&state.to_ne_bytes());
    let mut request = Request::new(kind, flags, &head);
    request.attribute(libc::NDA_DST, &family::octets(address));
    request
}

fn parse(message: Message<'_>) -> Option<Neighbour> {
    let head = message.payload.get(..HEAD)?;
    if message.kind != libc::RTM_NEWNEIGH || ![family::V4, family::V6].contains(&head[0]) {
        return None;
    }
    let (mut address, mut mac, mut managed) = (None, None, false);
    for (kind, value) in message.attributes(HEAD) {
        match kind {
            libc::NDA_DST => address = family::address(value),
            libc::NDA_LLADDR => mac = value.try_into().ok(),
            NDA_FLAGS_EXT => managed = u32_at(value, 0)? & NTF_EXT_MANAGED != 0,
            _ => {}
        }
    }
    Some(Neighbour {
        ifindex: u32_at(head, 4)?,
        address: address?,
        mac,
        state: u16_at(head, 8)?,
        managed,
    })
}

#[cfg(test)]
mod tests;
