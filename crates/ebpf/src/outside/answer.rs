//! Answers on their way back to the client, and errors about what it has sent.

use super::{
    ERROR, FOR_CLIENT, FOUND, NOT_FOUND,
    connect::touch,
    error,
    leave::leave,
    recognise::{ends_of, look},
    rewrite::{BACK_AGAIN, FORTH, rewrite},
};
use crate::{
    Verdict, flow,
    forward::{self, Way},
    identity::HOST,
    judge::to_result,
    maps::{Scratch, TRANSLATIONS, scratch},
    packet::{self, ETHERNET, LATER, Packet, Quick, TCP, UDP, WHOLE},
};
use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
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

/// As above, for a packet of a pod or of the node whose flow is known.
#[inline(always)]
pub fn answer_known(
    ctx: &TcContext,
    ethertype: u16,
    quick: &Quick,
) -> Result<Option<Verdict>, Drop> {
    let Some(scratch) = scratch() else {
        return Ok(None);
    };
    note(quick, scratch);
    answer(ctx, ethertype)
}

/// As above, for one that was judged just now.
#[inline(always)]
pub fn answer_judged(ctx: &TcContext, ethertype: u16) -> Result<Option<Verdict>, Drop> {
    let Some(scratch) = scratch() else {
        return Ok(None);
    };
    let packet = &scratch.packet;
    if packet.is_icmp_error() {
        return match error::find(ctx.skb.skb, u32::from(ethertype)) {
            FOR_CLIENT => tell_client(ctx, ethertype).map(Some),
            _ => Ok(None),
        };
    }
    let is_of_flow = packet.protocol == TCP || packet.protocol == UDP;
    if !is_of_flow || scratch.flow.state & flow_state::TRANSLATED == 0 {
        return Ok(None);
    }
    let size = if packet.source.is_v4() { 20 } else { 40 };
    if packet.fragment != WHOLE || packet.transport != size {
        scratch.is_read = 1;
        return Err(Drop::Untranslatable);
    }
    scratch.ends = ends_of_packet(packet);
    scratch.tcp_flags = u32::from(packet.tcp_flags);
    scratch.headers = u32::from(packet.headers);
    answer(ctx, ethertype)
}

/// Sends the error about a client's packet that was found just now to the client.
#[inline(always)]
pub fn tell_client(ctx: &TcContext, ethertype: u16) -> Result<Verdict, Drop> {
    to_result(error::translate(ctx.skb.skb, u32::from(ethertype)))?;
    to_result(error::say_as_service(ctx.skb.skb, u32::from(ethertype)))?;
    let Scratch {
        packet, headers, ..
    } = scratch().ok_or(Drop::Malformed)?;
    *headers = u32::from(packet.headers);
    send(ctx, ethertype)
}

/// Translates an answer of the node's own, which its stack is sending to the client by an uplink.
#[inline(always)]
pub fn answer_of_node(ctx: &TcContext, ethertype: u16) -> Result<(), Drop> {
    let found = match packet::quick(ctx, ethertype, ETHERNET) {
        Some(quick) => {
            let scratch = scratch().ok_or(Drop::Malformed)?;
            note(&quick, scratch);
            find()
        }
        None => find_by_force(ctx.skb.skb, u32::from(ethertype)),
    };
    match found {
        FOUND => to_result(rewrite(ctx.skb.skb, u32::from(ethertype), FORTH)),
        NOT_FOUND => Ok(()),
        ERROR => match error::find(ctx.skb.skb, u32::from(ethertype)) {
            FOR_CLIENT => {
                to_result(error::translate(ctx.skb.skb, u32::from(ethertype)))?;
                to_result(error::say_as_service(ctx.skb.skb, u32::from(ethertype)))
            }
            _ => Ok(()),
        },
        reason => to_result(reason),
    }
}

/// The same for what was not read at once: headers that the kernel keeps elsewhere, and packets that can't be translated.
#[inline(never)]
fn find_by_force(skb: *mut __sk_buff, ethertype: u32) -> u32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return NOT_FOUND;
    };
    if let Some(quick) = look(&ctx, ethertype as u16) {
        note(&quick, scratch);
        return find();
    }
    let packet = &mut scratch.packet;
    if packet::read(&ctx, ethertype as u16, ETHERNET, packet, &mut scratch.bytes).is_err()
        || packet.fragment == LATER
    {
        return NOT_FOUND;
    }
    if packet.is_icmp_error() {
        return ERROR;
    }
    scratch.ends = ends_of_packet(packet);
    scratch.tcp_flags = 0;
    if find() != FOUND {
        return NOT_FOUND;
    }
    scratch.identities = [0; 2];
    scratch.endpoints = [0; 2];
    scratch.is_read = 1;
    Drop::Untranslatable as u32
}

#[inline(always)]
fn note(quick: &Quick, scratch: &mut Scratch) {
    scratch.ends = ends_of(quick);
    scratch.tcp_flags = u32::from(quick.tcp_flags);
    scratch.headers = quick.headers;
}

#[inline(always)]
fn ends_of_packet(packet: &Packet) -> Ends {
    Ends {
        source: packet.source,
        destination: packet.destination,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        protocol: packet.protocol,
        _pad: [0; 3],
    }
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
