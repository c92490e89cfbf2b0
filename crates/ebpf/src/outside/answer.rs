//! Answers on their way back to the client.

use super::{
    FOUND, NOT_FOUND,
    connect::touch,
    leave::leave,
    recognise::ends_of,
    rewrite::{BACK_AGAIN, FORTH, rewrite},
};
use crate::{
    Verdict, flow,
    forward::{self, Way},
    identity::HOST,
    judge::to_result,
    maps::{Scratch, TRANSLATIONS, scratch},
    packet::{Quick, TCP, UDP, WHOLE},
};
use aya_ebpf::programs::TcContext;
use tombolo_abi::{Drop, Ends, flow_state, place, translation};

/// Sends the answer whose ends are in the scratch room to the client. Nothing if it answers nobody outside.
#[inline(always)]
pub fn answer(ctx: &TcContext, ethertype: u16) -> Result<Option<Verdict>, Drop> {
    if find() != FOUND {
        return Ok(None);
    }
    to_result(rewrite(ctx.skb.skb, u32::from(ethertype), FORTH))?;
    let sent = send(ctx, ethertype);
    if matches!(sent, Err(Drop::TooBig | Drop::HopLimit)) {
        // Whoever has sent it is told, in words that it knows.
        to_result(rewrite(ctx.skb.skb, u32::from(ethertype), BACK_AGAIN))?;
    }
    sent.map(Some)
}

/// As above, for a packet of a pod whose flow is known.
#[inline(always)]
pub fn answer_of_pod(
    ctx: &TcContext,
    ethertype: u16,
    quick: &Quick,
) -> Result<Option<Verdict>, Drop> {
    let Some(scratch) = scratch() else {
        return Ok(None);
    };
    scratch.ends = ends_of(quick);
    scratch.tcp_flags = u32::from(quick.tcp_flags);
    scratch.headers = quick.headers;
    answer(ctx, ethertype)
}

/// As above, for a packet of a pod that was judged just now.
#[inline(always)]
pub fn answer_judged(ctx: &TcContext, ethertype: u16) -> Result<Option<Verdict>, Drop> {
    let Some(scratch) = scratch() else {
        return Ok(None);
    };
    let packet = &scratch.packet;
    let is_of_flow = packet.protocol == TCP || packet.protocol == UDP;
    if !is_of_flow || scratch.flow.state & flow_state::TRANSLATED == 0 {
        return Ok(None);
    }
    let size = if packet.source.is_v4() { 20 } else { 40 };
    if packet.fragment != WHOLE || packet.transport != size {
        scratch.is_read = 1;
        return Err(Drop::Untranslatable);
    }
    scratch.ends = Ends {
        source: packet.source,
        destination: packet.destination,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        protocol: packet.protocol,
        _pad: [0; 3],
    };
    scratch.tcp_flags = u32::from(packet.tcp_flags);
    scratch.headers = u32::from(packet.headers);
    answer(ctx, ethertype)
}

#[inline(never)]
fn find() -> u32 {
    let Some(scratch) = scratch() else {
        return NOT_FOUND;
    };
    let Some(found) = TRANSLATIONS.get_ptr_mut(&scratch.ends) else {
        return NOT_FOUND;
    };
    // SAFETY: a map element found in this run.
    let found = unsafe { &mut *found };
    if found.flags & translation::BACK == 0
        || flow::is_past(found.last, found.lifetime, flow::now())
    {
        return NOT_FOUND;
    }
    touch(found, scratch);
    FOUND
}

/// To the node that the client has asked from, or out into the world, where it came from.
#[inline(always)]
fn send(ctx: &TcContext, ethertype: u16) -> Result<Verdict, Drop> {
    let Scratch {
        translation,
        headers,
        ..
    } = scratch().ok_or(Drop::Malformed)?;
    let (client, ends) = (translation.client, translation.ends);
    if client.place != place::REMOTE {
        return leave(ctx, ethertype);
    }
    let ports = u32::from(ends.source_port) << 16 | u32::from(ends.destination_port);
    let way = Way {
        identity: HOST,
        headers: *headers,
        index: client.index,
        source_port: flow::spread(ends.source, ends.destination, ports),
        place: place::REMOTE,
        _pad: [0; 3],
    };
    forward::forward(ctx, ethertype, &way)
}
