//! Sending a packet where the flow table or the judge said.

use crate::{
    Verdict, encap,
    identity::{HOST, REMOTE_NODE},
    maps::{ENDPOINTS, NODES, PATH_MTU, count, scratch, setting},
    packet::{self, DONT_FRAGMENT, ETHERNET, ETHERTYPE_V4, V4, V6},
};
use aya_ebpf::{helpers::bpf_redirect_peer, programs::TcContext};
use tombolo_abi::{
    Drop, EndpointEntry, GATEWAY_MAC, NodeEntry, OVERHEAD_V4, OVERHEAD_V6, counter, mark,
    node_flag, place, setting, ticks,
};

/// Packets up to this size fit every path that IPv6 allows, tunnel included.
const ALWAYS_FITS: u32 = LEAST_V6 - OVERHEAD_V6;

/// The packet size that every IPv6 path carries.
const LEAST_V6: u32 = 1280;

/// Where a packet goes, and what it carries there.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Way {
    /// Of the sender.
    pub identity: u32,
    /// End of the transport header, from the start of the network header.
    pub headers: u32,
    /// Endpoint or node.
    pub index: u16,
    /// Of the outer header, in network order.
    pub source_port: u16,
    pub place: u8,
    pub _pad: [u8; 3],
}

/// Sends a packet of a pod or of the host on its way.
#[inline(always)]
pub fn forward(ctx: &TcContext, ethertype: u16, way: &Way) -> Result<Verdict, Drop> {
    if way.place == place::LOCAL {
        return deliver(
            ctx,
            ENDPOINTS
                .get(u32::from(way.index))
                .ok_or(Drop::EndpointGone)?,
            ethertype,
        );
    }
    if way.place == place::REMOTE {
        return to_node(ctx, ethertype, way);
    }
    to_stack(ctx, way);
    Ok(Verdict::PASS)
}

/// Marks a packet that goes on through the node's own stack with who sent it.
#[inline(always)]
pub fn to_stack(ctx: &TcContext, way: &Way) {
    let mut bits = mark::with_identity(way.identity);
    if way.place == place::WORLD && setting!(flags) & setting::MASQUERADE != 0 {
        bits |= mark::MASQUERADE;
    }
    ctx.set_mark(bits);
}

/// Hands a packet that begins with an Ethernet header to a local pod.
#[inline(always)]
pub fn deliver(ctx: &TcContext, endpoint: &EndpointEntry, ethertype: u16) -> Result<Verdict, Drop> {
    if endpoint.ifindex == 0 {
        return Err(Drop::EndpointGone);
    }
    let ethernet: &mut [u8; ETHERNET] = packet::at_mut(ctx, 0).ok_or(Drop::Malformed)?;
    let [a, b, c, d, e, f] = endpoint.mac;
    let [g, h, i, j, k, l] = GATEWAY_MAC;
    let [m, n] = ethertype.to_ne_bytes();
    *ethernet = [a, b, c, d, e, f, g, h, i, j, k, l, m, n];
    // SAFETY: the helper has no preconditions.
    Ok(Verdict::redirect(unsafe {
        bpf_redirect_peer(endpoint.ifindex, 0)
    }))
}

#[inline(always)]
fn to_node(ctx: &TcContext, ethertype: u16, way: &Way) -> Result<Verdict, Drop> {
    let node = NODES
        .get(u32::from(way.index))
        .ok_or(Drop::NodeUnreachable)?;
    if node.flags & node_flag::VALID == 0 {
        return Err(Drop::NodeUnreachable);
    }
    // To other nodes, the host is one of the remote nodes.
    let way = &Way {
        identity: if way.identity == HOST {
            REMOTE_NODE
        } else {
            way.identity
        },
        ..*way
    };
    let size = segment_size(ctx, way.headers);
    let tunnel = node.flags & node_flag::TUNNEL != 0;
    if size > ALWAYS_FITS && size > limit(node, way.index) {
        // IPv6 never cuts on the way, and no IPv6 sender goes below its least packet: there the tunnel must.
        let least = ethertype != ETHERTYPE_V4 && tunnel && size <= LEAST_V6;
        if least || (ethertype == ETHERTYPE_V4 && may_be_cut(ctx)) {
            // The kernel cuts it: into outer fragments behind its tunnel device, or on its way through the stack.
            return if tunnel {
                pass_hop(ctx, ethertype)?;
                encap::send_by_device(ctx, node, way.identity)
            } else {
                to_node_by_stack(ctx, way)
            };
        }
        return Err(too_big(node, way.index));
    }
    pass_hop(ctx, ethertype)?;
    if tunnel {
        encap::send(ctx, node, ethertype, way.identity, way.source_port)
    } else {
        encap::send_native(ctx, node)
    }
}

#[inline(always)]
fn to_node_by_stack(ctx: &TcContext, way: &Way) -> Result<Verdict, Drop> {
    to_stack(ctx, way);
    Ok(Verdict::PASS)
}

/// Size on the wire from the network header on; of a large packet, that of the pieces it will be cut into.
#[inline(always)]
fn segment_size(ctx: &TcContext, headers: u32) -> u32 {
    // SAFETY: a plain read of a context field.
    let gso_size = unsafe { (*ctx.skb.skb).gso_size };
    if gso_size == 0 {
        ctx.len().wrapping_sub(ETHERNET as u32)
    } else {
        gso_size + headers
    }
}

/// The largest packet from the network header on that reaches a node.
#[inline(always)]
fn limit(node: &NodeEntry, index: u16) -> u32 {
    let mut mtu = node.mtu;
    if let Some(told) = PATH_MTU.get(u32::from(index)) {
        if told.mtu != 0
            && told.mtu < mtu
            && !crate::flow::is_past(told.since, ticks::PATH_MTU, crate::flow::now())
        {
            mtu = told.mtu;
        }
    }
    let overhead = match node.flags & (node_flag::TUNNEL | node_flag::V6) {
        flags if flags & node_flag::TUNNEL == 0 => 0,
        flags if flags & node_flag::V6 == 0 => OVERHEAD_V4,
        _ => OVERHEAD_V6,
    };
    mtu.wrapping_sub(overhead)
}

#[inline(always)]
fn too_big(node: &NodeEntry, index: u16) -> Drop {
    if let Some(scratch) = scratch() {
        scratch.mtu = limit(node, index);
    }
    Drop::TooBig
}

#[inline(always)]
fn may_be_cut(ctx: &TcContext) -> bool {
    packet::at::<V4>(ctx, ETHERNET).is_some_and(|header| header.fragment & DONT_FRAGMENT == 0)
}

/// A node is one hop, whichever way the packet takes to it.
#[inline(always)]
pub fn pass_hop(ctx: &TcContext, ethertype: u16) -> Result<(), Drop> {
    if ethertype == ETHERTYPE_V4 {
        let header: &mut V4 = packet::at_mut(ctx, ETHERNET).ok_or(Drop::Malformed)?;
        if header.ttl <= 1 {
            return Err(Drop::HopLimit);
        }
        header.ttl -= 1;
        // The hop count is the high byte of its word, so the checksum rises by 0x0100 in network order.
        let sum = u32::from(header.checksum) + u32::from(0x0100u16.to_be());
        header.checksum = (sum + (sum >> 16)) as u16;
    } else {
        let header: &mut V6 = packet::at_mut(ctx, ETHERNET).ok_or(Drop::Malformed)?;
        if header.hops <= 1 {
            return Err(Drop::HopLimit);
        }
        header.hops -= 1;
    }
    Ok(())
}

/// Counts a packet that the flow table had no answer for.
#[inline(always)]
pub fn count_slow(ctx: &TcContext) {
    count(counter::SLOW_PATH, ctx.len());
}
