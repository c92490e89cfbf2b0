//! Connected sockets of a network namespace, and their end by force: the kernel's sock_diag.
//!
//! A socket that is ended tells its user of it at once (`ECONNABORTED`), as if the peer had.

use crate::{
    Error, Result,
    netlink::{
        Task,
        family::{V4, V6},
        message::{Message, Request, u32_at},
        socket::Socket,
    },
    netns::Netns,
};
use rustix::net::netlink;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `SOCK_DIAG_BY_FAMILY` and `SOCK_DESTROY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
/// `struct inet_diag_sockid`, and where it stands in `struct inet_diag_msg`.
const ID: usize = 48;
const ID_AT: usize = 4;
/// Of `net/tcp_states.h`: established, SYN sent, both FIN waits, close wait, last ACK, closing. Connected UDP is established.
const STATES: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

/// A socket that has a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Of the socket, not of its addresses.
    family: u8,
    /// As IP has it.
    pub protocol: u8,
    pub peer: IpAddr,
    pub peer_port: u16,
    /// As programs of the kernel are told it.
    pub cookie: u64,
    id: [u8; ID],
}

/// The sockets of one network namespace.
#[derive(Debug)]
pub struct Sockets {
    socket: Socket,
}

impl Sockets {
    /// Those of the calling thread's namespace.
    pub fn open() -> Result<Sockets> {
        let socket = Socket::open(Some(netlink::SOCK_DIAG))
            .map_err(|error| Error::system("open", "socket for sock_diag", error))?;
        Ok(Sockets { socket })
    }

    pub fn open_in(netns: &Netns) -> Result<Sockets> {
        netns.run(Sockets::open)?
    }

    /// All connected sockets of a protocol, in both families.
    pub fn connected(&mut self, protocol: u8) -> Result<Vec<Connected>> {
        let mut found = Vec::new();
        for family in [V4, V6] {
            let request = || {
                let mut head = vec![family, protocol, 0, 0];
                head.extend(STATES.to_ne_bytes());
                head.extend([0; ID]);
                Request::new(BY_FAMILY, libc::NLM_F_DUMP, &head)
            };
            let listed = self.socket.dump(request, |message| read(message, protocol));
            let task = Task {
                operation: "list",
                subject: &"connected sockets",
            };
            found.extend(listed.map_err(|refusal| refusal.of(task))?);
        }
        Ok(found)
    }

    /// Ends it. False if it has ended by itself.
    pub fn destroy(&mut self, socket: &Connected) -> Result<bool> {
        let mut head = vec![socket.family, socket.protocol, 0, 0];
        head.extend(STATES.to_ne_bytes());
        head.extend(socket.id);
        let request = Request::new(DESTROY, libc::NLM_F_ACK, &head);
        match self.socket.converse(vec![request], |_| {}) {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.source.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(refusal) => Err(refusal.of(Task {
                operation: "end",
                subject: &"socket",
            })),
        }
    }
}

fn read(message: Message<'_>, protocol: u8) -> Option<Connected> {
    let bytes = message.payload;
    let id: [u8; ID] = bytes.get(ID_AT..ID_AT + ID)?.try_into().ok()?;
    let family = *bytes.first()?;
    let peer = match family {
        V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&id[20..24]).ok()?)),
        // A socket of IPv6 may have a peer of IPv4.
        V6 => Ipv6Addr::from(<[u8; 16]>::try_from(&id[20..36]).ok()?).to_canonical(),
        _ => return None,
    };
    let word = |at: usize| u32_at(&id, at).map(u64::from);
    Some(Connected {
        family,
        protocol,
        peer,
        peer_port: u16::from_be_bytes([id[2], id[3]]),
        cookie: word(40)? | word(44)? << 32,
        id,
    })
}

#[cfg(test)]
mod tests;
