//! The reader of common shapes: straight into the first bytes, and only what most packets are.

use super::*;

/// A packet of a common shape.
#[derive(Clone, Copy)]
pub struct Quick {
    pub key: FlowKey,
    /// Which end of the key sent it: 0 the lower, 1 the upper.
    pub from: usize,
    pub tcp_flags: u8,
    /// End of the transport header, from the start of the network header; what each segment of a large packet repeats.
    pub headers: u32,
}

/// Reads a packet whose network header begins at `l3`, if it is IPv4 without options or IPv6 without extension headers, no
/// fragment, and TCP, UDP or an echo; with hops left and all its headers in the first buffer.
#[inline(always)]
pub fn quick(ctx: &TcContext, ethertype: u16, l3: usize) -> Option<Quick> {
    let rest = (ctx.len() as usize).wrapping_sub(l3);
    if ethertype == ETHERTYPE_V4 {
        let header: &V4 = at(ctx, l3)?;
        let length = usize::from(u16::from_be(header.length));
        if header.version != 0x45
            || header.fragment & FRAGMENT_BITS != 0
            || header.ttl <= 1
            || length > rest
        {
            return None;
        }
        if !checksum_is_right(header) {
            return None;
        }
        let (source, destination) = (
            Addr::from_v4(header.source),
            Addr::from_v4(header.destination),
        );
        transport(
            ctx,
            l3,
            20,
            header.protocol,
            length.wrapping_sub(20),
            source,
            destination,
        )
    } else if ethertype == ETHERTYPE_V6 {
        let header: &V6 = at(ctx, l3)?;
        let length = usize::from(u16::from_be(header.length));
        if header.version as u8 >> 4 != 6 || header.hops <= 1 || length + 40 > rest {
            return None;
        }
        let (source, destination) = (
            Addr {
                words: header.source,
            },
            Addr {
                words: header.destination,
            },
        );
        transport(ctx, l3, 40, header.next, length, source, destination)
    } else {
        None
    }
}

#[inline(always)]
fn transport(
    ctx: &TcContext,
    l3: usize,
    size: usize,
    protocol: u8,
    length: usize,
    source: Addr,
    destination: Addr,
) -> Option<Quick> {
    let ports: &Ports = at(ctx, l3 + size)?;
    if protocol == TCP {
        let rest: &TcpRest = at(ctx, l3 + size + size_of::<Ports>())?;
        let header = usize::from(rest.offset >> 4) * 4;
        if header < 20 || header > length || length > 0xffff {
            return None;
        }
        let (key, from) = key_of(source, destination, ports.source, ports.destination, TCP);
        return Some(Quick {
            key,
            from,
            tcp_flags: rest.flags,
            headers: (size + header) as u32,
        });
    }
    if length < 8 || length > 0xffff {
        return None;
    }
    if protocol == UDP {
        if usize::from(u16::from_be(ports.length)) != length
            && (ports.length != 0 || !is_large(ctx))
        {
            return None;
        }
        let (key, from) = key_of(source, destination, ports.source, ports.destination, UDP);
        return Some(Quick {
            key,
            from,
            tcp_flags: 0,
            headers: size as u32 + 8,
        });
    }
    // An echo: type, code, checksum, identifier.
    let message = ports.source.to_be();
    let is_request = match (protocol, message) {
        (ICMP, 0x0800) | (ICMPV6, 0x8000) => true,
        (ICMP, 0x0000) | (ICMPV6, 0x8100) => false,
        _ => return None,
    };
    let id = ports.length;
    let (mut key, from) = key_of(source, destination, id, id, protocol);
    key.kind = echo_kind(is_request, from);
    Some(Quick {
        key,
        from,
        tcp_flags: 0,
        headers: size as u32 + 8,
    })
}
