//! Telling of connections and drops: counters always, events to whoever listens.

use crate::maps::{EVENTS, MONITOR, count, scratch};
use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::TcContext};
use tombolo_abi::{Drop, Event, counter, event_kind, monitor};

#[inline(always)]
fn wanted(bit: u32) -> bool {
    MONITOR.get(0).is_some_and(|mask| *mask & bit != 0)
}

/// Counts a drop and tells of it. What is told of the packet is what the slow path has read of it.
#[inline(always)]
pub fn dropped(ctx: &TcContext, reason: u32, seen_at: u32) {
    count(reason & 63, ctx.len());
    if reason != Drop::LinkLocal as u32 && wanted(monitor::DROPPED) {
        tell(ctx, event_kind::DROPPED, reason as u8, seen_at);
    }
}

#[inline(always)]
pub fn allowed(ctx: &TcContext, seen_at: u32) {
    if wanted(monitor::ALLOWED) {
        tell(ctx, event_kind::ALLOWED, 0, seen_at);
    }
}

#[inline(always)]
fn tell(ctx: &TcContext, kind: u8, reason: u8, seen_at: u32) {
    let Some(scratch) = scratch() else { return };
    let Some(mut entry) = EVENTS.reserve(0) else {
        count(counter::EVENTS_LOST, 0);
        return;
    };
    let packet = &scratch.packet;
    // SAFETY: a plain read of a context field; the helper has no preconditions.
    let (ifindex, time_ns) = unsafe { ((*ctx.skb.skb).ifindex, bpf_ktime_get_ns()) };
    entry.write(Event {
        time_ns,
        source: packet.source,
        destination: packet.destination,
        source_identity: scratch.identities[0],
        destination_identity: scratch.identities[1],
        bytes: ctx.len(),
        ifindex,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        source_endpoint: scratch.endpoints[0],
        destination_endpoint: scratch.endpoints[1],
        ethertype: packet.ethertype,
        protocol: packet.protocol,
        kind,
        reason,
        seen_at: seen_at as u8,
        _pad: [0; 2],
    });
    entry.submit(0);
}

const _: () = assert!(Drop::COUNT <= 64);
