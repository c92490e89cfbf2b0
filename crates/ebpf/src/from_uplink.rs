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
struct Vxlan {
    _source_port: u16,
    port: u16,
    _length: u16,
    _checksum: u16,
    flags: u32,
    vni: u32,
}

const VNI_IS_VALID: u32 = 0x0800_0000u32.to_be();
/// Where the inner network header begins.
const INNER_V4: usize = 64;
const INNER_V6: usize = 84;

#[inline(always)]
pub fn run(ctx: &TcContext) -> Result<Verdict, Drop> {
    // SAFETY: a plain read of a context field.
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    if ethertype == ETHERTYPE_V4 {
        let Some(header) = packet::at::<V4>(ctx, ETHERNET) else {
            return Ok(Verdict::Pass);
        };
        let (to, peer, tos) = (
            Addr::from_v4(header.destination),
            Addr::from_v4(header.source),
            header.tos,
        );
        if to == setting!(node_v4) {
            if header.protocol == UDP
                && header.version == 0x45
                && header.fragment & 0xbfffu16.to_be() == 0
            {
                return tunnel::<{ ETHERNET + 20 }, INNER_V4>(ctx, peer, tos);
            }
            if header.protocol == ICMP {
                path_mtu::learn(ctx, ethertype);
            }
            return Ok(Verdict::Pass);
        }
        let [network, mask] = setting!(pods_v4);
        return if is_within(to, network, mask) {
            plain(ctx, ethertype)
        } else {
            Ok(Verdict::Pass)
        };
    }
    if ethertype == ETHERTYPE_V6 {
        let Some(header) = packet::at::<V6>(ctx, ETHERNET) else {
            return Ok(Verdict::Pass);
        };
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
                return tunnel::<{ ETHERNET + 40 }, INNER_V6>(ctx, peer, tos);
            }
            if header.next == ICMPV6 {
                path_mtu::learn(ctx, ethertype);
            }
            return Ok(Verdict::Pass);
        }
        let [network, mask] = setting!(pods_v6);
        return if is_within(to, network, mask) {
            plain(ctx, ethertype)
        } else {
            Ok(Verdict::Pass)
        };
    }
    Ok(Verdict::Pass)
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
) -> Result<Verdict, Drop> {
    let Some(header) = packet::at::<Vxlan>(ctx, UDP_AT) else {
        return Ok(Verdict::Pass);
    };
    if header.port != VXLAN_PORT.to_be() || header.flags & VNI_IS_VALID == 0 {
        return Ok(Verdict::Pass);
    }
    let outer = Outer {
        vni: u32::from_be(header.vni) >> 8,
        peer,
    };
    let Some(inner) = packet::at::<u16>(ctx, INNER - 2) else {
        return Ok(Verdict::Pass);
    };
    let inner = *inner;
    if must_go_by_device(ctx, inner, INNER) {
        count(counter::FALLBACK_RECEIVED, ctx.len());
        return Ok(Verdict::Pass);
    }
    let way = find::<INNER>(ctx, inner, &outer)?;
    if way.place != place::LOCAL {
        // For the node itself: the kernel's own device unwraps it.
        return Ok(Verdict::Pass);
    }
    encap::carry_congestion(ctx, tos, inner, INNER);
    encap::strip(
        ctx,
        if INNER == INNER_V4 {
            OVERHEAD_V4
        } else {
            OVERHEAD_V6
        },
        inner,
    )?;
    forward::deliver(
        ctx,
        ENDPOINTS
            .get(u32::from(way.index))
            .ok_or(Drop::EndpointGone)?,
        inner,
    )
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

#[inline(always)]
fn find<const INNER: usize>(ctx: &TcContext, inner: u16, outer: &Outer) -> Result<Way, Drop> {
    if let Some(quick) = packet::quick(ctx, inner, INNER) {
        let now = flow::now();
        if let Some(known) = flow::known(&quick, now) {
            if let Some(way) = way_of(&known, outer, quick.headers) {
                known.touch(quick.tcp_flags, now);
                return Ok(way);
            }
        }
    }
    let mut way = Way::default();
    judge::judge(
        ctx,
        &Arrival::tunnel(SeenAt::Uplink, inner, INNER, outer),
        &mut way,
    )?;
    Ok(way)
}

/// The way that the table knows, if the packet comes from the very node and identity that the flow is of.
#[inline(always)]
pub fn way_of(known: &Known, outer: &Outer, headers: u32) -> Option<Way> {
    let (source, destination) = (known.source(), known.destination());
    if source.place != place::REMOTE || source.identity != outer.vni || !flow::is_current(source) {
        return None;
    }
    let node = NODES.get(u32::from(source.index))?;
    if node.flags & node_flag::VALID == 0 || node.address != outer.peer {
        return None;
    }
    inward(known, headers)
        .filter(|way| way.place == place::LOCAL || destination.place == place::HOST)
}

#[inline(always)]
fn inward(known: &Known, headers: u32) -> Option<Way> {
    let destination = known.destination();
    if !flow::holds(destination) {
        return None;
    }
    let identity = known.source().identity;
    Some(Way {
        identity,
        headers,
        index: destination.index,
        source_port: 0,
        place: destination.place,
        _pad: [0; 3],
    })
}

/// A packet to one of this node's pods without a tunnel: native routing, or the world.
#[inline(always)]
fn plain(ctx: &TcContext, ethertype: u16) -> Result<Verdict, Drop> {
    let way = find_plain(ctx, ethertype)?;
    if way.place != place::LOCAL {
        return Ok(Verdict::Pass);
    }
    forward::deliver(
        ctx,
        ENDPOINTS
            .get(u32::from(way.index))
            .ok_or(Drop::EndpointGone)?,
        ethertype,
    )
}

#[inline(always)]
fn find_plain(ctx: &TcContext, ethertype: u16) -> Result<Way, Drop> {
    if let Some(quick) = packet::quick(ctx, ethertype, ETHERNET) {
        let now = flow::now();
        if let Some(known) = flow::known(&quick, now) {
            if let Some(way) = plain_way_of(&known, quick.headers) {
                known.touch(quick.tcp_flags, now);
                return Ok(way);
            }
        }
    }
    let mut way = Way::default();
    judge::judge(ctx, &Arrival::plain(SeenAt::Uplink, ethertype), &mut way)?;
    Ok(way)
}

#[inline(always)]
fn plain_way_of(known: &Known, headers: u32) -> Option<Way> {
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
