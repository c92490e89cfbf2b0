//! A place for the answers of a new connection, by which they find back.

use crate::{
    flow,
    judge::place_of,
    maps::{FLOWS, Scratch, TRANSLATIONS, setting},
    packet, service,
};
use tombolo_abi::{
    BackendEntry, Drop, Ends, LENT_PORTS, LENT_PORTS_FIRST, flow_state, place, translation,
};

/// How often a port is drawn before it is taken that there is none.
const DRAWS: u32 = 16;
/// Only where there is no entry yet.
pub const NO_EXIST: u64 = 1;

/// Sees to it that answers find back, which needs the node's own address if the backend is on another node, and another port
/// if the client's is taken: by one of the node's, or by a connection that the client has to this backend already, by another
/// frontend.
#[inline(always)]
pub fn reserve(scratch: &mut Scratch, backend: &BackendEntry) -> Result<(), Drop> {
    match place_of(backend.addr) {
        place::LOCAL => {
            let key = scratch.translation.ends.turned();
            if claim(scratch, &key) {
                return Ok(());
            }
        }
        place::REMOTE => {
            scratch.translation.flags |= translation::LENT;
            scratch.twin.flags |= translation::LENT;
            scratch.translation.ends.source = if backend.addr.is_v4() {
                setting!(router_v4)
            } else {
                setting!(router_v6)
            };
        }
        place::NOWHERE => return Err(Drop::NobodyThere),
        _ => return Err(Drop::BackendNotInMesh),
    }
    for draw in 0..DRAWS {
        // The first is the connection's own: should its translation be lost, the backend knows it again.
        let is_own = draw == 0;
        let number = if is_own {
            scratch.hash
        } else {
            service::random()
        };
        let port = LENT_PORTS_FIRST + service::scaled(number, LENT_PORTS);
        scratch.translation.ends.source_port = (port as u16).to_be();
        let key = scratch.translation.ends.turned();
        if !is_in_use(&key, is_own) && claim(scratch, &key) {
            return Ok(());
        }
    }
    Err(Drop::PortsExhausted)
}

/// Whose the address is may speak from the port by itself. A flow that was translated does not count where it may be of the
/// very connection.
#[inline(always)]
fn is_in_use(ends: &Ends, may_be_own: bool) -> bool {
    let (key, _) = packet::key_of(
        ends.source,
        ends.destination,
        ends.source_port,
        ends.destination_port,
        ends.protocol,
    );
    let Some(flow) = FLOWS.get_ptr(&key) else {
        return false;
    };
    // SAFETY: a map element found in this run.
    let flow = unsafe { &*flow };
    let is_own = may_be_own && flow.state & flow_state::TRANSLATED != 0;
    !is_own && !flow::is_expired(flow, flow::now())
}

/// Takes the place of the answers' translation, unless another connection has it.
#[inline(always)]
fn claim(scratch: &Scratch, key: &Ends) -> bool {
    if let Some(found) = TRANSLATIONS.get_ptr(key) {
        // SAFETY: a map element found in this run.
        let found = unsafe { &*found };
        let is_ours = found.ends == scratch.twin.ends;
        if !is_ours && !flow::is_past(found.last, found.lifetime, flow::now()) {
            return false;
        }
        let _ = TRANSLATIONS.remove(key);
    }
    TRANSLATIONS.insert(key, &scratch.twin, NO_EXIST).is_ok()
}
