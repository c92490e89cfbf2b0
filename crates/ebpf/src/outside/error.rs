//! ICMP errors about what was translated: to whom they are for they speak of what it has sent itself.
//!
//! Without them a backend would never hear that its answers are too big for a link behind the node, nor a client that its
//! packets are for a link before the backend, or that nobody listens there.

use super::{
    FOR_BACKEND, FOR_CLIENT, NOT_FOUND,
    rewrite::{OF_V6, PSEUDO_HEADER, done},
};
use crate::{
    flow,
    maps::{TRANSLATIONS, scratch},
    packet::{self, ETHERNET, ETHERTYPE_V4, TCP, UDP, V4},
};
use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{
        bpf_csum_diff, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_load_bytes,
        bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use tombolo_abi::{Addr, Drop, Ends, translation};

/// Sizes of the two network headers without options, one in the message and one in what is quoted.
const V4_SIZE: usize = 20;
const V6_SIZE: usize = 40;
/// Of the message's own header.
const ICMP_SIZE: usize = 8;
const QUOTED_V4: usize = ETHERNET + V4_SIZE + ICMP_SIZE;
const QUOTED_V6: usize = ETHERNET + V6_SIZE + ICMP_SIZE;
const CHECKSUM_V6: usize = ETHERNET + V6_SIZE + 2;

/// Finds the translation that what the error quotes has left by, and for whom the error is then: what is found is in the
/// scratch room, and beside it what was sent as the error quotes it, and as its sender knows it. The error was read just now.
#[inline(never)]
pub fn find(skb: *mut __sk_buff, ethertype: u32) -> u32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return NOT_FOUND;
    };
    let is_v4 = ethertype == u32::from(ETHERTYPE_V4);
    let size = if is_v4 { V4_SIZE } else { V6_SIZE };
    let ends = &mut scratch.ends;
    let is_read = if is_v4 {
        read_v4(&ctx, ends)
    } else {
        read_v6(&ctx, ends)
    };
    // The sender of what is quoted is whom the error is for, and nobody else.
    if usize::from(scratch.packet.transport) != size
        || is_read.is_none()
        || scratch.packet.destination != scratch.ends.source
    {
        return NOT_FOUND;
    }
    turn(&scratch.ends, &mut scratch.turned);
    let Some(found) = TRANSLATIONS.get_ptr(&scratch.turned) else {
        return NOT_FOUND;
    };
    // SAFETY: a map element found in this run.
    let found = unsafe { &*found };
    if flow::is_past(found.last, found.lifetime, flow::now()) {
        return NOT_FOUND;
    }
    scratch.translation = *found;
    turn(&scratch.translation.ends, &mut scratch.turned);
    if found.flags & translation::BACK != 0 {
        FOR_CLIENT
    } else {
        FOR_BACKEND
    }
}

/// In place, for want of room on the stack.
#[inline(always)]
fn turn(from: &Ends, to: &mut Ends) {
    to.source = from.destination;
    to.destination = from.source;
    to.source_port = from.destination_port;
    to.destination_port = from.source_port;
    to.protocol = from.protocol;
    to._pad = [0; 3];
}

#[inline(always)]
fn read_v4(ctx: &TcContext, ends: &mut Ends) -> Option<()> {
    let header: V4 = packet::copy(ctx, QUOTED_V4).ok()?;
    ends.source = Addr::from_v4(header.source);
    ends.destination = Addr::from_v4(header.destination);
    if header.version != 0x45 {
        return None;
    }
    read_ports(ctx, QUOTED_V4 + V4_SIZE, header.protocol, ends)
}

#[inline(always)]
fn read_v6(ctx: &TcContext, ends: &mut Ends) -> Option<()> {
    let next: u8 = packet::copy(ctx, QUOTED_V6 + 6).ok()?;
    // SAFETY: the addresses are the first 32 bytes of `Ends`, which the helper writes or fails.
    let failed = unsafe {
        let to = (&raw mut *ends).cast();
        bpf_skb_load_bytes(ctx.skb.skb.cast(), QUOTED_V6 as u32 + 8, to, 32)
    };
    done(failed)?;
    read_ports(ctx, QUOTED_V6 + V6_SIZE, next, ends)
}

#[inline(always)]
fn read_ports(ctx: &TcContext, at: usize, protocol: u8, ends: &mut Ends) -> Option<()> {
    let [source, destination]: [u16; 2] = packet::copy(ctx, at).ok()?;
    ends.source_port = source;
    ends.destination_port = destination;
    ends.protocol = protocol;
    ends._pad = [0; 3];
    (protocol == TCP || protocol == UDP).then_some(())
}

/// Makes the error one about what was sent. A step of its own, for the stack's sake.
#[inline(never)]
pub fn translate(skb: *mut __sk_buff, ethertype: u32) -> u32 {
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    let rewritten = if ethertype == u32::from(ETHERTYPE_V4) {
        rewrite_v4(skb, &scratch.ends, &scratch.turned)
    } else {
        rewrite_v6(skb, &scratch.ends, &scratch.turned)
    };
    match rewritten {
        Some(()) => 0,
        None => Drop::Malformed as u32,
    }
}

/// Has the service say it: a client knows nobody behind that, and there may be no way from there to it.
#[inline(never)]
pub fn say_as_service(skb: *mut __sk_buff, ethertype: u32) -> u32 {
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    let (old, new) = (&scratch.packet.source, &scratch.turned.destination);
    let rewritten = if ethertype == u32::from(ETHERTYPE_V4) {
        rename_v4(skb, old, new)
    } else {
        rename_v6(skb, old, new)
    };
    match rewritten {
        Some(()) => 0,
        None => Drop::Malformed as u32,
    }
}

#[inline(always)]
fn rename_v4(skb: *mut __sk_buff, old: &Addr, new: &Addr) -> Option<()> {
    let (mut old, mut new) = (old.v4(), new.v4());
    // SAFETY: helpers on this program's own context, with pointers to what lives until they return, of the sizes that are said.
    unsafe {
        let sum = bpf_csum_diff(&raw mut old, 4, &raw mut new, 4, 0) as u64;
        done(bpf_l3_csum_replace(skb, ETHERNET as u32 + 10, 0, sum, 0))?;
        done(store(skb, ETHERNET + 12, (&raw const new).cast(), 4))
    }
}

#[inline(always)]
fn rename_v6(skb: *mut __sk_buff, old: &Addr, new: &Addr) -> Option<()> {
    let new = (&raw const *new).cast::<u32>().cast_mut();
    // SAFETY: as above; the helpers only read the addresses, of sixteen bytes each.
    unsafe {
        let old = (&raw const *old).cast::<u32>().cast_mut();
        let sum = bpf_csum_diff(old, 16, new, 16, 0) as u64;
        done(sum_v6(skb, sum))?;
        done(store(skb, ETHERNET + 8, new.cast(), 16))
    }
}

/// Takes a change of the addresses into the checksum of the message.
///
/// # Safety
///
/// As of the helper: the context is this program's own.
#[inline(always)]
unsafe fn sum_v6(skb: *mut __sk_buff, change: u64) -> i64 {
    let at = CHECKSUM_V6 as u32;
    // SAFETY: as the caller says.
    unsafe {
        match bpf_l4_csum_replace(skb, at, 0, change, PSEUDO_HEADER | OF_V6) {
            0 => 0,
            _ => bpf_l4_csum_replace(skb, at, 0, change, PSEUDO_HEADER),
        }
    }
}

/// The checksums of both network headers make up for their addresses, so the message's own is left with the ports.
#[inline(always)]
fn rewrite_v4(skb: *mut __sk_buff, from: &Ends, to: &Ends) -> Option<()> {
    let mut old = [from.source.v4(), from.destination.v4()];
    let mut new = [to.source.v4(), to.destination.v4()];
    // SAFETY: helpers on this program's own context, with pointers to what lives until they return, of the sizes that are said.
    unsafe {
        let target = bpf_csum_diff(old.as_mut_ptr(), 4, new.as_mut_ptr(), 4, 0) as u64;
        done(bpf_l3_csum_replace(skb, ETHERNET as u32 + 10, 0, target, 0))?;
        done(store(skb, ETHERNET + 16, new.as_ptr().cast(), 4))?;
        let both = bpf_csum_diff(old.as_mut_ptr(), 8, new.as_mut_ptr(), 8, 0) as u64;
        done(bpf_l3_csum_replace(skb, QUOTED_V4 as u32 + 10, 0, both, 0))?;
        done(store(skb, QUOTED_V4 + 12, new.as_ptr().cast(), 8))?;
    }
    rewrite_ports(skb, ETHERNET + V4_SIZE + 2, QUOTED_V4 + V4_SIZE, from, to)
}

#[inline(always)]
fn rewrite_v6(skb: *mut __sk_buff, from: &Ends, to: &Ends) -> Option<()> {
    // The addresses are the first 32 bytes of `Ends`, the source before the destination.
    let (old, new) = (
        (&raw const *from).cast::<u32>().cast_mut(),
        (&raw const *to).cast::<u32>().cast_mut(),
    );
    // SAFETY: as above; the helpers only read them.
    unsafe {
        let target = bpf_csum_diff(old, 16, new, 16, 0) as u64;
        done(sum_v6(skb, target))?;
        done(store(skb, ETHERNET + 24, new.cast(), 16))?;
        let both = bpf_csum_diff(old, 32, new, 32, 0) as u64;
        done(bpf_l4_csum_replace(skb, CHECKSUM_V6 as u32, 0, both, 0))?;
        done(store(skb, QUOTED_V6 + 8, new.cast(), 32))?;
    }
    rewrite_ports(skb, CHECKSUM_V6, QUOTED_V6 + V6_SIZE, from, to)
}

#[inline(always)]
fn rewrite_ports(
    skb: *mut __sk_buff,
    checksum: usize,
    at: usize,
    from: &Ends,
    to: &Ends,
) -> Option<()> {
    let ports = |ends: &Ends| u32::from(ends.source_port) | u32::from(ends.destination_port) << 16;
    let (old, new) = (ports(from), ports(to));
    // SAFETY: as above.
    unsafe {
        done(bpf_l4_csum_replace(
            skb,
            checksum as u32,
            u64::from(old),
            u64::from(new),
            4,
        ))?;
        done(store(skb, at, (&raw const new).cast(), 4))
    }
}

/// # Safety
///
/// As of the helper: the context is this program's own, and `from` has so many bytes.
#[inline(always)]
unsafe fn store(skb: *mut __sk_buff, at: usize, from: *const core::ffi::c_void, size: u32) -> i64 {
    // SAFETY: as the caller says.
    unsafe { bpf_skb_store_bytes(skb.cast(), at as u32, from, size, 0) }
}
