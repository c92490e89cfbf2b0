//! Ends of a packet written anew, with all checksums. The packet has a common shape: no options, no extension headers.

use crate::{
    maps::scratch,
    packet::{ETHERNET, ETHERTYPE_V4, UDP},
};
use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_csum_diff, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_store_bytes},
};
use tombolo_abi::{Drop, Ends};

/// From what the packet was to what it becomes, and the other way.
pub const FORTH: u32 = 0;
pub const BACK_AGAIN: u32 = 1;

pub const PSEUDO_HEADER: u64 = 16;
/// A checksum of zero says that there is none.
const MANGLED_ZERO: u64 = 32;
/// No checksum of the header makes up for what the sum of the whole packet has lost. Kernels before 6.16 don't know of it.
pub const OF_V6: u64 = 128;

#[inline(never)]
pub fn rewrite(skb: *mut __sk_buff, ethertype: u32, direction: u32) -> u32 {
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    let (from, to) = if direction == FORTH {
        (&scratch.ends, &scratch.translation.ends)
    } else {
        (&scratch.translation.ends, &scratch.ends)
    };
    let done = if ethertype == u32::from(ETHERTYPE_V4) {
        rewrite_v4(skb, from, to)
    } else {
        rewrite_v6(skb, from, to)
    };
    match done {
        Some(()) => 0,
        None => Drop::Malformed as u32,
    }
}

#[inline(always)]
pub fn done(code: i64) -> Option<()> {
    (code == 0).then_some(())
}

#[inline(always)]
fn rewrite_v4(skb: *mut __sk_buff, from: &Ends, to: &Ends) -> Option<()> {
    let mut old = [from.source.v4(), from.destination.v4()];
    let mut new = [to.source.v4(), to.destination.v4()];
    // SAFETY: helpers on this program's own context, with pointers to what lives until they return, of the sizes that are said.
    unsafe {
        let sum = bpf_csum_diff(old.as_mut_ptr(), 8, new.as_mut_ptr(), 8, 0) as u64;
        done(bpf_l3_csum_replace(skb, ETHERNET as u32 + 10, 0, sum, 0))?;
        rewrite_transport(skb, ETHERNET as u32 + 20, from, to, sum, 0)?;
        done(bpf_skb_store_bytes(
            skb.cast(),
            ETHERNET as u32 + 12,
            new.as_ptr().cast(),
            8,
            0,
        ))
    }
}

#[inline(always)]
fn rewrite_v6(skb: *mut __sk_buff, from: &Ends, to: &Ends) -> Option<()> {
    // Both addresses at once: they lie next to each other here as they do there.
    let (old, new) = (
        (&raw const *from).cast::<u32>().cast_mut(),
        (&raw const *to).cast::<u32>().cast_mut(),
    );
    // SAFETY: as above; the addresses are the first 32 bytes of `Ends`, and the helpers only read them.
    unsafe {
        let sum = bpf_csum_diff(old, 32, new, 32, 0) as u64;
        rewrite_transport(skb, ETHERNET as u32 + 40, from, to, sum, OF_V6)?;
        done(bpf_skb_store_bytes(
            skb.cast(),
            ETHERNET as u32 + 8,
            new.cast(),
            32,
            0,
        ))
    }
}

/// `sum` is what the addresses have changed by.
#[inline(always)]
fn rewrite_transport(
    skb: *mut __sk_buff,
    at: u32,
    from: &Ends,
    to: &Ends,
    sum: u64,
    family: u64,
) -> Option<()> {
    let (checksum, zero) = if from.protocol == UDP {
        (at + 6, MANGLED_ZERO)
    } else {
        (at + 16, 0)
    };
    let ports = |ends: &Ends| u32::from(ends.source_port) | u32::from(ends.destination_port) << 16;
    let new = ports(to);
    // SAFETY: as above.
    unsafe {
        let flags = PSEUDO_HEADER | zero;
        if bpf_l4_csum_replace(skb, checksum, 0, sum, flags | family) != 0 {
            done(bpf_l4_csum_replace(skb, checksum, 0, sum, flags))?;
        }
        let old = u64::from(ports(from));
        done(bpf_l4_csum_replace(
            skb,
            checksum,
            old,
            u64::from(new),
            zero | 4,
        ))?;
        done(bpf_skb_store_bytes(
            skb.cast(),
            at,
            (&raw const new).cast(),
            4,
            0,
        ))
    }
}
