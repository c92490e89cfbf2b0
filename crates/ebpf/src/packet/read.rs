//! The reader of any shape: piece by piece, with options, extension headers and fragments.

use super::*;
use crate::maps::Room;
use aya_ebpf::helpers::bpf_csum_diff;

/// Reads any IP packet whose network header begins at `l3`.
#[inline(always)]
pub fn read(
    ctx: &TcContext,
    ethertype: u16,
    l3: usize,
    packet: &mut Packet,
    bytes: &mut Room,
) -> Result<(), Drop> {
    packet.ethertype = ethertype;
    packet.source_port = 0;
    packet.destination_port = 0;
    packet.tcp_flags = 0;
    packet.icmp_type = 0;
    packet.icmp_code = 0;
    packet.kind = 0;
    packet.fragment = WHOLE;
    packet.fragment_id = 0;
    let rest = ctx.len().wrapping_sub(l3 as u32);
    if ethertype == ETHERTYPE_V4 {
        read_v4(ctx, l3, rest, packet, bytes)?;
    } else if ethertype == ETHERTYPE_V6 {
        read_v6(ctx, l3, rest, packet)?;
    } else {
        return Err(Drop::UnknownEthertype);
    }
    if packet.fragment == LATER {
        Ok(())
    } else {
        read_transport(ctx, l3, packet)
    }
}

#[inline(always)]
fn read_v4(
    ctx: &TcContext,
    l3: usize,
    rest: u32,
    packet: &mut Packet,
    bytes: &mut Room,
) -> Result<(), Drop> {
    let header: V4 = copy(ctx, l3)?;
    let size = u32::from(header.version & 15) * 4;
    let length = u32::from(u16::from_be(header.length));
    if header.version >> 4 != 4 || size < 20 || length < size || length > rest {
        return Err(Drop::Malformed);
    }
    let is_right = if size == 20 {
        checksum_is_right(&header)
    } else {
        options_checksum_is_right(ctx, l3, size, bytes)
    };
    if !is_right {
        return Err(Drop::Malformed);
    }
    packet.source = Addr::from_v4(header.source);
    packet.destination = Addr::from_v4(header.destination);
    packet.protocol = header.protocol;
    packet.ttl = header.ttl;
    packet.length = length;
    packet.transport = size as u16;
    packet.dont_fragment = u8::from(header.fragment & DONT_FRAGMENT != 0);
    let fragment = u16::from_be(header.fragment);
    if fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        packet.fragment = if fragment & FRAGMENT_OFFSET == 0 {
            FIRST
        } else {
            LATER
        };
        packet.fragment_id = u32::from(header.id);
    }
    Ok(())
}

/// The same for a header with options; `bytes` is room for the longest one.
#[inline(always)]
fn options_checksum_is_right(ctx: &TcContext, l3: usize, size: u32, bytes: &mut Room) -> bool {
    let size = size & 0x3c;
    // SAFETY: the mask above bounds `size` below the length of `bytes`, which both helpers stay within.
    let sum = unsafe {
        let room = bytes.as_mut_ptr();
        if size < 20 || bpf_skb_load_bytes(ctx.skb.skb.cast(), l3 as u32, room.cast(), size) != 0 {
            return false;
        }
        bpf_csum_diff(core::ptr::null_mut(), 0, room.cast(), size, 0)
    };
    let mut sum = sum as u32;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}

#[inline(always)]
fn read_v6(ctx: &TcContext, l3: usize, rest: u32, packet: &mut Packet) -> Result<(), Drop> {
    let start: [u8; 8] = copy(ctx, l3)?;
    let length = 40 + u32::from(u16::from_be_bytes([start[4], start[5]]));
    if start[0] >> 4 != 6 || length > rest {
        return Err(Drop::Malformed);
    }
    // Both addresses at once: they lie next to each other here as they do there.
    // SAFETY: source and destination are the first 32 bytes of `Packet`.
    if unsafe {
        bpf_skb_load_bytes(
            ctx.skb.skb.cast(),
            l3 as u32 + 8,
            (&raw mut *packet).cast(),
            32,
        )
    } != 0
    {
        return Err(Drop::Malformed);
    }
    if packet.source.is_v4() || packet.destination.is_v4() {
        // A mapped address on the wire would be taken for the IPv4 address itself.
        return Err(Drop::Malformed);
    }
    packet.ttl = start[7];
    packet.length = length;
    packet.dont_fragment = 1;
    let mut next = start[6];
    let mut offset = 40u32;
    for count in 0..=8 {
        // Hop-by-hop, routing, authentication, destination options, mobility; the fragment header is eight bytes.
        if !matches!(next, 0 | 43 | FRAGMENT_HEADER | 51 | 60 | 135) {
            packet.protocol = next;
            packet.transport = offset as u16;
            return Ok(());
        }
        if count == 8 {
            break;
        }
        let extension: [u8; 8] = copy(ctx, l3 + offset as usize)?;
        if next == FRAGMENT_HEADER {
            let fragment = u16::from_be_bytes([extension[2], extension[3]]);
            if fragment & 0xfff9 != 0 {
                packet.fragment = if fragment & 0xfff8 == 0 { FIRST } else { LATER };
                packet.fragment_id =
                    u32::from_ne_bytes([extension[4], extension[5], extension[6], extension[7]]);
            }
            offset += 8;
            if packet.fragment == LATER && offset <= length {
                packet.protocol = extension[0];
                packet.transport = offset as u16;
                return Ok(());
            }
        } else if next == 51 {
            offset += (u32::from(extension[1]) + 2) * 4;
        } else {
            offset += (u32::from(extension[1]) + 1) * 8;
        }
        next = extension[0];
        if offset > length {
            return Err(Drop::Malformed);
        }
    }
    Err(Drop::ExtensionHeaders)
}

#[inline(always)]
fn read_transport(ctx: &TcContext, l3: usize, packet: &mut Packet) -> Result<(), Drop> {
    let transport = u32::from(packet.transport) & 0x0fff;
    let length = packet.length.wrapping_sub(transport);
    let offset = l3 + transport as usize;
    let mut size = 0;
    match packet.protocol {
        TCP => {
            let ports: Ports = copy(ctx, offset)?;
            let rest: TcpRest = copy(ctx, offset + size_of::<Ports>())?;
            size = u32::from(rest.offset >> 4) * 4;
            if size < 20 {
                return Err(Drop::Malformed);
            }
            packet.source_port = ports.source;
            packet.destination_port = ports.destination;
            packet.tcp_flags = rest.flags;
        }
        UDP => {
            let ports: Ports = copy(ctx, offset)?;
            size = 8;
            let said = u32::from(u16::from_be(ports.length));
            // The first fragment says the length of the whole; 0 is a large packet that the kernel will cut.
            if packet.fragment == WHOLE && said != length && (said != 0 || !is_large(ctx)) {
                return Err(Drop::Malformed);
            }
            packet.source_port = ports.source;
            packet.destination_port = ports.destination;
        }
        SCTP => {
            let ports: Ports = copy(ctx, offset)?;
            size = 12;
            packet.source_port = ports.source;
            packet.destination_port = ports.destination;
        }
        ICMP | ICMPV6 => {
            let message: [u8; 8] = copy(ctx, offset)?;
            size = 8;
            packet.icmp_type = message[0];
            packet.icmp_code = message[1];
            packet.kind = match (packet.protocol, message[0]) {
                (ICMP, 8) | (ICMPV6, 128) => KIND_ECHO_REQUEST,
                (ICMP, 0) | (ICMPV6, 129) => KIND_ECHO_REPLY,
                _ => KIND_ONE_WAY,
            };
            if packet.kind != KIND_ONE_WAY {
                packet.source_port = u16::from_ne_bytes([message[4], message[5]]);
                packet.destination_port = packet.source_port;
            }
        }
        _ => {}
    }
    if size > length {
        return Err(Drop::Malformed);
    }
    packet.headers = (transport + size) as u16;
    Ok(())
}
