//! Tells that something changed in a network namespace: neighbours, links, or routes and addresses.
//!
//! Tells no details: whoever asks reads the tables, which are right whatever notices were lost.

use crate::{
    Error, Result,
    netlink::{ROUTE, message::Messages, socket::Socket},
    netns::Netns,
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

/// A socket that becomes readable with each change and never blocks.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    buffer: Vec<u8>,
}

/// What changed since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub neighbours: bool,
    pub links: bool,
    /// Routes, or addresses, which decide over routes too.
    pub routes: bool,
}

const GROUPS: [u32; 6] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_NEIGH,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV6_ROUTE,
];
const BUFFER: usize = 64 << 10;

impl Watch {
    /// Watches the calling thread's network namespace from now on.
    pub fn open() -> Result<Watch> {
        let groups = GROUPS
            .iter()
            .fold(0, |groups, group| groups | 1 << (group - 1));
        let socket = Socket::listen(ROUTE, groups)
            .map_err(|error| Error::system("watch", "network namespace", error))?;
        Ok(Watch {
            socket,
            buffer: vec![0; BUFFER],
        })
    }

    /// Watches another network namespace from now on.
    pub fn open_in(netns: &Netns) -> Result<Watch> {
        netns.run(Watch::open)?
    }

    /// Takes all notices there are and says what they were about; nothing if there are none.
    pub fn drain(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        loop {
            match self.socket.receive(&mut self.buffer) {
                Ok(read) => {
                    Messages(&self.buffer[..read]).for_each(|message| seen.note(message.kind))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(seen),
                // The kernel had more to say than the socket could hold.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => seen = Seen::ALL,
                Err(error) => return Err(Error::system("watch", "network namespace", error)),
            }
        }
    }
}

impl Seen {
    /// Everything may have changed.
    pub const ALL: Seen = Seen {
        neighbours: true,
        links: true,
        routes: true,
    };

    fn note(&mut self, kind: u16) {
        match kind {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => self.links = true,
            libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => self.neighbours = true,
            libc::RTM_NEWADDR | libc::RTM_DELADDR | libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                self.routes = true
            }
            _ => {}
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
