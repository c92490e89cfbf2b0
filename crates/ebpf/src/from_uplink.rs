//! A packet comes in from the underlay: the ingress of the node's own devices.
//!
//! Tunnel packets of ours are unwrapped here, unless the kernel does it better; packets to this node's pods that come without a
//! tunnel are judged by their source address. Everything else is not touched.

use crate::{
    Verdict, encap,
    flow::{self, Known},
    forward::{self, Way},
    judge::{self, Arrival},
    maps::{ENDPOINTS, NODES, count, setting},
    packet::{self, ETHERNET, ETHERTYPE_V4, ETHERTYPE_V6, ICMP, ICMPV6, TCP, UDP, V4, V6},
    path_mtu,
};
use aya_ebpf::programs::TcContext;
use tombolo_abi::{
    Addr, Drop, OVERHEAD_V4, OVERHEAD_V6, SeenAt, VXLAN_PORT, counter, node_flag, place,
};

/// What a tunnel says of a packet.
#[derive(Clone, Copy)]
pub struct Outer {
    pub vni: u32,
    /// Who sent it, by its underlay address.
    pub peer: Addr,
}

/// UDP and VXLAN headers, as they lie in memory.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct Vxlan {
    _source_port: u16,
    port: u16,
    _length: u16,
    _checksum: u16,
    flags: u32,
    vni: u32,
}

impl Vxlan {
    #[inline(always)]
    pub fn is_ours(&self) -> bool {
        self.port == VXLAN_PORT.to_be() && self.flags & VNI_IS_VALID != 0
    }
}

/// A packet that concerns this node's pods.
struct Seen {
    arrival: Arrival,
    /// The outer traffic class.
    tos: u8,
    /// Whether the flow table had the answer.
    is_known: bool,
}

const VNI_IS_VALID: u32 = 0x0800_0000u32.to_be();
/// All of the fragment field but "don't fragment".
const FRAGMENT_BITS: u16 = 0xbfffu16.to_be();
/// Where the inner network header begins.
const INNER_V4: usize = 64;
const INNER_V6: usize = 84;

#[inline(always)]
pub fn run(ctx: &TcContext) -> Result<Verdict, Drop> {
    let mut way = Way::default();
    let Some(seen) = look(ctx, &mut way) else {
        return Ok(Verdict::PASS);
    };
    if !seen.is_known {
        judge::judge(ctx, &seen.arrival, &mut way)?;
    }
    if way.place != place::LOCAL {
        // For the node itself: of a tunnel packet, the kernel's own device takes the outer headers off.
        return Ok(Verdict::PASS);
    }
    let ethertype = seen.arrival.ethertype;
    if seen.arrival.l3 == INNER_V4 as u32 {
        encap::carry_congestion(ctx, seen.tos, ethertype, INNER_V4);
        encap::strip(ctx, OVERHEAD_V4, ethertype)?;
    } else if seen.arrival.l3 == INNER_V6 as u32 {
        encap::carry_congestion(ctx, seen.tos, ethertype, INNER_V6);
        encap::strip(ctx, OVERHEAD_V6, ethertype)?;
    }
    let endpoint = ENDPOINTS
        .get(u32::from(way.index))
        .ok_or(Drop::EndpointGone)?;
    forward::deliver(ctx, endpoint, ethertype)
}

/// Nothing when the packet is none of ours.
#[inline(always)]
fn look(ctx: &TcContext, way: &mut Way) -> Option<Seen> {
    // SAFETY: a plain read of a context field.
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    if ethertype == ETHERTYPE_V4 {
        let header: &V4 = packet::at(ctx, ETHERNET)?;
        let (to, peer, tos) = (
            Addr::from_v4(header.destination),
            Addr::from_v4(header.source),
            header.tos,
        );
        if to == setting!(node_v4) {
            if header.protocol == UDP
                && header.version == 0x45
                && header.fragment & FRAGMENT_BITS == 0
            {
                return tunnel::<{ ETHERNET + 20 }, INNER_V4>(ctx, peer, tos, way);
            }
            if header.protocol == ICMP {
                path_mtu::learn(ctx, ethertype);
            }
            return None;
        }
        let [network, mask] = setting!(pods_v4);
        return if is_within(to, network, mask) {
            Some(plain(ctx, ethertype, way))
        } else {
            None
        };
    }
    if ethertype == ETHERTYPE_V6 {
        let header: &V6 = packet::at(ctx, ETHERNET)?;
        let (to, peer) = (
            Addr {
                words: header.destination,
            },
            Addr {
                words: header.source,
            },
        );
        let tos = ((u32::from_be(header.version) >> 20) & 0xff) as u8;
        if to == setting!(node_v6) {
            if header.next == UDP {
                return tunnel::<{ ETHERNET + 40 }, INNER_V6>(ctx, peer, tos, way);
            }
            if header.next == ICMPV6 {
                path_mtu::learn(ctx, ethertype);
            }
            return None;
        }
        let [network, mask] = setting!(pods_v6);
        return if is_within(to, network, mask) {
            Some(plain(ctx, ethertype, way))
        } else {
            None
        };
    }
    None
}

/// An empty range has a mask of zeros and a network of ones, which nothing is within.
#[inline(always)]
fn is_within(address: Addr, network: Addr, mask: Addr) -> bool {
    address.words[0] & mask.words[0] == network.words[0]
        && address.words[1] & mask.words[1] == network.words[1]
}

#[inline(always)]
fn tunnel<const UDP_AT: usize, const INNER: usize>(
    ctx: &TcContext,
    peer: Addr,
    tos: u8,
    way: &mut Way,
) -> Option<Seen> {
    let header: &Vxlan = packet::at(ctx, UDP_AT)?;
    if !header.is_ours() {
        return None;
    }
    let outer = Outer {
        vni: u32::from_be(header.vni) >> 8,
        peer,
    };
    let inner: &u16 = packet::at(ctx, INNER - 2)?;
    let inner = *inner;
    if must_go_by_device(ctx, inner, INNER) {
        count(counter::FALLBACK_RECEIVED, ctx.len());
        return None;
    }
    let arrival = Arrival::tunnel(SeenAt::Uplink, inner, INNER, &outer);
    let mut seen = Seen {
        arrival,
        tos,
        is_known: false,
    };
    if let Some(quick) = packet::quick(ctx, inner, INNER) {
        let now = flow::now();
        if let Some(known) = flow::known(&quick, now) {
            if let Some(found) = way_of(&known, &outer, quick.headers) {
                known.touch(quick.tcp_flags, now);
                *way = found;
                seen.is_known = true;
            }
        }
    }
    Some(seen)
}

/// Large UDP packets keep tunnel state that only the kernel's own unwrapping takes away; without it the pod would lose them.
#[inline(always)]
fn must_go_by_device(ctx: &TcContext, inner: u16, l3: usize) -> bool {
    // SAFETY: a plain read of a context field.
    if unsafe { (*ctx.skb.skb).gso_size } == 0 {
        return false;
    }
    let protocol = if inner == ETHERTYPE_V4 {
        packet::at::<u8>(ctx, l3 + 9)
    } else {
        packet::at::<u8>(ctx, l3 + 6)
    };
    protocol.is_none_or(|protocol| *protocol != TCP)
}

/// The way that the table knows, if the packet comes from the very node and identity that the flow is of.
#[inline(always)]
pub fn way_of(known: &Known, outer: &Outer, headers: u32) -> Option<Way> {
    let source = known.source();
    if source.place != place::REMOTE || source.identity != outer.vni || !flow::is_current(source) {
        return None;
    }
    let node = NODES.get(u32::from(source.index))?;
    if node.flags & node_flag::VALID == 0 || node.address != outer.peer {
        return None;
    }
    inward(known, headers)
}

#[inline(always)]
fn inward(known: &Known, headers: u32) -> Option<Way> {
    let destination = known.destination();
    if !(destination.place == place::LOCAL || destination.place == place::HOST)
        || !flow::holds(destination)
    {
        return None;
    }
    Some(Way {
        identity: known.source().identity,
        headers,
        index: destination.index,
        source_port: 0,
        place: destination.place,
        _pad: [0; 3],
    })
}

/// A packet to one of this node's pods without a tunnel: native routing, or the world.
#[inline(always)]
fn plain(ctx: &TcContext, ethertype: u16, way: &mut Way) -> Seen {
    let arrival = Arrival::plain(SeenAt::Uplink, ethertype);
    let mut seen = Seen {
        arrival,
        tos: 0,
        is_known: false,
    };
    if let Some(quick) = packet::quick(ctx, ethertype, ETHERNET) {
        let now = flow::now();
        if let Some(known) = flow::known(&quick, now) {
            if let Some(found) = plain_way_of(&known, quick.headers) {
                known.touch(quick.tcp_flags, now);
                *way = found;
                seen.is_known = true;
            }
        }
    }
    seen
}

#[inline(always)]
pub fn plain_way_of(known: &Known, headers: u32) -> Option<Way> {
    let source = known.source();
    if !flow::is_current(source) {
        return None;
    }
    if source.place == place::REMOTE {
        let node = NODES.get(u32::from(source.index))?;
        if node.flags & (node_flag::VALID | node_flag::TUNNEL) != node_flag::VALID {
            return None;
        }
    } else if source.place != place::WORLD {
        return None;
    }
    inward(known, headers)
}
