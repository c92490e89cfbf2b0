//! Echo requests, and who answered them. No port is opened for it, and what answers is every host's own stack.

use crate::{Error, Result};
use rustix::net::{
    self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto,
};
use std::{
    io,
    net::{IpAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd as _, OwnedFd},
};

/// Type, code, checksum, identifier, sequence, and a number of ours.
const LENGTH: usize = 16;
const ECHO_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// `ICMP_FILTER` of `linux/icmp.h`, at the level `SOL_RAW`.
const FILTER_V4: libc::c_int = 1;
const SOL_RAW: libc::c_int = 255;
/// `ICMPV6_FILTER` of `linux/icmpv6.h`.
const FILTER_V6: libc::c_int = 1;

/// Sockets that echo requests leave by and nothing but echo replies comes in by; they never block.
#[derive(Debug)]
pub struct Pinger {
    v4: OwnedFd,
    /// Absent on a host without IPv6.
    v6: Option<OwnedFd>,
    identifier: u16,
}

impl Pinger {
    /// `identifier` sets the requests apart from other programs'.
    pub fn open(identifier: u16) -> Result<Pinger> {
        let failed = |error| Error::system("open", "socket for echo requests", error);
        let v4 = open(AddressFamily::INET, ipproto::ICMP).map_err(failed)?;
        let mask: u32 = !(1 << ECHO_REPLY_V4);
        set_option(&v4, SOL_RAW, FILTER_V4, &mask.to_ne_bytes()).map_err(failed)?;
        let v6 = match open(AddressFamily::INET6, ipproto::ICMPV6) {
            Ok(v6) => {
                let mut mask = [!0_u32; 8];
                mask[usize::from(ECHO_REPLY_V6 / 32)] &= !(1 << (ECHO_REPLY_V6 % 32));
                let mask: Vec<u8> = mask.into_iter().flat_map(u32::to_ne_bytes).collect();
                set_option(&v6, libc::IPPROTO_ICMPV6, FILTER_V6, &mask).map_err(failed)?;
                Some(v6)
            }
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Pinger { v4, v6, identifier })
    }

    /// What becomes readable with an answer.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let all = [Some(&self.v4), self.v6.as_ref()];
        all.into_iter().flatten().map(OwnedFd::try_clone).collect()
    }

    pub fn send(&self, to: IpAddr, number: u64) -> io::Result<()> {
        let sent = match to {
            IpAddr::V4(ip) => {
                let mut packet = self.request(ECHO_V4, number);
                let sum = checksum(&packet);
                packet[2..4].copy_from_slice(&sum.to_be_bytes());
                let to = SocketAddrV4::new(ip, 0);
                net::sendto(&self.v4, &packet, SendFlags::empty(), &to)
            }
            IpAddr::V6(ip) => {
                let Some(v6) = &self.v6 else {
                    return Err(io::ErrorKind::Unsupported.into());
                };
                // The kernel sums it up.
                let packet = self.request(ECHO_V6, number);
                let to = SocketAddrV6::new(ip, 0, 0, 0);
                net::sendto(v6, &packet, SendFlags::empty(), &to)
            }
        };
        Ok(sent.map(drop)?)
    }

    /// The next answer, who gave it and to which number; nothing if none is there.
    pub fn receive(&self) -> Option<(IpAddr, u64)> {
        let mut buffer = [0; 256];
        let sockets = [
            (Some(&self.v4), ECHO_REPLY_V4),
            (self.v6.as_ref(), ECHO_REPLY_V6),
        ];
        for (socket, kind) in sockets {
            let Some(socket) = socket else { continue };
            // Those that are not ours are stepped over; an error is of one datagram, or there is none.
            while let Ok((length, _, from)) = net::recvfrom(socket, &mut buffer, RecvFlags::empty())
            {
                let from = from.and_then(|from| std::net::SocketAddr::try_from(from).ok());
                let packet = &buffer[..length];
                let packet = match kind {
                    ECHO_REPLY_V4 => without_header(packet),
                    _ => Some(packet),
                };
                let number = packet.and_then(|packet| self.number(packet, kind));
                if let (Some(from), Some(number)) = (from, number) {
                    return Some((from.ip(), number));
                }
            }
        }
        None
    }

    fn request(&self, kind: u8, number: u64) -> [u8; LENGTH] {
        let mut packet = [0; LENGTH];
        packet[0] = kind;
        packet[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        packet[8..].copy_from_slice(&number.to_be_bytes());
        packet
    }

    fn number(&self, packet: &[u8], kind: u8) -> Option<u64> {
        let is_ours = packet.len() == LENGTH
            && packet[0] == kind
            && packet[4..6] == self.identifier.to_be_bytes();
        is_ours.then_some(())?;
        Some(u64::from_be_bytes(packet[8..].try_into().ok()?))
    }
}

fn open(family: AddressFamily, protocol: Protocol) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(net::socket_with(
        family,
        SocketType::RAW,
        flags,
        Some(protocol),
    )?)
}

fn set_option(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the value is a live slice whose length is told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A raw socket of IPv4 gives the IP header too.
fn without_header(packet: &[u8]) -> Option<&[u8]> {
    let words = usize::from(packet.first()? & 0xf);
    packet.get(words * 4..)
}

fn checksum(packet: &[u8; LENGTH]) -> u16 {
    let words = packet.chunks_exact(2);
    let sum: u32 = words
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests;
