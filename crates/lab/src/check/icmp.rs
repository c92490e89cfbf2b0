//! Echo requests and replies by raw sockets: no program, no setting of the pod is needed.

use super::{
    Family,
    echo::{NONCE_BYTES, Nonce, any, raw},
};
use socket2::{Domain, Protocol};
use std::{io, net::UdpSocket};

const HEADER: usize = 8;

/// Types of request and reply.
fn types(family: Family) -> (u8, u8) {
    match family {
        Family::Ipv4 => (8, 0),
        Family::Ipv6 => (128, 129),
    }
}

pub fn open(family: Family) -> io::Result<UdpSocket> {
    match family {
        Family::Ipv4 => raw(Domain::IPV4, Protocol::ICMPV4, any(family)),
        Family::Ipv6 => raw(Domain::IPV6, Protocol::ICMPV6, any(family)),
    }
}

/// An echo request; its identifier is the nonce's first bytes, since only the nonce tells ours from others'.
pub fn request(family: Family, nonce: Nonce, sequence: u16) -> Vec<u8> {
    let mut packet = vec![types(family).0, 0, 0, 0, nonce[0], nonce[1]];
    packet.extend(sequence.to_be_bytes());
    packet.extend(nonce);
    if family == Family::Ipv4 {
        // The kernel fills in that of ICMPv6.
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

pub fn nonce_of_request(family: Family, packet: &[u8]) -> Option<Nonce> {
    parse(family, packet, types(family).0).map(|(nonce, _)| nonce)
}

pub fn nonce_of_reply(family: Family, packet: &[u8]) -> Option<(Nonce, u16)> {
    parse(family, packet, types(family).1)
}

/// Raw IPv4 sockets hand over the IP header too, IPv6 sockets do not.
fn parse(family: Family, packet: &[u8], kind: u8) -> Option<(Nonce, u16)> {
    let skip = match family {
        Family::Ipv4 => usize::from(packet.first()? & 0xf) * 4,
        Family::Ipv6 => 0,
    };
    let message = packet.get(skip..)?;
    if *message.first()? != kind || message.len() != HEADER + NONCE_BYTES {
        return None;
    }
    let nonce = message[HEADER..].try_into().ok()?;
    Some((nonce, u16::from_be_bytes([message[6], message[7]])))
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or(0),
        ]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back_and_sum_to_zero() {
        let nonce = *b"12345678";
        let packet = request(Family::Ipv4, nonce, 7);
        assert_eq!(checksum(&packet), 0);
        let mut with_header = vec![0x45; 20];
        with_header.extend(&packet);
        assert_eq!(nonce_of_request(Family::Ipv4, &with_header), Some(nonce));
        assert_eq!(nonce_of_reply(Family::Ipv4, &with_header), None);
        let mut reply = request(Family::Ipv6, nonce, 7);
        reply[0] = 129;
        assert_eq!(nonce_of_reply(Family::Ipv6, &reply), Some((nonce, 7)));
        for length in 0..with_header.len() {
            assert_eq!(nonce_of_request(Family::Ipv4, &with_header[..length]), None);
        }
    }
}
