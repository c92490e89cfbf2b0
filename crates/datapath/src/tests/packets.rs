//! Packets, byte by byte, with right checksums.

use std::net::IpAddr;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;
pub const SYN: u8 = 2;
pub const ACK: u8 = 16;
pub const FIN: u8 = 1;
pub const RST: u8 = 4;

pub fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| {
            u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum()
}

pub fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The checksum of a transport payload with its pseudo header.
pub fn transport_checksum(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let pseudo = sum(&octets(from)) + sum(&octets(to)) + u32::from(protocol) + payload.len() as u32;
    fold(pseudo + sum(payload))
}

/// An IP packet around a payload.
pub fn ip_packet(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = match from {
        IpAddr::V4(_) => {
            let length = (20 + payload.len() as u16).to_be_bytes();
            vec![
                0x45, 0, length[0], length[1], 0, 7, 0x40, 0, 64, protocol, 0, 0,
            ]
        }
        IpAddr::V6(_) => {
            let length = (payload.len() as u16).to_be_bytes();
            vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64]
        }
    };
    bytes.extend(octets(from));
    bytes.extend(octets(to));
    if from.is_ipv4() {
        set_v4_checksum(&mut bytes);
    }
    bytes.extend(payload);
    bytes
}

/// Writes the checksum of an IPv4 header of any length.
pub fn set_v4_checksum(bytes: &mut [u8]) {
    let header = usize::from(bytes[0] & 15) * 4;
    bytes[10..12].fill(0);
    let checksum = fold(sum(&bytes[..header])).to_be_bytes();
    bytes[10..12].copy_from_slice(&checksum);
}

pub fn tcp(from: (IpAddr, u16), to: (IpAddr, u16), flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    let checksum = transport_checksum(from.0, to.0, TCP, &segment).to_be_bytes();
    segment[16..18].copy_from_slice(&checksum);
    ethernet(ip_packet(from.0, to.0, TCP, &segment))
}

pub fn udp(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    let mut datagram = [from.1.to_be_bytes(), to.1.to_be_bytes(), length, [0, 0]].concat();
    datagram.extend(payload);
    let checksum = transport_checksum(from.0, to.0, UDP, &datagram).to_be_bytes();
    datagram[6..8].copy_from_slice(&checksum);
    ethernet(ip_packet(from.0, to.0, UDP, &datagram))
}

pub fn echo(from: IpAddr, to: IpAddr, is_request: bool, id: u16) -> Vec<u8> {
    let kind = match (from.is_ipv4(), is_request) {
        (true, true) => 8,
        (true, false) => 0,
        (false, true) => 128,
        (false, false) => 129,
    };
    icmp(
        from,
        to,
        kind,
        0,
        &[id.to_be_bytes().to_vec(), vec![0, 1], vec![0x61; 32]].concat(),
    )
}

/// An ICMP message of either family, by the rest after its checksum.
pub fn icmp(from: IpAddr, to: IpAddr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let protocol = if from.is_ipv4() { ICMP } else { ICMPV6 };
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    let checksum = if from.is_ipv4() {
        fold(sum(&message))
    } else {
        transport_checksum(from, to, ICMPV6, &message)
    };
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    ethernet(ip_packet(from, to, protocol, &message))
}

/// An Ethernet header before an IP packet.
pub fn ethernet(packet: Vec<u8>) -> Vec<u8> {
    let ethertype: [u8; 2] = if packet[0] >> 4 == 4 {
        [8, 0]
    } else {
        [0x86, 0xdd]
    };
    let mut frame = vec![2, b'T', b'o', b'm', b'b', b'o', 2, 0, 0, 0, 0, 0xa];
    frame.extend(ethertype);
    frame.extend(packet);
    frame
}

/// A frame in VXLAN between two nodes.
pub fn vxlan(from: IpAddr, to: IpAddr, vni: u32, frame: &[u8]) -> Vec<u8> {
    let length = (16 + frame.len() as u16).to_be_bytes();
    let [_, a, b, c] = vni.to_be_bytes();
    let mut datagram = vec![
        0xc0, 1, 0x21, 0x18, length[0], length[1], 0, 0, 8, 0, 0, 0, a, b, c, 0,
    ];
    datagram.extend(frame);
    ethernet(ip_packet(from, to, UDP, &datagram))
}

/// What a tunnel carries: the outer source and destination, VNI and inner frame.
pub fn unwrap_vxlan(frame: &[u8]) -> Option<(u32, Vec<u8>)> {
    let udp = if frame[12..14] == [8, 0] { 34 } else { 54 };
    let header = frame.get(udp..udp + 16)?;
    if header[2..4] != [0x21, 0x18] || header[8] != 8 {
        return None;
    }
    let vni = u32::from_be_bytes([0, header[12], header[13], header[14]]);
    Some((vni, frame[udp + 16..].to_vec()))
}

/// True when every header of the frame is whole and right, as a pod's own stack would want it.
pub fn is_well_formed(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([8, 0]) => v4_is_well_formed(&frame[14..]),
        Some([0x86, 0xdd]) => v6_is_well_formed(&frame[14..]),
        _ => false,
    }
}

fn v4_is_well_formed(packet: &[u8]) -> bool {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return false;
    }
    let header = usize::from(packet[0] & 15) * 4;
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header < 20 || length < header || length > packet.len() || fold(sum(&packet[..header])) != 0
    {
        return false;
    }
    let fragment = u16::from_be_bytes([packet[6], packet[7]]);
    let is_later = fragment & 0x1fff != 0;
    let is_whole = fragment & 0x3fff == 0;
    is_later || transport_is_whole(packet[9], &packet[header..length], is_whole)
}

fn v6_is_well_formed(packet: &[u8]) -> bool {
    if packet.len() < 40 || packet[0] >> 4 != 6 {
        return false;
    }
    let length = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let Some(packet) = packet.get(..length) else {
        return false;
    };
    let (mut next, mut offset, mut is_whole) = (packet[6], 40, true);
    while matches!(next, 0 | 43 | 44 | 51 | 60 | 135) {
        let Some(extension) = packet.get(offset..offset + 8) else {
            return false;
        };
        if next == 44 {
            let fragment = u16::from_be_bytes([extension[2], extension[3]]);
            if fragment & 0xfff8 != 0 {
                return true;
            }
            is_whole &= fragment & 1 == 0;
        }
        offset += match next {
            44 => 8,
            51 => (usize::from(extension[1]) + 2) * 4,
            _ => (usize::from(extension[1]) + 1) * 8,
        };
        next = extension[0];
        if offset > length {
            return false;
        }
    }
    transport_is_whole(next, &packet[offset..], is_whole)
}

fn transport_is_whole(protocol: u8, bytes: &[u8], is_whole: bool) -> bool {
    match protocol {
        TCP => bytes.len() >= 20 && (20..=bytes.len()).contains(&(usize::from(bytes[12] >> 4) * 4)),
        UDP => {
            let said = bytes
                .get(4..6)
                .map(|said| u16::from_be_bytes([said[0], said[1]]));
            bytes.len() >= 8 && (!is_whole || said.map(usize::from) == Some(bytes.len()))
        }
        ICMP | ICMPV6 => bytes.len() >= 8,
        132 => bytes.len() >= 12,
        _ => true,
    }
}
