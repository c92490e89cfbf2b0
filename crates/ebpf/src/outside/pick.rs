//! The backend that every node of the cluster leads a connection to.

use super::recognise::frontend;
use crate::{
    maps::{MAGLEV, Scratch, scratch},
    service::scaled,
};
use tombolo_abi::{flow_hash, maglev_place};

/// Leaves what it finds in the scratch room, for the packet whose ends are there. A step of its own, for the stack's sake.
#[inline(never)]
pub fn pick() -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    scratch.hash = flow_hash(0, &scratch.ends, false) as u32;
    scratch.picked = look_up(scratch).unwrap_or(0);
    scratch.picked
}

#[inline(always)]
fn look_up(scratch: &Scratch) -> Option<u32> {
    let ends = &scratch.ends;
    let frontend = frontend(ends.destination, ends.destination_port, ends.protocol)?;
    // SAFETY: an entry is replaced by a new one and never changed in place.
    let table = unsafe { MAGLEV.get(&frontend.outside())? };
    let head = table.get(0)?;
    let hash = flow_hash(head.seed(), ends, frontend.affinity_s() != 0);
    let (page, at) = maglev_place(scaled((hash >> 32) as u32, head.size()));
    table.get(page)?.words.get(at).copied()
}
