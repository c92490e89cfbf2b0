//! Connections from outside: found again, or led to a backend.

use super::{FOUND, NOT_FOUND, recognise::frontend, reserve::NO_EXIST};
use crate::{
    flow,
    judge::{self, Arrival},
    maps::{Scratch, TRANSLATIONS, scratch},
    packet::{self, ETHERNET, TCP, TCP_FIN, TCP_RST},
    service,
};
use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use tombolo_abi::{
    Addr, BackendEntry, Drop, FrontendEntry, Translation, flow_state, ticks, translation,
};

/// How often at most each direction tells the other that it is alive.
const TELL: u32 = ticks::from_secs(1);

/// Finds the translation of the packet whose ends are in the scratch room, if it holds as it is.
#[inline(never)]
pub fn known(vouched: u32) -> u32 {
    let Some(scratch) = scratch() else {
        return NOT_FOUND;
    };
    let Some(found) = live(scratch) else {
        return NOT_FOUND;
    };
    // SAFETY: a map element found in this run.
    let translation = unsafe { &mut *found };
    let is_other = vouched != 0 && vouched != translation.client.identity;
    if is_other || !flow::is_current(&translation.client) || !keeps_backend(translation, scratch) {
        return NOT_FOUND;
    }
    touch(translation, scratch);
    FOUND
}

/// The translation of a connection that goes on, whoever asks and whatever its backend does.
#[inline(always)]
fn live(scratch: &Scratch) -> Option<*mut Translation> {
    let found = TRANSLATIONS.get_ptr_mut(&scratch.ends)?;
    // SAFETY: a map element found in this run.
    let translation = unsafe { &*found };
    let is_over = flow::is_past(translation.last, translation.lifetime, flow::now());
    let is_closed = translation.state & flow_state::RESET != 0
        || translation.state & flow_state::FIN_BOTH == flow_state::FIN_BOTH;
    let begins_again = is_closed && flow::opens(scratch.tcp_flags as u8);
    let is_of_answers = translation.flags & translation::BACK != 0;
    (!is_over && !begins_again && !is_of_answers).then_some(found)
}

/// A connection of TCP that stands can't go on elsewhere; anything else leaves a backend that is gone.
#[inline(always)]
fn keeps_backend(translation: &Translation, scratch: &Scratch) -> bool {
    if scratch.ends.protocol == TCP && !flow::opens(scratch.tcp_flags as u8) {
        return true;
    }
    service::backend(translation.backend, translation.pool).is_some_and(|entry| entry.lost == 0)
}

/// Moves a translation on, and leaves a copy in the scratch room.
#[inline(always)]
pub fn touch(translation: &mut Translation, scratch: &mut Scratch) {
    let flags = scratch.tcp_flags as u8;
    let is_back = translation.flags & translation::BACK != 0;
    let mut state = translation.state;
    if is_back || (translation.ends.protocol == TCP && !flow::opens(flags)) {
        state |= flow_state::REPLIED;
    }
    if flags & TCP_RST != 0 {
        state |= flow_state::RESET;
    } else if flags & TCP_FIN != 0 {
        state |= if is_back {
            flow_state::FIN_UPPER
        } else {
            flow_state::FIN_LOWER
        };
    }
    let now = flow::now();
    let is_told = state == translation.state && !flow::is_past(translation.last, TELL, now);
    if state != translation.state {
        translation.state = state;
        translation.lifetime = lifetime(state);
    }
    if !is_told {
        translation.last = now;
    }
    scratch.translation = *translation;
    if !is_told {
        tell_twin(scratch, now);
    }
}

/// The other direction's: it lives as long as this one, and comes again should it have been pushed out.
#[inline(always)]
fn tell_twin(scratch: &mut Scratch, now: u32) {
    scratch.turned = scratch.translation.ends.turned();
    if let Some(twin) = TRANSLATIONS.get_ptr_mut(&scratch.turned) {
        // SAFETY: a map element found in this run; racing writers write the same kind of values, none of which access depends on.
        unsafe {
            let state = (*twin).state | scratch.translation.state;
            (*twin).last = now;
            if state != (*twin).state {
                (*twin).state = state;
                (*twin).lifetime = lifetime(state);
            }
        }
        return;
    }
    make_twin(scratch);
    // Without room the answers wait for the next packet.
    let _ = TRANSLATIONS.insert(&scratch.turned, &scratch.twin, NO_EXIST);
}

#[inline(always)]
fn make_twin(scratch: &mut Scratch) {
    scratch.twin = scratch.translation;
    scratch.twin.ends = scratch.ends.turned();
    scratch.twin.flags ^= translation::BACK;
}

#[inline(always)]
fn lifetime(state: u8) -> u32 {
    if state & flow_state::TCP == 0 {
        ticks::OTHER
    } else if state & flow_state::RESET != 0 || state & flow_state::FIN_BOTH == flow_state::FIN_BOTH
    {
        ticks::CLOSING
    } else if state & flow_state::REPLIED != 0 {
        ticks::ESTABLISHED
    } else {
        ticks::SYN
    }
}

/// Finds out who asks, and whether that may be. The answer stands in the scratch room.
#[inline(never)]
pub fn vouch(skb: *mut __sk_buff, arrival: &Arrival) -> u32 {
    let ctx = TcContext::new(skb);
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    match who_asks(&ctx, arrival, scratch) {
        Ok(()) => 0,
        Err(reason) => reason as u32,
    }
}

#[inline(always)]
fn who_asks(ctx: &TcContext, arrival: &Arrival, scratch: &mut Scratch) -> Result<(), Drop> {
    judge::begin(scratch);
    packet::read(
        ctx,
        arrival.ethertype,
        ETHERNET,
        &mut scratch.packet,
        &mut scratch.bytes,
    )?;
    scratch.is_read = 1;
    scratch.twin.client = judge::source_of(ctx, arrival, &scratch.packet)?;
    scratch.identities[0] = scratch.twin.client.identity;
    Ok(())
}

/// Leads the packet whose ends and sender are in the scratch room to a backend: its connection's, or a new one, which answers
/// don't find back from yet.
#[inline(never)]
pub fn connect() -> u32 {
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    match lead(scratch) {
        Ok(said) => said,
        Err(reason) => reason as u32,
    }
}

#[inline(always)]
fn lead(scratch: &mut Scratch) -> Result<u32, Drop> {
    if let Some(found) = live(scratch) {
        // SAFETY: a map element found in this run.
        let translation = unsafe { &mut *found };
        if keeps_backend(translation, scratch) {
            translation.client = scratch.twin.client;
            touch(translation, scratch);
            make_twin(scratch);
            scratch.turned = scratch.translation.ends.turned();
            // Without room the answers wait for the next packet.
            let _ = TRANSLATIONS.insert(&scratch.turned, &scratch.twin, 0);
            return Ok(FOUND);
        }
    }
    let ends = &scratch.ends;
    let frontend =
        frontend(ends.destination, ends.destination_port, ends.protocol).ok_or(Drop::NoBackend)?;
    let (id, backend) = choose(&frontend, ends.source, scratch.picked).ok_or(Drop::NoBackend)?;
    let state = if ends.protocol == TCP {
        flow_state::TCP
    } else {
        0
    };
    // Field by field: the stack has no room for another one.
    let translation = &mut scratch.translation;
    translation.ends = scratch.ends;
    translation.ends.destination = backend.addr;
    translation.ends.destination_port = backend.port;
    translation.client = scratch.twin.client;
    translation.pool = frontend.outside();
    translation.backend = id;
    translation.last = flow::now();
    translation.lifetime = lifetime(state);
    translation.state = state;
    translation.flags = 0;
    translation._pad = [0; 6];
    make_twin(scratch);
    Ok(NOT_FOUND)
}

/// The backend that the client had last, if the service remembers; else the one that all nodes choose, or one that is drawn.
#[inline(always)]
fn choose(frontend: &FrontendEntry, client: Addr, picked: u32) -> Option<(u32, BackendEntry)> {
    let pool = frontend.outside();
    if frontend.affinity_s() == 0 {
        return service::choose(pool, picked);
    }
    // No cookie of a namespace has the highest bit.
    let mixed = client.words[0].rotate_left(31) ^ client.words[1];
    let client = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 63;
    service::choose_again(client, pool, frontend.affinity_s(), picked)
}
