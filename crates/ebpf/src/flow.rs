//! One table that is conntrack and cache in one: what was decided for a flow, for as long as nothing it rests on has changed.
//!
//! An entry serves both directions. Each of its sides remembers the counter of the endpoint or the address that it rests on;
//! whoever changes one of these raises the counter, and the next packet finds that the entry no longer holds and is judged anew.

use crate::{
    maps::{ENDPOINTS, EPOCHS, FLOWS},
    packet::{Quick, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN},
};
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use tombolo_abi::{
    Addr, EPOCH_OF_RANGES, EndpointEntry, Flow, FlowKey, Side, flow_state, place, ticks,
};

#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: the helper has no preconditions.
    (unsafe { bpf_ktime_get_coarse_ns() } >> ticks::SHIFT) as u32
}

/// The counter of an address; for what rests on a range, the counter of ranges is in it.
#[inline(always)]
pub fn epoch_of(shard: u32, range: u8) -> u32 {
    let own = EPOCHS.get(shard & 0xffff).copied().unwrap_or(0);
    if range == 0 {
        own
    } else {
        own.wrapping_add(EPOCHS.get(EPOCH_OF_RANGES).copied().unwrap_or(0))
    }
}

/// The endpoint of a local side, if nothing about it has changed since.
#[inline(always)]
pub fn endpoint(side: &Side) -> Option<&'static EndpointEntry> {
    let entry = ENDPOINTS.get(u32::from(side.index))?;
    if side.place == place::LOCAL && entry.epoch == side.epoch && entry.ifindex != 0 {
        Some(entry)
    } else {
        None
    }
}

/// True when the address of a side that is not local still is whose and where it was.
#[inline(always)]
pub fn is_current(side: &Side) -> bool {
    side.epoch == epoch_of(u32::from(side.shard), side.range)
}

/// True when what the side rests on has not changed.
#[inline(always)]
pub fn holds(side: &Side) -> bool {
    if side.place == place::LOCAL {
        endpoint(side).is_some()
    } else {
        is_current(side)
    }
}

/// A flow that the table knows, with the packet's source and destination sides.
pub struct Known {
    pub flow: *mut Flow,
    pub from: usize,
}

impl Known {
    #[inline(always)]
    pub fn source(&self) -> &Side {
        // SAFETY: a map element found in this run; entries of the table are never unmapped while a program runs.
        unsafe {
            if self.from == 0 {
                &(*self.flow).sides[0]
            } else {
                &(*self.flow).sides[1]
            }
        }
    }

    #[inline(always)]
    pub fn destination(&self) -> &Side {
        // SAFETY: as in `source`.
        unsafe {
            if self.from == 0 {
                &(*self.flow).sides[1]
            } else {
                &(*self.flow).sides[0]
            }
        }
    }

    #[inline(always)]
    pub fn source_port(&self) -> u16 {
        // SAFETY: as in `source`.
        unsafe { (*self.flow).source_port }
    }

    /// True if it was opened from outside for a service.
    #[inline(always)]
    pub fn is_translated(&self) -> bool {
        // SAFETY: as in `source`.
        unsafe { (*self.flow).state & flow_state::TRANSLATED != 0 }
    }

    /// Notes that a packet passed. Only now, after the sides were checked, may the entry change.
    #[inline(always)]
    pub fn touch(&self, tcp_flags: u8, now: u32) {
        // SAFETY: as in `source`; racing writers on other CPUs write the same kind of values, none of which is trusted for access.
        unsafe { touch(&mut *self.flow, self.from, tcp_flags, now) }
    }
}

/// Moves a flow's state and times on for a packet from one of its ends.
#[inline(always)]
pub fn touch(flow: &mut Flow, from: usize, tcp_flags: u8, now: u32) {
    if flow.last != now {
        flow.last = now;
    }
    if from != usize::from(flow.opener) && flow.state & flow_state::REPLIED == 0 {
        flow.state |= flow_state::REPLIED;
        flow.lifetime = lifetime(flow);
    }
    if tcp_flags & (TCP_FIN | TCP_RST) != 0 {
        if tcp_flags & TCP_RST != 0 {
            flow.state |= flow_state::RESET;
        } else {
            flow.state |= if from == 0 {
                flow_state::FIN_LOWER
            } else {
                flow_state::FIN_UPPER
            };
        }
        flow.lifetime = lifetime(flow);
    }
}

/// How long after its last packet a flow is remembered.
#[inline(always)]
pub fn lifetime(flow: &Flow) -> u32 {
    if flow.state & flow_state::TCP == 0 {
        ticks::OTHER
    } else if flow.state & flow_state::RESET != 0
        || flow.state & flow_state::FIN_BOTH == flow_state::FIN_BOTH
    {
        ticks::CLOSING
    } else if flow.state & flow_state::REPLIED != 0 {
        ticks::ESTABLISHED
    } else {
        ticks::SYN
    }
}

#[inline(always)]
pub fn is_expired(flow: &Flow, now: u32) -> bool {
    is_past(flow.last, flow.lifetime, now)
}

/// True when `then` lies more than `span` back. Another CPU's `then` may be a tick ahead of our `now`.
#[inline(always)]
pub fn is_past(then: u32, span: u32, now: u32) -> bool {
    now.wrapping_sub(then).cast_signed() > span.cast_signed()
}

/// True for a packet that asks for a new connection whatever the table says.
#[inline(always)]
pub fn opens(tcp_flags: u8) -> bool {
    tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
}

/// The one look-up. What it finds is not yet trusted: the caller checks both sides against where the packet came in.
#[inline(always)]
pub fn known(quick: &Quick, now: u32) -> Option<Known> {
    if opens(quick.tcp_flags) {
        return None;
    }
    let flow = find(&quick.key)?;
    // SAFETY: a map element found in this run.
    if is_expired(unsafe { &*flow }, now) {
        return None;
    }
    Some(Known {
        flow,
        from: quick.from,
    })
}

#[inline(always)]
pub fn find(key: &FlowKey) -> Option<*mut Flow> {
    FLOWS.get_ptr_mut(key)
}

/// An outer source port for a new flow, so that the underlay spreads flows over its paths.
#[inline(always)]
pub fn spread(source: Addr, destination: Addr, ports: u32) -> u16 {
    let mixed = source.words[1]
        ^ destination.words[1].rotate_left(17)
        ^ source.words[0]
        ^ destination.words[0].rotate_left(29);
    let hash = (mixed ^ u64::from(ports).rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0x8000 | (hash >> 49) as u16).to_be()
}
