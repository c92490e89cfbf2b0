//! What a packet says of itself.
//!
//! Two readers: [`quick`] looks straight into the first bytes and knows only the common shapes; [`read`] copies piece by piece and
//! knows options, extension headers and fragments. Whatever `quick` does not take, `read` decides; both refuse headers that end
//! beyond the packet.

use crate::maps::Room;
use aya_ebpf::{
    helpers::{bpf_csum_diff, bpf_skb_load_bytes},
    programs::TcContext,
};
use tombolo_abi::{Addr, Drop, FlowKey};

pub const ETHERNET: usize = 14;
/// As they lie in memory.
pub const ETHERTYPE_V4: u16 = 0x0800u16.to_be();
pub const ETHERTYPE_V6: u16 = 0x86ddu16.to_be();
pub const ETHERTYPE_ARP: u16 = 0x0806u16.to_be();

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const FRAGMENT_HEADER: u8 = 44;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

pub const TCP_FIN: u8 = 1;
pub const TCP_SYN: u8 = 2;
pub const TCP_RST: u8 = 4;
pub const TCP_ACK: u8 = 16;

/// [`FlowKey::kind`] of echoes, by which end asks, and of ICMP messages that have no answer.
pub const KIND_ECHO_BY_LOWER: u8 = 1;
pub const KIND_ECHO_BY_UPPER: u8 = 2;
pub const KIND_ONE_WAY_FROM_LOWER: u8 = 3;
pub const KIND_ONE_WAY_FROM_UPPER: u8 = 4;

/// A piece of the packet, if it is that long.
#[inline(always)]
pub fn at<T>(ctx: &TcContext, offset: usize) -> Option<&T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: within the packet by the check above; `T` is bytes, or integers that this target reads at any address.
    Some(unsafe { &*(start as *const T) })
}

#[inline(always)]
pub fn at_mut<T>(ctx: &TcContext, offset: usize) -> Option<&mut T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: as in `at`; the kernel makes the packet's head writable for programs that write.
    Some(unsafe { &mut *(start as *mut T) })
}

/// A copy of a piece of the packet, wherever the kernel keeps it.
#[inline(always)]
pub fn copy<T: Copy>(ctx: &TcContext, offset: usize) -> Result<T, Drop> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes all bytes of `value` or fails; `T` is bytes or integers.
    unsafe {
        let length = size_of::<T>() as u32;
        if bpf_skb_load_bytes(
            ctx.skb.skb.cast(),
            offset as u32,
            value.as_mut_ptr().cast(),
            length,
        ) != 0
        {
            return Err(Drop::Malformed);
        }
        Ok(value.assume_init())
    }
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct V4 {
    pub version: u8,
    pub tos: u8,
    pub length: u16,
    pub id: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: u16,
    pub source: u32,
    pub destination: u32,
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct V6 {
    pub version: u32,
    pub length: u16,
    pub next: u8,
    pub hops: u8,
    pub source: [u64; 2],
    pub destination: [u64; 2],
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Ports {
    source: u16,
    destination: u16,
    /// UDP length; for TCP half of the sequence number; for SCTP half of the tag.
    length: u16,
    _checksum: u16,
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
struct TcpRest {
    _acknowledged: u32,
    offset: u8,
    flags: u8,
}

/// Bits of the fragment field that matter, as they lie in memory: all but "don't fragment".
const FRAGMENT_BITS: u16 = 0xbfffu16.to_be();
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;
pub const DONT_FRAGMENT: u16 = 0x4000u16.to_be();

/// True when the IPv4 header's own checksum is right; for a header without options.
#[inline(always)]
fn checksum_is_right(header: &V4) -> bool {
    // SAFETY: `V4` is 20 bytes; five unaligned reads of four.
    let words = unsafe { core::ptr::read_unaligned((&raw const *header).cast::<[u32; 5]>()) };
    let mut sum = u64::from(words[0])
        + u64::from(words[1])
        + u64::from(words[2])
        + u64::from(words[3])
        + u64::from(words[4]);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}

/// True for a packet that is cut into segments later.
#[inline(always)]
fn is_large(ctx: &TcContext) -> bool {
    // SAFETY: a plain read of a context field.
    unsafe { (*ctx.skb.skb).gso_size != 0 }
}

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

/// The key of a flow and which end of it `source` is.
#[inline(always)]
pub fn key_of(
    source: Addr,
    destination: Addr,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
) -> (FlowKey, usize) {
    let source_is_lower = if source.words[1] != destination.words[1] {
        source.words[1] < destination.words[1]
    } else if source.words[0] != destination.words[0] {
        source.words[0] < destination.words[0]
    } else {
        source_port <= destination_port
    };
    if source_is_lower {
        let key = FlowKey {
            lower: source,
            upper: destination,
            lower_port: source_port,
            upper_port: destination_port,
            protocol,
            kind: 0,
            zone: 0,
        };
        (key, 0)
    } else {
        let key = FlowKey {
            lower: destination,
            upper: source,
            lower_port: destination_port,
            upper_port: source_port,
            protocol,
            kind: 0,
            zone: 0,
        };
        (key, 1)
    }
}

/// [`FlowKey::kind`] of an echo: who asked is the same for question and answer.
#[inline(always)]
fn echo_kind(is_request: bool, from: usize) -> u8 {
    if is_request == (from == 0) {
        KIND_ECHO_BY_LOWER
    } else {
        KIND_ECHO_BY_UPPER
    }
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

/// A packet, read wholly.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Packet {
    pub source: Addr,
    pub destination: Addr,
    /// In network order; 0 where the protocol has none.
    pub source_port: u16,
    pub destination_port: u16,
    pub ethertype: u16,
    pub protocol: u8,
    pub tcp_flags: u8,
    pub icmp_type: u8,
    pub icmp_code: u8,
    pub ttl: u8,
    /// See [`FlowKey::kind`]; here 1 is an echo request, 2 an echo reply, 3 another ICMP message, 0 anything else.
    pub kind: u8,
    /// See `fragment`: 0 whole, 1 the first, 2 a later one.
    pub fragment: u8,
    pub dont_fragment: u8,
    /// From the start of the network header.
    pub transport: u16,
    /// End of the transport header, from the start of the network header.
    pub headers: u16,
    pub _pad: u16,
    pub fragment_id: u32,
    /// Of the packet from the network header on, as the header says.
    pub length: u32,
}

pub const KIND_ECHO_REQUEST: u8 = 1;
pub const KIND_ECHO_REPLY: u8 = 2;
pub const KIND_ONE_WAY: u8 = 3;

pub const WHOLE: u8 = 0;
pub const FIRST: u8 = 1;
pub const LATER: u8 = 2;

impl Packet {
    /// The key of the packet's flow, and which end sent it.
    #[inline(always)]
    pub fn key(&self) -> (FlowKey, usize) {
        let (mut key, from) = key_of(
            self.source,
            self.destination,
            self.source_port,
            self.destination_port,
            self.protocol,
        );
        key.kind = match self.kind {
            KIND_ECHO_REQUEST => echo_kind(true, from),
            KIND_ECHO_REPLY => echo_kind(false, from),
            KIND_ONE_WAY if from == 0 => KIND_ONE_WAY_FROM_LOWER,
            KIND_ONE_WAY => KIND_ONE_WAY_FROM_UPPER,
            _ => 0,
        };
        (key, from)
    }

    #[inline(always)]
    pub fn is_icmp_error(&self) -> bool {
        self.fragment != LATER
            && match self.protocol {
                ICMP => matches!(self.icmp_type, 3 | 4 | 5 | 11 | 12),
                ICMPV6 => self.icmp_type < 128,
                _ => false,
            }
    }
}

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
