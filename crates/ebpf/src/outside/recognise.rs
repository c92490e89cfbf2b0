//! Is a packet for a service, or an answer for one of the node's addresses?

use super::{ERROR, FOR_NODE, FOR_SERVICE, NOT_OURS};
use crate::{
    maps::{SOURCES, Scratch, scratch, setting},
    packet::{self, ETHERNET, ETHERTYPE_V4, ETHERTYPE_V6, LATER, Quick, TCP, UDP, WHOLE},
    service::{self, Peer},
};
use aya_ebpf::{
    bindings::__sk_buff, btf_maps::lpm_trie::Key, helpers::bpf_skb_pull_data, programs::TcContext,
};
use tombolo_abi::{Addr, Drop, Ends, FrontendEntry, SOURCE_BITS, SourceKey};

/// Beyond all headers that are looked at.
const HEADERS_MAX: u32 = 128;

/// Leaves the packet's ends in the scratch room.
#[inline(never)]
pub fn recognise(skb: *mut __sk_buff, ethertype: u32) -> u32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return NOT_OURS;
    };
    match look(&ctx, ethertype as u16) {
        Some(quick) => by_ends(&quick, scratch),
        None => by_force(&ctx, ethertype as u16, scratch),
    }
}

#[inline(always)]
fn by_ends(quick: &Quick, scratch: &mut Scratch) -> u32 {
    if quick.key.protocol != TCP && quick.key.protocol != UDP {
        return NOT_OURS;
    }
    scratch.ends = ends_of(quick);
    scratch.tcp_flags = u32::from(quick.tcp_flags);
    scratch.headers = quick.headers;
    let ends = &scratch.ends;
    if let Some(entry) = frontend(ends.destination, ends.destination_port, ends.protocol) {
        if admits(&entry, ends.source) {
            FOR_SERVICE
        } else {
            Drop::SourceNotAdmitted as u32
        }
    } else if ends.destination == setting!(router_v4) || ends.destination == setting!(router_v6) {
        FOR_NODE
    } else {
        NOT_OURS
    }
}

/// The packet's ends, if it has a common shape.
#[inline(always)]
pub fn look(ctx: &TcContext, ethertype: u16) -> Option<Quick> {
    let linear = ctx.data_end().wrapping_sub(ctx.data()) as u32;
    if linear < HEADERS_MAX && linear < ctx.len() {
        // SAFETY: a helper on this program's own context; no reference into the packet lives.
        unsafe { bpf_skb_pull_data(ctx.skb.skb, ctx.len().min(HEADERS_MAX)) };
    }
    packet::quick(ctx, ethertype, ETHERNET)
}

#[inline(always)]
pub fn ends_of(quick: &Quick) -> Ends {
    let key = &quick.key;
    let ends = Ends {
        source: key.lower,
        destination: key.upper,
        source_port: key.lower_port,
        destination_port: key.upper_port,
        protocol: key.protocol,
        _pad: [0; 3],
    };
    if quick.from == 0 { ends } else { ends.turned() }
}

/// A packet without a common shape is none for a service, but may think that it is.
#[inline(always)]
fn by_force(ctx: &TcContext, ethertype: u16, scratch: &mut Scratch) -> u32 {
    if ethertype != ETHERTYPE_V4 && ethertype != ETHERTYPE_V6 {
        return NOT_OURS;
    }
    let packet = &mut scratch.packet;
    if packet::read(ctx, ethertype, ETHERNET, packet, &mut scratch.bytes).is_err()
        || packet.fragment == LATER
    {
        return NOT_OURS;
    }
    if packet.is_icmp_error() && packet.fragment == WHOLE {
        return ERROR;
    }
    if packet.protocol != TCP && packet.protocol != UDP {
        return NOT_OURS;
    }
    if frontend(packet.destination, packet.destination_port, packet.protocol).is_some() {
        scratch.identities = [0; 2];
        scratch.endpoints = [0; 2];
        scratch.is_read = 1;
        Drop::Untranslatable as u32
    } else {
        NOT_OURS
    }
}

/// Asked of each packet: who is shut out while connected is so at once.
#[inline(always)]
fn admits(entry: &FrontendEntry, client: Addr) -> bool {
    if entry.sources == 0 {
        return true;
    }
    let key = SourceKey {
        set: entry.sources,
        addr: client.quarters(),
    };
    SOURCES.get(&Key::new(SOURCE_BITS, key)).is_some()
}

/// The frontend of a service that is open to what comes from outside.
#[inline(always)]
pub fn frontend(addr: Addr, port: u16, protocol: u8) -> Option<FrontendEntry> {
    service::frontend(Peer { addr, port }, protocol).filter(|entry| entry.outside() != 0)
}
