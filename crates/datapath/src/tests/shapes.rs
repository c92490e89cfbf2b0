//! Less common packets, made of common ones: fragments, options, extension headers, ICMP errors, questions for a gateway.

use super::{node::*, packets::*};
use std::net::IpAddr;

/// The inner frame as the other node sends it.
pub fn by_tunnel(inner: &[u8]) -> Vec<u8> {
    vxlan(ip(PEER), ip(NODE), ID_FAR, inner)
}

pub fn is_v4(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0]
}

/// Both halves of a packet, cut after `cut` bytes of what follows its IP header.
pub fn fragments(frame: &[u8], id: u8, cut: usize) -> (Vec<u8>, Vec<u8>) {
    assert!(cut.is_multiple_of(8));
    if is_v4(frame) {
        let piece = |payload: &[u8], field: u16| {
            let mut packet = frame[14..34].to_vec();
            packet[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
            packet[5] = id;
            packet[6..8].copy_from_slice(&field.to_be_bytes());
            set_v4_checksum(&mut packet);
            packet.extend(payload);
            ethernet(packet)
        };
        let payload = &frame[34..];
        (
            piece(&payload[..cut], 0x2000),
            piece(&payload[cut..], (cut / 8) as u16),
        )
    } else {
        let piece = |payload: &[u8], field: u16| {
            let [high, low] = field.to_be_bytes();
            let mut bytes = vec![frame[20], 0, high, low, 0, 0, 0, id];
            bytes.extend(payload);
            with_payload(frame, 44, &bytes)
        };
        let payload = &frame[54..];
        (
            piece(&payload[..cut], 1),
            piece(&payload[cut..], cut as u16),
        )
    }
}

/// The same IPv6 header before something else.
fn with_payload(frame: &[u8], next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = frame[14..54].to_vec();
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet[6] = next;
    packet.extend(payload);
    ethernet(packet)
}

/// An IPv4 packet with four bytes of options.
pub fn with_options(frame: &[u8]) -> Vec<u8> {
    let mut packet = frame[14..34].to_vec();
    packet[0] = 0x46;
    let length = u16::from_be_bytes([packet[2], packet[3]]) + 4;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.extend([1, 1, 1, 0]);
    set_v4_checksum(&mut packet);
    packet.extend(&frame[34..]);
    ethernet(packet)
}

/// An IPv6 packet with extension headers of these kinds, each of eight bytes, but an authentication header of sixteen.
pub fn with_extensions(frame: &[u8], kinds: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let next = kinds.get(index + 1).copied().unwrap_or(frame[20]);
        payload.extend(match kind {
            // Neither an offset nor more to come.
            44 => vec![next, 0, 0, 0, 0, 0, 0, 9],
            51 => vec![next, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            // A routing header that asks for nothing more, and options that are padding.
            43 => vec![next, 0, 4, 0, 0, 0, 0, 0],
            _ => vec![next, 0, 1, 4, 0, 0, 0, 0],
        });
    }
    payload.extend(&frame[54..]);
    with_payload(frame, kinds.first().copied().unwrap_or(frame[20]), &payload)
}

/// Kinds of ICMP errors.
#[derive(Clone, Copy, Debug)]
pub enum Complaint {
    Unreachable,
    TimeExceeded,
    TooBig,
}

/// An ICMP error about a packet, which is quoted up to `quoted` bytes from its IP header on.
pub fn complaint(from: IpAddr, kind: Complaint, about: &[u8], quoted: usize) -> Vec<u8> {
    let to = source_of(about);
    let (kind, code) = match (kind, to.is_ipv4()) {
        (Complaint::Unreachable, true) => (3, 3),
        (Complaint::Unreachable, false) => (1, 4),
        (Complaint::TimeExceeded, true) => (11, 0),
        (Complaint::TimeExceeded, false) => (3, 0),
        (Complaint::TooBig, true) => (3, 4),
        (Complaint::TooBig, false) => (2, 0),
    };
    complaint_to(from, to, (kind, code), about, quoted)
}

/// The same, to whomever.
pub fn complaint_to(
    from: IpAddr,
    to: IpAddr,
    kind: (u8, u8),
    about: &[u8],
    quoted: usize,
) -> Vec<u8> {
    let mut rest = 1280u32.to_be_bytes().to_vec();
    rest.extend(&about[14..about.len().min(14 + quoted)]);
    icmp(from, to, kind.0, kind.1, &rest)
}

pub fn source_of(frame: &[u8]) -> IpAddr {
    address_at(frame, if is_v4(frame) { 26 } else { 22 })
}

pub fn destination_of(frame: &[u8]) -> IpAddr {
    address_at(frame, if is_v4(frame) { 30 } else { 38 })
}

fn address_at(frame: &[u8], offset: usize) -> IpAddr {
    if is_v4(frame) {
        let bytes: [u8; 4] = frame[offset..offset + 4].try_into().expect("four bytes");
        IpAddr::from(bytes)
    } else {
        let bytes: [u8; 16] = frame[offset..offset + 16].try_into().expect("16 bytes");
        IpAddr::from(bytes)
    }
}

pub const BROADCAST: [u8; 6] = [0xff; 6];

pub fn arp(operation: u16, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = [BROADCAST, MAC_A].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4]);
    frame.extend(operation.to_be_bytes());
    frame.extend(MAC_A);
    frame.extend(sender);
    frame.extend([0; 6]);
    frame.extend(target);
    frame
}

/// A neighbour solicitation, with or without the asker's Ethernet address.
pub fn solicitation(from: IpAddr, target: IpAddr, with_mac: bool) -> Vec<u8> {
    let IpAddr::V6(target) = target else {
        panic!("{target} is not IPv6");
    };
    let [.., a, b, c] = target.octets();
    let mut group = ip("ff02::1:ff00:0");
    if let IpAddr::V6(v6) = &mut group {
        let mut bytes = v6.octets();
        bytes[13..].copy_from_slice(&[a, b, c]);
        *v6 = bytes.into();
    }
    let mut rest = vec![0; 4];
    rest.extend(target.octets());
    if with_mac {
        rest.extend([1, 1]);
        rest.extend(MAC_A);
    }
    let mut frame = icmp(from, group, 135, 0, &rest);
    frame[21] = 255;
    frame[6..12].copy_from_slice(&MAC_A);
    frame
}

/// Sets the congestion bits of an IP header at `l3`.
pub fn set_ecn(frame: &mut [u8], l3: usize, ecn: u8) {
    if frame[l3] >> 4 == 4 {
        frame[l3 + 1] = frame[l3 + 1] & !3 | ecn;
        set_v4_checksum(&mut frame[l3..]);
    } else {
        frame[l3 + 1] = frame[l3 + 1] & !0x30 | ecn << 4;
    }
}

/// Sets how many hops are left to an IP packet.
pub fn set_hops(frame: &mut [u8], hops: u8) {
    if is_v4(frame) {
        frame[22] = hops;
        set_v4_checksum(&mut frame[14..]);
    } else {
        frame[21] = hops;
    }
}
