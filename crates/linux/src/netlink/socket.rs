//! A netlink socket and the conversation on it: ask, gather the answers, learn the verdict.

use super::message::{Message, Messages, Refusal, Request};
use rustix::net::{
    self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType,
    netlink::SocketAddrNetlink,
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// More than the 32 KiB the kernel fills at most when it dumps.
const BUFFER: usize = 64 << 10;
/// The kernel answers while we send; this ends the wait should it ever not.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a dump that met a concurrent change is begun anew.
const DUMPS_MAX: usize = 20;

#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket that asks, in the calling thread's network namespace.
    pub fn open(protocol: Option<Protocol>) -> io::Result<Socket> {
        let socket = Socket::bound(protocol, SocketFlags::CLOEXEC, 0)?;
        net::sockopt::set_socket_timeout(&socket.fd, net::sockopt::Timeout::Recv, Some(PATIENCE))?;
        socket.set_option(libc::NETLINK_CAP_ACK, 1)?;
        socket.set_option(libc::NETLINK_EXT_ACK, 1)?;
        // Without it the kernel ignores filters in dump requests, and fields it does not know.
        socket.set_option(libc::NETLINK_GET_STRICT_CHK, 1)?;
        Ok(socket)
    }

    /// Opens a socket that listens to these multicast groups and never blocks.
    pub fn listen(protocol: Option<Protocol>, groups: u32) -> io::Result<Socket> {
        Socket::bound(
            protocol,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            groups,
        )
    }

    fn bound(protocol: Option<Protocol>, flags: SocketFlags, groups: u32) -> io::Result<Socket> {
        let fd = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Socket { fd, sequence: 0 })
    }

    fn set_option(&self, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        // SAFETY: the descriptor is open, and the value points to a live `c_int` whose size is told.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                (&raw const value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        net::sendto(
            &self.fd,
            bytes,
            SendFlags::empty(),
            &SocketAddrNetlink::new(0, 0),
        )?;
        Ok(())
    }

    /// Receives one datagram; fails rather than returning a cut one.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match net::recv(&self.fd, &mut *buffer, RecvFlags::TRUNC) {
                Ok((read, length)) if length > read => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "netlink message larger than expected",
                    ));
                }
                Ok((read, _)) => return Ok(read),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends requests as one datagram, hands every answer to `take`, and returns when the last of those that are
    /// flagged `NLM_F_ACK` or `NLM_F_DUMP` is done, or any is refused.
    pub fn converse(
        &mut self,
        requests: Vec<Request>,
        mut take: impl FnMut(Message<'_>),
    ) -> Result<Ending, Refusal> {
        let first = self.sequence.wrapping_add(1);
        let mut last = first;
        let mut bytes = Vec::new();
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            if request.is_answered() {
                last = self.sequence;
            }
            bytes.extend(request.finish(self.sequence));
        }
        self.send(&bytes)?;
        let mut ending = Ending { interrupted: false };
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match self.receive(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::from(io::ErrorKind::TimedOut).into());
                }
                result => result?,
            };
            for message in Messages(&buffer[..read]) {
                // Left over from a conversation that ended early.
                if message.sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                ending.interrupted |= message.flags & libc::NLM_F_DUMP_INTR != 0;
                match i32::from(message.kind) {
                    libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                        message.verdict()?;
                        if message.sequence == last {
                            return Ok(ending);
                        }
                    }
                    libc::NLMSG_NOOP => {}
                    _ => take(message),
                }
            }
        }
    }

    /// Dumps, anew from the start each time the kernel says that what it listed changed meanwhile.
    pub fn dump<T>(
        &mut self,
        request: impl Fn() -> Request,
        read: impl Fn(Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        for _ in 0..DUMPS_MAX {
            let mut found = Vec::new();
            match self.converse(vec![request()], |message| found.extend(read(message))) {
                Ok(Ending { interrupted: false }) => return Ok(found),
                Ok(Ending { interrupted: true }) => {}
                Err(refusal) if refusal.source.raw_os_error() == Some(libc::EINTR) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EINTR).into())
    }
}

/// How a conversation without refusal ended.
pub(crate) struct Ending {
    interrupted: bool,
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Refusal {
        Refusal {
            source,
            explanation: None,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
