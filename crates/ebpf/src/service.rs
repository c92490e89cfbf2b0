//! Services at the socket: where a socket connects or sends to a frontend, it is led to a backend, once, and no packet is
//! ever rewritten.
//!
//! What the socket's user asks for later, who its peer is and who has sent, is answered with the frontend. Unlike at the
//! devices, these programs are interrupted by one another: they share no scratch, and all they keep is on the stack.

use crate::maps::{
    BACKENDS, CLIENTS, FRONTENDS, NAME_SOCKETS, POOLS, SLOTS, SOCKET_BACKENDS, SOCKET_FRONTENDS,
    setting,
};
use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr},
    helpers::{
        bpf_get_netns_cookie, bpf_get_prandom_u32, bpf_get_socket_cookie, bpf_ktime_get_ns,
        bpf_map_lookup_elem, bpf_set_retval, bpf_sk_release,
    },
    programs::SockAddrContext,
};
use tombolo_abi::{
    Addr, BackendEntry, ClientEntry, ClientKey, FrontendEntry, FrontendKey, SlotKey,
    SocketFrontend, SocketKey, name_socket,
};

const REFUSE: i32 = 0;
const GO_ON: i32 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const CONNECTION_REFUSED: i32 = 111;
/// A slot is drawn, and taken with the odds of its weight to the greatest one; the last draw is taken as it is.
const DRAWS: u32 = 64;

/// No backend has this number.
const NOBODY: u32 = 0;

/// The address and port that a program was called with.
#[derive(Clone, Copy)]
pub struct Peer {
    pub addr: Addr,
    pub port: u16,
}

/// Where the peer stands in a context, by the family of the socket.
pub trait Family {
    fn read(ctx: *mut bpf_sock_addr) -> Addr;
    fn write(ctx: *mut bpf_sock_addr, addr: Addr);
}

pub struct V4;
pub struct V6;

impl Family for V4 {
    #[inline(always)]
    fn read(ctx: *mut bpf_sock_addr) -> Addr {
        // SAFETY: the kernel's own context; volatile keeps the access whole, as the verifier wants it.
        Addr::from_v4(unsafe { core::ptr::read_volatile(&raw const (*ctx).user_ip4) })
    }

    #[inline(always)]
    fn write(ctx: *mut bpf_sock_addr, addr: Addr) {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(&raw mut (*ctx).user_ip4, addr.v4()) };
    }
}

impl Family for V6 {
    #[inline(always)]
    fn read(ctx: *mut bpf_sock_addr) -> Addr {
        // SAFETY: as above.
        let word =
            |index: usize| unsafe { core::ptr::read_volatile(&raw const (*ctx).user_ip6[index]) };
        Addr::from_quarters([word(0), word(1), word(2), word(3)])
    }

    #[inline(always)]
    fn write(ctx: *mut bpf_sock_addr, addr: Addr) {
        for (index, word) in addr.quarters().into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { core::ptr::write_volatile(&raw mut (*ctx).user_ip6[index], word) };
        }
    }
}

#[inline(always)]
fn peer<F: Family>(ctx: *mut bpf_sock_addr) -> Peer {
    // SAFETY: as above.
    let port = unsafe { core::ptr::read_volatile(&raw const (*ctx).user_port) };
    Peer {
        addr: F::read(ctx),
        port: port as u16,
    }
}

#[inline(always)]
fn set_peer<F: Family>(ctx: *mut bpf_sock_addr, peer: Peer) {
    F::write(ctx, peer.addr);
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(&raw mut (*ctx).user_port, u32::from(peer.port)) };
}

#[inline(always)]
fn protocol(ctx: *mut bpf_sock_addr) -> Option<u8> {
    // SAFETY: as above.
    match unsafe { core::ptr::read_volatile(&raw const (*ctx).protocol) } {
        6 => Some(TCP),
        17 => Some(UDP),
        _ => None,
    }
}

#[inline(always)]
fn socket_key(ctx: *mut bpf_sock_addr, peer: Peer, protocol: u8) -> SocketKey {
    SocketKey {
        // SAFETY: the helper takes this context.
        cookie: unsafe { bpf_get_socket_cookie(ctx.cast()) },
        addr: peer.addr,
        port: peer.port,
        protocol,
        _pad: [0; 5],
    }
}

/// The socket is about to have one peer: a backend is chosen anew.
#[inline(always)]
pub fn connect<F: Family>(ctx: &SockAddrContext) -> i32 {
    let ctx = ctx.sock_addr;
    let Some(protocol) = protocol(ctx) else {
        return GO_ON;
    };
    let asked = peer::<F>(ctx);
    let Some(frontend) = frontend(asked, protocol) else {
        return GO_ON;
    };
    if is_barred(ctx, &frontend) {
        return refuse();
    }
    if let Some(agent) = agent_for(frontend, asked, protocol) {
        return lead::<F>(ctx, asked, agent, protocol);
    }
    match choose_for(ctx, frontend) {
        Some((_, backend)) => lead::<F>(ctx, asked, place(&backend), protocol),
        None => refuse(),
    }
}

/// A datagram of a socket that has no peer: the socket stays with the backend that it had, while that is there.
#[inline(always)]
pub fn sendmsg<F: Family>(ctx: &SockAddrContext) -> i32 {
    let ctx = ctx.sock_addr;
    let asked = peer::<F>(ctx);
    let Some(frontend) = frontend(asked, UDP) else {
        return GO_ON;
    };
    if is_barred(ctx, &frontend) {
        return refuse();
    }
    if let Some(agent) = agent_for(frontend, asked, UDP) {
        return lead::<F>(ctx, asked, agent, UDP);
    }
    let key = socket_key(ctx, asked, UDP);
    // SAFETY: a copy of the value; it is a whole word.
    if let Some(id) = unsafe { SOCKET_BACKENDS.get(key).copied() }
        && let Some(backend) = backend(id, frontend.pool)
        && backend.lost == 0
    {
        return lead::<F>(ctx, asked, place(&backend), UDP);
    }
    match choose_for(ctx, frontend) {
        Some((id, backend)) => {
            // Without room the next datagram may go to another backend.
            let _ = SOCKET_BACKENDS.insert(key, id, 0);
            lead::<F>(ctx, asked, place(&backend), UDP)
        }
        None => refuse(),
    }
}

/// Who has sent, or who the peer is: the frontend, where the socket was led to the backend from there.
#[inline(always)]
pub fn name_frontend<F: Family>(ctx: &SockAddrContext) -> i32 {
    let ctx = ctx.sock_addr;
    if let Some(protocol) = protocol(ctx) {
        let key = socket_key(ctx, peer::<F>(ctx), protocol);
        // SAFETY: copied at once; an entry is written whole before it is found.
        if let Some(frontend) = unsafe { SOCKET_FRONTENDS.get(key).copied() } {
            let SocketFrontend { addr, port, .. } = frontend;
            set_peer::<F>(ctx, Peer { addr, port });
        }
    }
    GO_ON
}

#[inline(always)]
pub fn frontend(peer: Peer, protocol: u8) -> Option<FrontendEntry> {
    let key = FrontendKey {
        addr: peer.addr,
        port: peer.port,
        protocol,
        _pad: [0; 5],
    };
    // SAFETY: an entry never changes in place but by a new one.
    unsafe { FRONTENDS.get(key).copied() }
}

/// Whether a load balancer's address is not for whoever calls: a pod, or the node itself.
#[inline(always)]
fn is_barred(ctx: *mut bpf_sock_addr, frontend: &FrontendEntry) -> bool {
    if !frontend.bars_pods() && !frontend.bars_node() {
        return false;
    }
    // SAFETY: the helper takes this context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.cast()) };
    if netns == setting!(netns) {
        frontend.bars_node()
    } else {
        frontend.bars_pods()
    }
}

/// A backend may have become another pool's since its number was read.
#[inline(always)]
pub fn backend(id: u32, pool: u32) -> Option<BackendEntry> {
    // SAFETY: an entry never changes in place but by a new one.
    let entry = unsafe { BACKENDS.get(id).copied()? };
    (entry.pool == pool).then_some(entry)
}

#[inline(always)]
fn choose_for(ctx: *mut bpf_sock_addr, frontend: FrontendEntry) -> Option<(u32, BackendEntry)> {
    let FrontendEntry { pool, .. } = frontend;
    if frontend.affinity_s() == 0 {
        return choose(pool, NOBODY);
    }
    // SAFETY: the helper takes this context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.cast()) };
    choose_again(netns, pool, frontend.affinity_s(), NOBODY)
}

/// The backend that the client had last, if that is not too long ago and it still takes connections; else as
/// [`choose`] does.
#[inline(always)]
pub fn choose_again(
    client: u64,
    pool: u32,
    affinity_s: u32,
    picked: u32,
) -> Option<(u32, BackendEntry)> {
    let client = ClientKey {
        netns: client,
        pool,
        _pad: 0,
    };
    // SAFETY: takes nothing.
    let now_s = (unsafe { bpf_ktime_get_ns() } / 1_000_000_000) as u32;
    // SAFETY: copied at once; two halves of different times lead to a backend all the same, which is checked.
    let known = unsafe { CLIENTS.get(client).copied() };
    let known = known.filter(|known| now_s.wrapping_sub(known.seen_s) <= affinity_s);
    let again = known.and_then(|known| Some((known.backend, backend(known.backend, pool)?)));
    let (id, entry) = match again.filter(|(_, entry)| entry.weight > 0) {
        Some(again) => again,
        None => choose(pool, picked)?,
    };
    let seen = ClientEntry {
        backend: id,
        seen_s: now_s,
    };
    // Without room the client is led anywhere next time.
    let _ = CLIENTS.insert(client, seen, 0);
    Some((id, entry))
}

/// The one that was picked, if it takes connections; else one that is drawn.
#[inline(always)]
pub fn choose(pool: u32, picked: u32) -> Option<(u32, BackendEntry)> {
    if picked != NOBODY
        && let Some(entry) = backend(picked, pool)
        && entry.weight > 0
    {
        return Some((picked, entry));
    }
    for draw in 0..DRAWS {
        // Read anew each time: slots that have just been given up are beyond the new end.
        // SAFETY: an entry never changes in place but by a new one.
        let entry = unsafe { POOLS.get(pool).copied()? };
        if entry.slots == 0 {
            return None;
        }
        let key = SlotKey {
            pool,
            index: scaled(random(), entry.slots),
        };
        // SAFETY: as above.
        let Some(slot) = (unsafe { SLOTS.get(key).copied() }) else {
            continue;
        };
        let is_taken = scaled(random(), entry.weight_max) < slot.weight;
        if !is_taken && draw + 1 < DRAWS {
            continue;
        }
        if let Some(found) = backend(slot.backend, pool) {
            return Some((slot.backend, found));
        }
    }
    None
}

#[inline(always)]
pub fn random() -> u32 {
    // SAFETY: takes nothing.
    unsafe { bpf_get_prandom_u32() }
}

/// A number below `limit`, from one of 32 bits.
#[inline(always)]
pub fn scaled(number: u32, limit: u32) -> u32 {
    ((u64::from(number) * u64::from(limit)) >> 32) as u32
}

#[inline(always)]
fn place(backend: &BackendEntry) -> Peer {
    Peer {
        addr: backend.addr,
        port: backend.port,
    }
}

/// Where the agent answers questions for names, if this is where they are asked and it runs: its socket is in the map from when
/// the agent has put it there until the kernel closes it.
#[inline(always)]
fn agent_for(frontend: FrontendEntry, asked: Peer, protocol: u8) -> Option<Peer> {
    if !frontend.agent_answers() {
        return None;
    }
    let index = name_socket(asked.addr.is_v4(), protocol == TCP);
    let map = (&raw const NAME_SOCKETS).cast_mut();
    // SAFETY: the map's key is a word; the socket is let go of below.
    let socket = unsafe { bpf_map_lookup_elem(map.cast(), (&raw const index).cast()) };
    let socket = socket.cast::<bpf_sock>();
    if socket.is_null() {
        return None;
    }
    // All are read, whichever counts: offsets into sockets must not depend on anything.
    // SAFETY: the socket is held; volatile keeps each access whole and apart, as the verifier wants it.
    let [v4, a, b, c, d] = unsafe {
        [
            core::ptr::read_volatile(&raw const (*socket).src_ip4),
            core::ptr::read_volatile(&raw const (*socket).src_ip6[0]),
            core::ptr::read_volatile(&raw const (*socket).src_ip6[1]),
            core::ptr::read_volatile(&raw const (*socket).src_ip6[2]),
            core::ptr::read_volatile(&raw const (*socket).src_ip6[3]),
        ]
    };
    let addr = if asked.addr.is_v4() {
        Addr::from_v4(v4)
    } else {
        Addr::from_quarters([a, b, c, d])
    };
    // SAFETY: as above.
    let port = unsafe { core::ptr::read_volatile(&raw const (*socket).src_port) };
    // SAFETY: held since the look-up, and not used after.
    unsafe { bpf_sk_release(socket.cast()) };
    Some(Peer {
        addr,
        // In the host's order, of all ports that programs are given the only one.
        port: (port as u16).to_be(),
    })
}

#[inline(always)]
fn lead<F: Family>(ctx: *mut bpf_sock_addr, asked: Peer, peer: Peer, protocol: u8) -> i32 {
    let frontend = SocketFrontend {
        addr: asked.addr,
        port: asked.port,
        _pad: [0; 3],
    };
    // Without room the socket's user sees the backend.
    let _ = SOCKET_FRONTENDS.insert(socket_key(ctx, peer, protocol), frontend, 0);
    set_peer::<F>(ctx, peer);
    GO_ON
}

/// As if the port was closed, which is what clients know how to deal with.
#[inline(always)]
fn refuse() -> i32 {
    // SAFETY: takes a number.
    unsafe { bpf_set_retval(-CONNECTION_REFUSED) };
    REFUSE
}
