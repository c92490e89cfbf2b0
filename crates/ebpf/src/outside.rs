//! Services for what comes to a node from outside: the second program at the uplinks and at the kernel's VXLAN device, which
//! sees what the first has left to the node's own stack; and the way back of answers.
//!
//! A packet for a frontend becomes one for a backend, chosen once for a connection (`connect`). Towards a pod of this node, or a
//! process of the node itself, it keeps its source; towards another node it gets the node's address among pods, so that answers
//! come back here, and still travels as the identity that asked. Then it is judged like any other packet. What is for no service
//! is not touched.

mod answer;
mod connect;
mod error;
mod leave;
mod pick;
mod recognise;
mod reserve;
mod rewrite;

pub use answer::{answer_judged, answer_known, answer_of_node};

use crate::{
    Verdict,
    flow::{self, Known},
    forward::{self, Way},
    from_host,
    from_uplink::{self, Outer},
    identity::{RESERVED_MAX, WORLD},
    judge::{self, Arrival, to_result},
    maps::{FLOWS, Scratch, scratch, setting},
    packet::{self, ETHERNET, Quick},
};
use aya_ebpf::programs::TcContext;
use rewrite::{BACK_AGAIN, FORTH};
use tombolo_abi::{Drop, SeenAt, Translation, flow_state, mark, place, translation};

/// What [`recognise`] says of a packet, when it is not the number of a reason to drop it.
const NOT_OURS: u32 = 1000;
const FOR_SERVICE: u32 = 1001;
const FOR_NODE: u32 = 1002;
const ERROR: u32 = 1004;
/// What steps say that have found what they looked for, or not.
const FOUND: u32 = 0;
const NOT_FOUND: u32 = 1003;
/// Whom an error is for that speaks of what was translated.
const FOR_CLIENT: u32 = 1005;
const FOR_BACKEND: u32 = 1006;

/// `pkt_type` of a packet that the link brought here for another machine.
const OTHERHOST: u32 = 3;

/// `outer` is of a packet that came by a tunnel.
#[inline(always)]
pub fn run(ctx: &TcContext, outer: Option<&Outer>) -> Result<Verdict, Drop> {
    // SAFETY: plain reads of context fields.
    let (ethertype, kind) = unsafe { ((*ctx.skb.skb).protocol as u16, (*ctx.skb.skb).pkt_type) };
    if kind == OTHERHOST {
        return Ok(Verdict::PASS);
    }
    match recognise::recognise(ctx.skb.skb, u32::from(ethertype)) {
        FOR_SERVICE => serve(ctx, ethertype, outer),
        FOR_NODE => Ok(answer::answer(ctx, ethertype)?.unwrap_or(Verdict::PASS)),
        ERROR => match error::find(ctx.skb.skb, u32::from(ethertype)) {
            FOR_BACKEND if outer.is_none() => tell_backend(ctx, ethertype),
            FOR_CLIENT => answer::tell_client(ctx, ethertype),
            _ => Ok(Verdict::PASS),
        },
        NOT_OURS => Ok(Verdict::PASS),
        reason => Err(to_result(reason).err().unwrap_or(Drop::Malformed)),
    }
}

#[inline(always)]
fn serve(ctx: &TcContext, ethertype: u16, outer: Option<&Outer>) -> Result<Verdict, Drop> {
    let arrival = match outer {
        Some(outer) => Arrival::tunnel(SeenAt::Overlay, ethertype, ETHERNET, outer),
        None => Arrival::plain(SeenAt::Uplink, ethertype),
    };
    let arrival = Arrival {
        for_service: 1,
        ..arrival
    };
    let vouched = outer.map_or(0, |outer| outer.vni);
    if connect::known(vouched) != FOUND {
        to_result(connect::vouch(ctx.skb.skb, &arrival))?;
        pick::pick();
        match connect::connect() {
            FOUND => {}
            NOT_FOUND => to_result(reserve::reserve(reserve::has_socket(ctx.skb.skb)))?,
            reason => return Err(to_result(reason).err().unwrap_or(Drop::Malformed)),
        }
    }
    to_result(rewrite::rewrite(ctx.skb.skb, u32::from(ethertype), FORTH))?;
    let sent = send(ctx, ethertype, arrival);
    if matches!(sent, Err(Drop::TooBig | Drop::HopLimit)) {
        // The client is told, in words that it knows.
        to_result(rewrite::rewrite(
            ctx.skb.skb,
            u32::from(ethertype),
            BACK_AGAIN,
        ))?;
    }
    sent
}

/// Sends the packet that the client's has become.
#[inline(always)]
fn send(ctx: &TcContext, ethertype: u16, mut arrival: Arrival) -> Result<Verdict, Drop> {
    let Scratch {
        translation,
        tcp_flags,
        headers,
        is_read,
        ..
    } = scratch().ok_or(Drop::Malformed)?;
    *is_read = 0;
    let is_lent = translation.flags & translation::LENT != 0;
    if is_lent {
        // As if the node's own stack had sent it in the name of the client.
        ctx.set_mark(mark::with_identity(claimable(translation.client.identity)));
        arrival = Arrival::plain(SeenAt::Host, ethertype);
    }
    let quick = quick_of(translation, *tcp_flags as u8, *headers);
    let now = flow::now();
    let mut way = Way::default();
    let mut is_known = false;
    if let Some(known) = flow::known(&quick, now) {
        let found = if is_lent {
            from_host::way_of(ctx, &known, quick.headers)
        } else {
            inward_way_of(&known, &arrival, quick.headers)
        };
        if let Some(found) = found {
            known.touch(quick.tcp_flags, now);
            // SAFETY: a map element found in this run.
            unsafe { (*known.flow).state |= flow_state::TRANSLATED };
            way = found;
            is_known = true;
        }
    }
    if !is_known {
        judge::judge(ctx, &arrival, &mut way)?;
        note_translated();
    }
    match way.place {
        // Whoever came in by a tunnel is marked already.
        place::HOST if !is_lent => Ok(Verdict::PASS),
        place::LOCAL | place::REMOTE => forward::forward(ctx, ethertype, &way),
        _ => Err(Drop::BackendNotInMesh),
    }
}

/// Tells a backend of an error that speaks of one of its answers.
#[inline(always)]
fn tell_backend(ctx: &TcContext, ethertype: u16) -> Result<Verdict, Drop> {
    to_result(error::translate(ctx.skb.skb, u32::from(ethertype)))?;
    let Scratch { translation, .. } = scratch().ok_or(Drop::Malformed)?;
    let is_lent = translation.flags & translation::LENT != 0;
    let identity = claimable(translation.client.identity);
    let seen_at = if is_lent {
        SeenAt::Host
    } else {
        SeenAt::Uplink
    };
    let mut way = Way::default();
    judge::judge(ctx, &Arrival::plain(seen_at, ethertype), &mut way)?;
    if way.place == place::HOST {
        return Ok(Verdict::PASS);
    }
    // To the other node it comes from whom the flow is of.
    way.identity = identity;
    forward::forward(ctx, ethertype, &way)
}

#[inline(always)]
fn quick_of(translation: &Translation, tcp_flags: u8, headers: u32) -> Quick {
    let ends = &translation.ends;
    let (key, from) = packet::key_of(
        ends.source,
        ends.destination,
        ends.source_port,
        ends.destination_port,
        ends.protocol,
    );
    Quick {
        key,
        from,
        tcp_flags,
        headers,
    }
}

#[inline(always)]
fn inward_way_of(known: &Known, arrival: &Arrival, headers: u32) -> Option<Way> {
    if arrival.tunnel == 0 {
        return from_uplink::plain_way_of(known, headers);
    }
    let outer = Outer {
        vni: arrival.vni,
        peer: arrival.peer,
    };
    from_uplink::way_of(known, &outer, headers)
}

/// Marks the flow that was judged just now as one whose answers are translated.
#[inline(always)]
fn note_translated() {
    let Some(scratch) = scratch() else { return };
    if let Some(flow) = FLOWS.get_ptr_mut(&scratch.key) {
        // SAFETY: a map element found in this run.
        unsafe { (*flow).state |= flow_state::TRANSLATED };
    }
}

/// Who asks, as other nodes believe it of this one: nobody else's cluster's identity is ours to claim.
#[inline(always)]
fn claimable(identity: u32) -> u32 {
    if identity <= RESERVED_MAX || identity >> (setting!(identity_shift) & 31) == setting!(cluster)
    {
        identity
    } else {
        WORLD
    }
}
