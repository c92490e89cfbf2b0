//! ICMP errors: tied to their flow on the way in, and written by ourselves where a packet is too big or has run out of hops.

use crate::{
    flow,
    forward::Way,
    judge::{self, Arrival},
    maps::{Scratch, scratch, setting},
    packet::{self, ETHERNET, ETHERTYPE_V4, ETHERTYPE_V6, ICMP, ICMPV6, LATER, V4, V6},
};
use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT},
    helpers::{
        bpf_csum_diff, bpf_redirect, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_load_bytes,
    },
    programs::TcContext,
};
use tombolo_abi::{Addr, Drop, GATEWAY_MAC, SeenAt, place};

/// How much of a packet is quoted at most; also the bits that such a length has.
const QUOTED_MAX: u32 = 0x7c;
/// The packet size that every IPv6 path carries.
const LEAST_V6: u32 = 1280;

/// Finds the flow that an error speaks of, and the way to the end that it is for. Returns the number of a reason to drop it, or 0.
#[inline(never)]
pub fn relate(skb: *mut __sk_buff, arrival: &Arrival, way: &mut Way) -> u32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return Drop::IcmpWithoutFlow as u32;
    };
    match related(&ctx, arrival, way, scratch) {
        Ok(()) => 0,
        Err(reason) => reason as u32,
    }
}

#[inline(always)]
fn related(
    ctx: &TcContext,
    arrival: &Arrival,
    way: &mut Way,
    scratch: &mut Scratch,
) -> Result<(), Drop> {
    let quoted = (arrival.l3 as usize & 0x7f) + (scratch.packet.transport as usize & 0x0fff) + 8;
    read_quoted(ctx, arrival.ethertype, quoted, scratch)?;
    let flow = flow::find(&scratch.key).ok_or(Drop::IcmpWithoutFlow)?;
    // SAFETY: a map element found in this run.
    let flow = unsafe { &*flow };
    let (ends, [target, other]) = if scratch.identities[0] == 0 {
        ([scratch.key.lower, scratch.key.upper], flow.sides)
    } else {
        let [lower, upper] = flow.sides;
        ([scratch.key.upper, scratch.key.lower], [upper, lower])
    };
    let [target_addr, other_addr] = ends;
    scratch.identities[0] = 0;
    // The quoted packet's sender is whom the error is for, and nobody else's address may be on it.
    if scratch.packet.destination != target_addr {
        return Err(Drop::IcmpWithoutFlow);
    }
    if flow::is_expired(flow, flow::now()) || !flow::holds(&target) {
        return Err(Drop::IcmpWithoutFlow);
    }
    let mut identity = 2;
    if arrival.tunnel != 0 || arrival.seen_at == SeenAt::Pod as u32 {
        let source = judge::source_of(ctx, arrival, &scratch.packet)?;
        let is_other = source.identity == other.identity
            && source.index == other.index
            && source.place == other.place;
        // A pod may complain of what it received itself, and of nothing else.
        if !is_other || (arrival.tunnel == 0 && scratch.packet.source != other_addr) {
            return Err(Drop::IcmpWithoutFlow);
        }
        identity = source.identity;
    } else if arrival.seen_at == SeenAt::Host as u32
        && other.place == place::HOST
        && scratch.packet.source == other_addr
    {
        // The node itself has received what it complains of.
        identity = other.identity;
    }
    if (arrival.tunnel != 0 || arrival.seen_at == SeenAt::Uplink as u32)
        && !matches!(target.place, place::LOCAL | place::HOST)
    {
        return Err(Drop::NotOurs);
    }
    way.identity = identity;
    way.place = target.place;
    way.index = target.index;
    way.source_port = flow.source_port;
    scratch.is_read = 0;
    Ok(())
}

/// Reads the quoted packet's key. Whether its sender is the upper end is left in the first of the scratch identities.
#[inline(always)]
fn read_quoted(
    ctx: &TcContext,
    ethertype: u16,
    offset: usize,
    scratch: &mut Scratch,
) -> Result<(), Drop> {
    let (source, destination, protocol, transport);
    if ethertype == ETHERTYPE_V4 {
        let header: V4 = packet::copy(ctx, offset).map_err(|_| Drop::IcmpWithoutFlow)?;
        (source, destination) = (
            Addr::from_v4(header.source),
            Addr::from_v4(header.destination),
        );
        protocol = header.protocol;
        transport = (header.version as usize & 15) * 4;
    } else {
        let header: V6 = packet::copy(ctx, offset).map_err(|_| Drop::IcmpWithoutFlow)?;
        (source, destination) = (
            Addr {
                words: header.source,
            },
            Addr {
                words: header.destination,
            },
        );
        protocol = header.next;
        transport = 40;
    }
    let first: [u16; 4] =
        packet::copy(ctx, offset + transport).map_err(|_| Drop::IcmpWithoutFlow)?;
    let echo = match (protocol, u16::from_be(first[0])) {
        (ICMP, 0x0800) | (ICMPV6, 0x8000) => 1,
        (ICMP, 0x0000) | (ICMPV6, 0x8100) => 2,
        (ICMP | ICMPV6, _) => return Err(Drop::IcmpWithoutFlow),
        _ => 0,
    };
    let ports = if echo == 0 {
        (first[0], first[1])
    } else {
        (first[2], first[2])
    };
    let (mut key, from) = packet::key_of(source, destination, ports.0, ports.1, protocol);
    if echo != 0 {
        key.kind = if (echo == 1) == (from == 0) {
            packet::KIND_ECHO_BY_LOWER
        } else {
            packet::KIND_ECHO_BY_UPPER
        };
    }
    scratch.key = key;
    scratch.identities[0] = from as u32;
    Ok(())
}

/// Tells the sender of a packet how large it may be, or that it ran out of hops here.
#[inline(never)]
pub fn complain(skb: *mut __sk_buff, is_too_big: u32) -> i32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return TC_ACT_SHOT as i32;
    };
    // RFC 1122: nobody is told of errors, nor of fragments without ports.
    if scratch.packet.is_icmp_error() || scratch.packet.fragment == LATER {
        return TC_ACT_SHOT as i32;
    }
    let answer = if is_too_big != 0 {
        let mtu = scratch.mtu;
        answer(&ctx, false, [3, 4], [2, 0], mtu)
    } else {
        answer(&ctx, true, [11, 0], [3, 0], 0)
    };
    answer.unwrap_or(TC_ACT_SHOT as i32)
}

/// `by_router`: from the gateway that pods know; else in the name of the destination, which the node's own stack takes too.
#[inline(always)]
fn answer(ctx: &TcContext, by_router: bool, v4: [u8; 2], v6: [u8; 2], rest: u32) -> Option<i32> {
    // SAFETY: a plain read of a context field.
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    if ethertype == ETHERTYPE_V4 {
        answer_v4(ctx, by_router, v4, rest)
    } else if ethertype == ETHERTYPE_V6 {
        // No sender of IPv6 listens to who says less.
        let rest = if by_router { rest } else { rest.max(LEAST_V6) };
        answer_v6(ctx, by_router, v6, rest)
    } else {
        None
    }
}

/// Cuts the packet to what is quoted, and makes room before it. The sender finds its socket by the ports, which options and
/// extension headers may push back; so that much is quoted, in words, which checksums are taken of.
#[inline(always)]
fn reshape(ctx: &TcContext, room: i32) -> Option<u32> {
    let quoted = ctx.len().wrapping_sub(ETHERNET as u32).min(QUOTED_MAX) & QUOTED_MAX;
    // SAFETY: helpers on this program's own context.
    unsafe {
        if bpf_skb_change_tail(ctx.skb.skb, ETHERNET as u32 + quoted, 0) != 0
            || bpf_skb_adjust_room(ctx.skb.skb, room, 1, 0) != 0
        {
            return None;
        }
    }
    Some(quoted)
}

/// Swaps the ends of the Ethernet header: back to whom the packet came from.
#[inline(always)]
fn turn_ethernet(frame: &mut [u8; 14]) {
    for i in 0..6 {
        frame[i] = frame[i + 6];
        frame[i + 6] = GATEWAY_MAC[i];
    }
}

#[inline(always)]
fn fold(sum: i64) -> [u8; 2] {
    let mut sum = sum as u32;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    (!(sum as u16)).to_ne_bytes()
}

/// The sum of the packet's bytes from `offset` on, at most [`QUOTED_MAX`] and a multiple of four.
#[inline(always)]
fn sum_of(ctx: &TcContext, offset: usize, length: u32) -> Option<u32> {
    let bytes = &mut scratch()?.bytes;
    let length = length & QUOTED_MAX;
    // SAFETY: the mask above bounds `length` below the length of `bytes`, which both helpers stay within.
    unsafe {
        let room = bytes.as_mut_ptr();
        if length == 0
            || bpf_skb_load_bytes(ctx.skb.skb.cast(), offset as u32, room.cast(), length) != 0
        {
            return None;
        }
        Some(bpf_csum_diff(core::ptr::null_mut(), 0, room.cast(), length, 0) as u32)
    }
}

#[inline(always)]
fn back(ctx: &TcContext) -> i32 {
    // SAFETY: a plain read of a context field; the helper has no preconditions.
    unsafe { bpf_redirect((*ctx.skb.skb).ifindex, 0) as i32 }
}

/// Copies words of the packet to where they are summed; `N` at a time, since the stack is short of room for more.
#[inline(always)]
fn take_words<const N: usize>(ctx: &TcContext, offset: usize, to: &mut [u32; N]) -> Option<()> {
    // SAFETY: the helper writes the words of `to` or fails.
    let failed = unsafe {
        bpf_skb_load_bytes(
            ctx.skb.skb.cast(),
            offset as u32,
            to.as_mut_ptr().cast(),
            size_of::<[u32; N]>() as u32,
        )
    };
    (failed == 0).then_some(())
}

#[inline(always)]
fn answer_v4(ctx: &TcContext, by_router: bool, message: [u8; 2], rest: u32) -> Option<i32> {
    let quoted = reshape(ctx, 28)?;
    let body = sum_of(ctx, ETHERNET + 28, quoted)?;
    // Source and destination of what is quoted.
    let mut ends = [0; 2];
    take_words(ctx, ETHERNET + 28 + 12, &mut ends)?;
    let mut words: [u32; 7] = [0; 7];
    let length = (28 + quoted as u16).to_be_bytes();
    words[0] = u32::from_ne_bytes([0x45, 0xc0, length[0], length[1]]);
    words[2] = u32::from_ne_bytes([64, ICMP, 0, 0]);
    words[3] = if by_router {
        setting!(router_v4).v4()
    } else {
        ends[1]
    };
    words[4] = ends[0];
    words[5] = u32::from_ne_bytes([message[0], message[1], 0, 0]);
    words[6] = rest.to_be();
    // SAFETY: the helper reads 20 bytes, then 8, of the 28 of `words`.
    let (ip, icmp) = unsafe {
        (
            bpf_csum_diff(core::ptr::null_mut(), 0, words.as_mut_ptr(), 20, 0),
            bpf_csum_diff(core::ptr::null_mut(), 0, words.as_mut_ptr().add(5), 8, body),
        )
    };
    let (ip, icmp) = (fold(ip), fold(icmp));
    words[2] = u32::from_ne_bytes([64, ICMP, ip[0], ip[1]]);
    words[5] = u32::from_ne_bytes([message[0], message[1], icmp[0], icmp[1]]);
    turn_ethernet(packet::at_mut(ctx, 0)?);
    let place: &mut [u8; 28] = packet::at_mut(ctx, ETHERNET)?;
    // SAFETY: both are 28 bytes.
    unsafe { core::ptr::write_unaligned(place.as_mut_ptr().cast::<[u32; 7]>(), words) };
    Some(back(ctx))
}

/// What the checksum of an ICMPv6 message is taken of, before its body.
#[repr(C)]
struct Summed {
    source: [u32; 4],
    destination: [u32; 4],
    length: u32,
    next: u32,
    /// The message's own first words.
    head: [u32; 2],
}

#[inline(always)]
fn answer_v6(ctx: &TcContext, by_router: bool, message: [u8; 2], rest: u32) -> Option<i32> {
    let quoted = reshape(ctx, 48)?;
    let body = sum_of(ctx, ETHERNET + 48, quoted)?;
    let length = (8 + quoted as u16).to_be_bytes();
    let mut summed = Summed {
        source: [0; 4],
        destination: [0; 4],
        length: u32::from_ne_bytes([0, 0, length[0], length[1]]),
        next: u32::from(ICMPV6).to_be(),
        head: [
            u32::from_ne_bytes([message[0], message[1], 0, 0]),
            rest.to_be(),
        ],
    };
    // The other way round than in what is quoted.
    take_words(ctx, ETHERNET + 48 + 8, &mut summed.destination)?;
    if by_router {
        summed.source = setting!(router_v6).quarters();
    } else {
        take_words(ctx, ETHERNET + 48 + 24, &mut summed.source)?;
    }
    // SAFETY: the helper reads the 48 bytes of `summed`, none of which is padding.
    let sum = fold(unsafe {
        bpf_csum_diff(
            core::ptr::null_mut(),
            0,
            (&raw mut summed).cast(),
            size_of::<Summed>() as u32,
            body,
        )
    });
    summed.head[0] = u32::from_ne_bytes([message[0], message[1], sum[0], sum[1]]);
    turn_ethernet(packet::at_mut(ctx, 0)?);
    let place: &mut [[u32; 4]; 3] = packet::at_mut(ctx, ETHERNET)?;
    let next = u32::from_ne_bytes([length[0], length[1], ICMPV6, 64]);
    let [[a, b, c, d], [e, f, g, h]] = [summed.source, summed.destination];
    let [i, j] = summed.head;
    let version = u32::from_ne_bytes([0x60, 0, 0, 0]);
    // SAFETY: both are 48 bytes.
    unsafe {
        core::ptr::write_unaligned(place, [[version, next, a, b], [c, d, e, f], [g, h, i, j]]);
    }
    Some(back(ctx))
}
