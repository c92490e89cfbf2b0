//! The slow path: who speaks to whom, from where to where, and may they. What it decides is remembered in the flow table.
//!
//! The same code serves a miss, a flow that something has changed under, the fallback device and the kernel's test-run call.

mod side;

pub use side::{place_of, source_of};

use crate::{
    event, flow,
    forward::{self, Way},
    fragment,
    from_uplink::Outer,
    icmp,
    identity::WORLD,
    maps::{FLOWS, Scratch, count, scratch},
    packet::{self, ICMP, ICMPV6, KIND_ECHO_REPLY, KIND_ECHO_REQUEST, Packet, TCP, WHOLE},
    policy,
};
use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use side::destination_of;
use tombolo_abi::{Addr, Drop, FlowKey, SeenAt, Side, counter, direction, flow_state, place};

/// Where a packet came in, and what vouches for its source.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Arrival {
    /// Of the sending node, when the packet came by a tunnel.
    pub peer: Addr,
    pub vni: u32,
    pub seen_at: u32,
    pub l3: u32,
    pub ethertype: u16,
    pub tunnel: u8,
    /// The packet is for a service that is open to the world.
    pub for_service: u8,
}

impl Arrival {
    #[inline(always)]
    pub fn plain(seen_at: SeenAt, ethertype: u16) -> Arrival {
        let peer = Addr { words: [0; 2] };
        Arrival {
            peer,
            vni: 0,
            seen_at: seen_at as u32,
            l3: packet::ETHERNET as u32,
            ethertype,
            tunnel: 0,
            for_service: 0,
        }
    }

    #[inline(always)]
    pub fn tunnel(seen_at: SeenAt, ethertype: u16, l3: usize, outer: &Outer) -> Arrival {
        Arrival {
            peer: outer.peer,
            vni: outer.vni,
            seen_at: seen_at as u32,
            l3: l3 as u32,
            ethertype,
            tunnel: 1,
            for_service: 0,
        }
    }
}

/// What [`examine`] returns for an ICMP error, which has another way to go.
const IS_ICMP_ERROR: u32 = 255;

/// Finds the way of a packet that the flow table had no answer for. In steps, one after the other, since all together would need
/// more stack than the kernel gives; what they tell each other is in the scratch room.
#[inline(always)]
pub fn judge(ctx: &TcContext, arrival: &Arrival, way: &mut Way) -> Result<(), Drop> {
    // Reasons travel as integers, since the verifier follows no enum through a call.
    match examine(ctx.skb.skb, arrival, way) {
        0 => {}
        IS_ICMP_ERROR => return to_result(icmp::relate(ctx.skb.skb, arrival, way)),
        reason => return to_result(reason),
    }
    to_result(locate(ctx.skb.skb, arrival, way))?;
    to_result(conclude(ctx.skb.skb, arrival.seen_at, way))
}

#[inline(always)]
pub fn to_result(code: u32) -> Result<(), Drop> {
    if code == 0 {
        Ok(())
    } else {
        Err(by_number(code))
    }
}

#[inline(always)]
fn by_number(reason: u32) -> Drop {
    if reason == 0 || reason >= Drop::COUNT as u32 {
        return Drop::Malformed;
    }
    // SAFETY: `Drop` is `repr(u32)` and names every number from 1 to COUNT - 1.
    unsafe { core::mem::transmute::<u32, Drop>(reason) }
}

/// What the packet says of itself.
#[inline(never)]
fn examine(skb: *mut __sk_buff, arrival: &Arrival, way: &mut Way) -> u32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    match read(&ctx, arrival, scratch) {
        Ok(()) => {}
        Err(reason) => return reason as u32,
    }
    way.headers = u32::from(scratch.packet.headers);
    if scratch.packet.is_icmp_error() {
        IS_ICMP_ERROR
    } else {
        0
    }
}

/// Who speaks to whom, and where both are.
#[inline(never)]
fn locate(skb: *mut __sk_buff, arrival: &Arrival, way: &mut Way) -> u32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    match find_sides(&ctx, arrival, way, scratch) {
        Ok(()) => 0,
        Err(reason) => reason as u32,
    }
}

/// May they: asks policy, remembers the flow, and tells of it.
#[inline(never)]
fn conclude(skb: *mut __sk_buff, seen_at: u32, way: &mut Way) -> u32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    if let Err(reason) = settle(scratch) {
        return reason as u32;
    }
    way.source_port = scratch.flow.source_port;
    event::allowed(&ctx, seen_at);
    scratch.is_read = 0;
    0
}

/// Sees to it that an event does not tell of an earlier packet.
#[inline(always)]
pub fn forget_unless_read() {
    let Some(scratch) = scratch() else { return };
    if scratch.is_read == 0 {
        begin(scratch);
    }
    scratch.is_read = 0;
}

/// Reads the packet for an event, without judging it.
#[inline(always)]
pub fn look_again(ctx: &TcContext) {
    let Some(scratch) = scratch() else { return };
    begin(scratch);
    // SAFETY: a plain read of a context field.
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    let _ = packet::read(
        ctx,
        ethertype,
        packet::ETHERNET,
        &mut scratch.packet,
        &mut scratch.bytes,
    );
}

/// Forgets the packet before.
#[inline(always)]
pub fn begin(scratch: &mut Scratch) {
    scratch.identities = [0; 2];
    scratch.endpoints = [0; 2];
    scratch.packet.source = Addr { words: [0; 2] };
    scratch.packet.destination = Addr { words: [0; 2] };
    scratch.packet.source_port = 0;
    scratch.packet.destination_port = 0;
    scratch.packet.ethertype = 0;
    scratch.packet.protocol = 0;
    scratch.is_read = 0;
}

#[inline(always)]
fn read(ctx: &TcContext, arrival: &Arrival, scratch: &mut Scratch) -> Result<(), Drop> {
    forward::count_slow(ctx);
    begin(scratch);
    scratch.is_read = 1;
    packet::read(
        ctx,
        arrival.ethertype,
        arrival.l3 as usize & 0x7f,
        &mut scratch.packet,
        &mut scratch.bytes,
    )?;
    if is_local_chatter(&scratch.packet) {
        return Err(Drop::LinkLocal);
    }
    if scratch.packet.fragment != WHOLE {
        fragment::resolve(&mut scratch.packet, &mut scratch.fragment)?;
    }
    Ok(())
}

#[inline(always)]
fn find_sides(
    ctx: &TcContext,
    arrival: &Arrival,
    way: &mut Way,
    scratch: &mut Scratch,
) -> Result<(), Drop> {
    let (key, from) = scratch.packet.key();
    scratch.key = key;
    let source = source_of(ctx, arrival, &scratch.packet)?;
    fragment::remember(&scratch.packet, &scratch.fragment);
    scratch.identities[0] = source.identity;
    scratch.endpoints[0] = if source.place == place::LOCAL {
        source.index
    } else {
        0
    };
    let destination = destination_of(arrival, scratch.packet.destination)?;
    scratch.identities[1] = destination.identity;
    scratch.endpoints[1] = if destination.place == place::LOCAL {
        destination.index
    } else {
        0
    };
    scratch.flow.sides = if from == 0 {
        [source, destination]
    } else {
        [destination, source]
    };
    scratch.from = from as u32;
    way.identity = source.identity;
    way.place = destination.place;
    way.index = destination.index;
    Ok(())
}

/// Asks policy of the flow's two sides, in the direction that the flow was opened in, and remembers the flow.
#[inline(always)]
fn settle(scratch: &mut Scratch) -> Result<(), Drop> {
    let from = scratch.from as usize & 1;
    let now = flow::now();
    let packet = &scratch.packet;
    let flow = &mut scratch.flow;
    flow.opener = from as u8;
    flow.state = if packet.protocol == TCP {
        flow_state::TCP
    } else {
        0
    };
    flow.created = now;
    flow.source_port = flow::spread(
        packet.source,
        packet.destination,
        u32::from(packet.source_port) << 16 | u32::from(packet.destination_port),
    );
    let mut is_known = false;
    if !flow::opens(packet.tcp_flags) {
        if let Some(old) = flow::find(&scratch.key) {
            // SAFETY: a map element found in this run.
            let old = unsafe { &*old };
            if !flow::is_expired(old, now) {
                // Something changed under it, or a packet came by another way: the flow as it was opened is judged again.
                is_known = true;
                flow.opener = old.opener & 1;
                flow.state = old.state;
                flow.created = old.created;
                flow.source_port = old.source_port;
                keep_world(&mut flow.sides[1 - from], &old.sides[1 - from]);
                count(counter::REJUDGED, 0);
            }
        }
    }
    let verdict = ask(&flow.sides, flow.opener, &scratch.key, packet);
    if let Err(reason) = verdict {
        if is_known {
            let _ = FLOWS.remove(&scratch.key);
        }
        return Err(reason);
    }
    flow.last = now;
    flow.lifetime = flow::lifetime(flow);
    flow::touch(flow, from, packet.tcp_flags, now);
    FLOWS
        .insert(&scratch.key, &scratch.flow, 0)
        .map_err(|_| Drop::FlowTableFull)
}

/// What a node sends in the world's name, from an address of its own, is not judged as the node's when it is answered.
#[inline(always)]
fn keep_world(side: &mut Side, old: &Side) {
    if old.identity == WORLD && old.place == place::REMOTE && side.place == place::REMOTE {
        side.identity = WORLD;
    }
}

#[inline(always)]
fn ask(sides: &[Side; 2], opener: u8, key: &FlowKey, packet: &Packet) -> Result<(), Drop> {
    let (from, to, port) = if opener == 0 {
        (&sides[0], &sides[1], key.upper_port)
    } else {
        (&sides[1], &sides[0], key.lower_port)
    };
    let port = match packet.protocol {
        ICMP | ICMPV6 => u16::from(message_type(packet)).to_be(),
        _ => port,
    };
    if from.place == place::LOCAL
        && !policy::allows(
            from.index,
            direction::EGRESS,
            to.identity,
            packet.protocol,
            port,
        )
    {
        return Err(Drop::EgressDenied);
    }
    if to.place == place::LOCAL
        && !policy::allows(
            to.index,
            direction::INGRESS,
            from.identity,
            packet.protocol,
            port,
        )
    {
        return Err(Drop::IngressDenied);
    }
    Ok(())
}

/// The ICMP type that opened the flow: an answer belongs to its request.
#[inline(always)]
fn message_type(packet: &Packet) -> u8 {
    match packet.kind {
        KIND_ECHO_REQUEST | KIND_ECHO_REPLY if packet.protocol == ICMP => 8,
        KIND_ECHO_REQUEST | KIND_ECHO_REPLY => 128,
        _ => packet.icmp_type,
    }
}

/// What concerns one link only and no pod network carries: multicast, link-local addresses, neighbour and router discovery.
#[inline(always)]
fn is_local_chatter(packet: &Packet) -> bool {
    let [source, destination] = [packet.source, packet.destination];
    if destination.is_v4() {
        let [a, b, ..] = destination.v4().to_ne_bytes();
        let first = source.v4() as u8;
        return a >= 224
            || a == 127
            || a == 0
            || (a == 169 && b == 254)
            || first == 0
            || first == 127
            || first >= 224;
    }
    let first = destination.words[0] as u16;
    let link_local = |words: [u64; 2]| words[0] as u16 & 0xc0ffu16 == 0x80feu16;
    first as u8 == 0xff
        || source.words[0] as u8 == 0xff
        || link_local(destination.words)
        || link_local(source.words)
        || (source.words[0] == 0 && source.words[1] & 0x00ff_ffff_ffff_ffff == 0)
        || (destination.words[0] == 0 && destination.words[1] & 0x00ff_ffff_ffff_ffff == 0)
        || (packet.protocol == ICMPV6
            && matches!(packet.icmp_type, 130..=137 | 143)
            && packet.fragment == WHOLE)
}
