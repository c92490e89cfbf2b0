//! A place for the answers of a new connection, by which they find back.

use crate::{
    flow,
    judge::place_of,
    maps::{FLOWS, Scratch, TRANSLATIONS, scratch, setting},
    packet::{self, TCP},
    service,
};
use aya_ebpf::{
    bindings::{
        __sk_buff, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2,
    },
    helpers::{bpf_sk_release, bpf_skc_lookup_tcp},
};
use tombolo_abi::{Addr, Drop, Ends, LENT_PORTS, LENT_PORTS_FIRST, flow_state, place, translation};

/// How often a port is drawn before it is taken that there is none.
const DRAWS: u32 = 16;
/// Only where there is no entry yet.
pub const NO_EXIST: u64 = 1;
/// `BPF_F_CURRENT_NETNS`.
const OWN_NETNS: u64 = u64::MAX;
/// `TCP_LISTEN` and `TCP_TIME_WAIT`.
const LISTENS: u32 = 10;
const HAS_ENDED: u32 = 6;

/// Sees to it that answers find back to the connection that was led just now, and remembers it. A step of its own, for the
/// stack's sake, as that before it, which `is_taken` is from.
#[inline(never)]
pub fn reserve(is_taken: u32) -> u32 {
    let Some(scratch) = scratch() else {
        return Drop::Malformed as u32;
    };
    let done = find_place(scratch, is_taken != 0).and_then(|()| {
        TRANSLATIONS
            .insert(&scratch.ends, &scratch.translation, 0)
            .map_err(|_| Drop::FlowTableFull)
    });
    match done {
        Ok(()) => 0,
        Err(reason) => reason as u32,
    }
}

/// It needs the node's own address if the backend is on another node, and another port if the client's is taken: by one of the
/// node's, or by a connection that the client has to this backend already, by another frontend or by none.
#[inline(always)]
fn find_place(scratch: &mut Scratch, is_taken: bool) -> Result<(), Drop> {
    let backend = scratch.translation.ends.destination;
    let place = place_of(backend);
    match place {
        place::REMOTE => {
            scratch.translation.flags |= translation::LENT;
            scratch.twin.flags |= translation::LENT;
            scratch.translation.ends.source = if backend.is_v4() {
                setting!(router_v4)
            } else {
                setting!(router_v6)
            };
        }
        place::NOWHERE => return Err(Drop::NobodyThere),
        place::LOCAL | place::HOST => {
            if place == place::HOST && !answers_by_uplink(backend) {
                return Err(Drop::BackendNotInMesh);
            }
            if !is_taken && claim(scratch) {
                return Ok(());
            }
        }
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
        if !is_in_use(&scratch.translation.ends, is_own) && claim(scratch) {
            return Ok(());
        }
    }
    Err(Drop::PortsExhausted)
}

/// Answers from the node's other addresses are not looked at where they leave.
#[inline(always)]
fn answers_by_uplink(addr: Addr) -> bool {
    addr == setting!(node_v4) || addr == setting!(node_v6)
}

/// Whether the connection is led to a process of the node to which the client has one already, by itself: to the stack both would
/// be the same. Of datagrams nothing is known.
#[inline(never)]
pub fn has_socket(skb: *mut __sk_buff) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let ends = &scratch.translation.ends;
    if ends.protocol != TCP || !answers_by_uplink(ends.destination) {
        return 0;
    }
    // SAFETY: plain integers, for which zero is a value; a union's fields are of the family whose size is told. The socket is
    // let go of, and not used after.
    unsafe {
        let mut tuple: bpf_sock_tuple = core::mem::zeroed();
        let size = if ends.destination.is_v4() {
            tuple.__bindgen_anon_1.ipv4 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: ends.source.v4(),
                daddr: ends.destination.v4(),
                sport: ends.source_port,
                dport: ends.destination_port,
            };
            size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>()
        } else {
            tuple.__bindgen_anon_1.ipv6 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 {
                saddr: ends.source.quarters(),
                daddr: ends.destination.quarters(),
                sport: ends.source_port,
                dport: ends.destination_port,
            };
            size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2>()
        };
        let socket = bpf_skc_lookup_tcp(skb.cast(), &raw mut tuple, size as u32, OWN_NETNS, 0);
        if socket.is_null() {
            return 0;
        }
        let state = core::ptr::read_volatile(&raw const (*socket).state);
        bpf_sk_release(socket.cast());
        u32::from(state != LISTENS && state != HAS_ENDED)
    }
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
fn claim(scratch: &mut Scratch) -> bool {
    scratch.turned = scratch.translation.ends.turned();
    let key = &scratch.turned;
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
