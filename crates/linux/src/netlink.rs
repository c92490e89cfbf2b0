//! One rtnetlink socket, on which links, addresses, routes and neighbours are read and changed.
//!
//! The methods are beside the nouns they are about: `link`, `address`, `route`, `neighbour`.

pub(crate) mod message;
pub(crate) mod socket;

use crate::{Error, Result, netns::Netns};
use message::{Message, Refusal, Request};
use rustix::net::Protocol;
use socket::Socket;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A socket to the kernel's tables of one network namespace. One request at a time; others wait for its answer.
#[derive(Debug)]
pub struct Netlink {
    socket: Mutex<Socket>,
}

/// `NETLINK_ROUTE` is 0, which is also what no protocol means.
pub(crate) const ROUTE: Option<Protocol> = None;

/// What a request is about, for the error should it fail.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub operation: &'static str,
    pub subject: &'a dyn std::fmt::Display,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Netlink> {
        let socket = Socket::open(ROUTE)
            .map_err(|error| Error::system("open", "rtnetlink socket", error))?;
        Ok(Netlink {
            socket: Mutex::new(socket),
        })
    }

    /// Opens a socket in another network namespace, whose tables it then reads and changes.
    pub fn open_in(netns: &Netns) -> Result<Netlink> {
        netns.run(Netlink::open)?
    }

    fn socket(&self) -> MutexGuard<'_, Socket> {
        // A conversation cut short leaves answers with old sequence numbers, which the next one skips.
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and returns when the kernel has done it.
    pub(crate) fn change(&self, task: Task<'_>, request: Request) -> Result<()> {
        self.ask(task, request, |_| {})
    }

    /// Asks for one thing; `take` is given the answer.
    pub(crate) fn ask(
        &self,
        task: Task<'_>,
        request: Request,
        take: impl FnMut(Message<'_>),
    ) -> Result<()> {
        self.socket()
            .converse(vec![request], take)
            .map(drop)
            .map_err(|refusal| refusal.of(task))
    }

    /// Lists things; `read` gives `None` for those not wanted.
    pub(crate) fn list<T>(
        &self,
        task: Task<'_>,
        request: impl Fn() -> Request,
        read: impl Fn(Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>> {
        self.socket()
            .dump(request, read)
            .map_err(|refusal| refusal.of(task))
    }
}

impl Refusal {
    /// The error that says what was refused.
    pub fn of(self, task: Task<'_>) -> Error {
        let Task { operation, subject } = task;
        let subject = subject.to_string();
        match self.explanation {
            Some(explanation) => Error::Refused {
                operation,
                subject,
                explanation,
                source: self.source,
            },
            None => Error::System {
                operation,
                subject,
                source: self.source,
            },
        }
    }
}

/// The address family of a netlink message's fixed header, and an address as its bytes.
pub(crate) mod family {
    use std::net::IpAddr;

    pub const V4: u8 = libc::AF_INET as u8;
    pub const V6: u8 = libc::AF_INET6 as u8;

    pub fn of(address: IpAddr) -> u8 {
        if address.is_ipv4() { V4 } else { V6 }
    }

    pub fn octets(address: IpAddr) -> Vec<u8> {
        match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        }
    }

    pub fn address(value: &[u8]) -> Option<IpAddr> {
        <[u8; 4]>::try_from(value)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
            .ok()
    }
}

#[cfg(test)]
mod tests;
