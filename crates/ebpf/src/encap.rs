//! Outer headers: written and taken off here and nowhere else.
//!
//! Sending, the kernel makes room between the Ethernet header and the network header, and all of it is then overwritten from the
//! node's template. The kernel's own VXLAN device is the fallback: it fragments what may be fragmented, and takes packets that
//! already carry tunnel state, which the kernel refuses to give room to a second time.

use crate::{
    Verdict,
    maps::{count, setting},
    packet::{self, ETHERTYPE_V4, ETHERTYPE_V6},
};
use aya_ebpf::{
    bindings::{bpf_redir_neigh, bpf_tunnel_key},
    helpers::{bpf_redirect, bpf_redirect_neigh, bpf_skb_adjust_room, bpf_skb_set_tunnel_key},
    programs::TcContext,
};
use tombolo_abi::{
    Drop, NodeEntry, OUTER_V4, OUTER_V6, OVERHEAD_V4, OVERHEAD_V6, counter, node_flag,
};

const FIXED_GSO: u64 = 1;
const ENCAP_L3_V4: u64 = 2;
const ENCAP_L3_V6: u64 = 4;
const ENCAP_L4_UDP: u64 = 16;
const NO_CSUM_RESET: u64 = 32;
const ENCAP_L2_ETH: u64 = 64;
const DECAP_L3_V4: u64 = 128;
const DECAP_L3_V6: u64 = 256;
const INNER_ETHERNET: u64 = 14 << 56;
const ENCAP: u64 = FIXED_GSO | ENCAP_L4_UDP | NO_CSUM_RESET | ENCAP_L2_ETH | INNER_ETHERNET;
const ROOM_MAC: u32 = 1;
/// Congestion bits of the traffic class.
const ECN: u8 = 3;
const ECN_CE: u8 = 3;

/// Wraps a packet whose network header follows its Ethernet header, and sends it to a node.
#[inline(always)]
pub fn send(
    ctx: &TcContext,
    node: &NodeEntry,
    ethertype: u16,
    vni: u32,
    source_port: u16,
) -> Result<Verdict, Drop> {
    let ecn = ecn_of(ctx, ethertype);
    if node.flags & node_flag::V6 == 0 {
        send_v4(ctx, node, ethertype, vni, source_port, ecn)
    } else {
        send_v6(ctx, node, ethertype, vni, source_port, ecn)
    }
}

#[inline(always)]
fn ecn_of(ctx: &TcContext, ethertype: u16) -> u8 {
    let start: &[u8; 2] = match packet::at(ctx, packet::ETHERNET) {
        Some(start) => start,
        None => return 0,
    };
    if ethertype == ETHERTYPE_V4 {
        start[1] & ECN
    } else {
        (start[1] >> 4) & ECN
    }
}

/// Copies the template and the fields of the packet. `HEADER` is the size of all outer headers and the inner Ethernet one.
macro_rules! write_vxlan {
    ($outer:expr, $udp:expr, $length:expr, $source_port:expr, $vni:expr, $ethertype:expr) => {{
        let udp_length = (($length - ($udp - 14)) as u16).to_be_bytes();
        let port = $source_port.to_ne_bytes();
        let vni = $vni.to_be_bytes();
        let proto = $ethertype.to_ne_bytes();
        $outer[$udp] = port[0];
        $outer[$udp + 1] = port[1];
        $outer[$udp + 4] = udp_length[0];
        $outer[$udp + 5] = udp_length[1];
        $outer[$udp + 12] = vni[1];
        $outer[$udp + 13] = vni[2];
        $outer[$udp + 14] = vni[3];
        $outer[$udp + 28] = proto[0];
        $outer[$udp + 29] = proto[1];
    }};
}

#[inline(always)]
fn send_v4(
    ctx: &TcContext,
    node: &NodeEntry,
    ethertype: u16,
    vni: u32,
    source_port: u16,
    ecn: u8,
) -> Result<Verdict, Drop> {
    // SAFETY: a helper on this program's own context.
    if unsafe {
        bpf_skb_adjust_room(
            ctx.skb.skb,
            OVERHEAD_V4 as i32,
            ROOM_MAC,
            ENCAP | ENCAP_L3_V4,
        )
    } != 0
    {
        return send_by_device(ctx, node, vni);
    }
    let length = ctx.len().wrapping_sub(14);
    let outer: &mut [u8; OUTER_V4] = packet::at_mut(ctx, 0).ok_or(Drop::EncapFailed)?;
    // SAFETY: the template has 88 bytes, of which 64 are for IPv4; the packet was checked to have them.
    unsafe {
        core::ptr::write_unaligned(
            outer.as_mut_ptr().cast::<[u64; 8]>(),
            *(&raw const node.header).cast::<[u64; 8]>(),
        )
    };
    let mut sum = node.checksum + length + u32::from(ecn);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let checksum = (!(sum as u16)).to_be_bytes();
    let total = (length as u16).to_be_bytes();
    outer[15] = ecn;
    outer[16] = total[0];
    outer[17] = total[1];
    outer[24] = checksum[0];
    outer[25] = checksum[1];
    write_vxlan!(outer, 34, length, source_port, vni, ethertype);
    transmit(node)
}

#[inline(always)]
fn send_v6(
    ctx: &TcContext,
    node: &NodeEntry,
    ethertype: u16,
    vni: u32,
    source_port: u16,
    ecn: u8,
) -> Result<Verdict, Drop> {
    // SAFETY: a helper on this program's own context.
    if unsafe {
        bpf_skb_adjust_room(
            ctx.skb.skb,
            OVERHEAD_V6 as i32,
            ROOM_MAC,
            ENCAP | ENCAP_L3_V6,
        )
    } != 0
    {
        return send_by_device(ctx, node, vni);
    }
    let length = ctx.len().wrapping_sub(14);
    let outer: &mut [u8; OUTER_V6] = packet::at_mut(ctx, 0).ok_or(Drop::EncapFailed)?;
    // SAFETY: the template has 88 bytes, of which 84 are for IPv6; the packet was checked to have them.
    unsafe {
        let header = (&raw const node.header).cast::<u8>();
        core::ptr::write_unaligned(
            outer.as_mut_ptr().cast::<[u64; 10]>(),
            *header.cast::<[u64; 10]>(),
        );
        core::ptr::write_unaligned(
            outer.as_mut_ptr().add(80).cast::<u32>(),
            *header.add(80).cast::<u32>(),
        );
    }
    let payload = (length.wrapping_sub(40) as u16).to_be_bytes();
    outer[15] = ecn << 4;
    outer[18] = payload[0];
    outer[19] = payload[1];
    write_vxlan!(outer, 54, length, source_port, vni, ethertype);
    transmit(node)
}

/// Gives the packet to the kernel's own VXLAN device.
#[inline(always)]
pub fn send_by_device(ctx: &TcContext, node: &NodeEntry, vni: u32) -> Result<Verdict, Drop> {
    count(counter::FALLBACK_SENT, ctx.len());
    // SAFETY: plain integers, for which zero is a value.
    let mut key: bpf_tunnel_key = unsafe { core::mem::zeroed() };
    key.tunnel_id = vni;
    key.tunnel_ttl = 64;
    let mut flags = 2; // no outer UDP checksum, as our own headers have none
    if node.flags & node_flag::V6 == 0 {
        key.__bindgen_anon_1.remote_ipv4 = u32::from_be(node.address.v4());
    } else {
        flags |= 1;
        key.__bindgen_anon_1.remote_ipv6 = node.address.quarters();
    }
    // SAFETY: `key` outlives the call and has the size that is said.
    if unsafe {
        bpf_skb_set_tunnel_key(
            ctx.skb.skb,
            &raw mut key,
            size_of::<bpf_tunnel_key>() as u32,
            flags,
        )
    } != 0
    {
        return Err(Drop::EncapFailed);
    }
    let device = setting!(vxlan_ifindex);
    // SAFETY: the helper has no preconditions.
    Ok(Verdict::redirect(unsafe { bpf_redirect(device, 0) }))
}

/// Sends a packet as it is to the next hop of a node.
#[inline(always)]
pub fn send_native(ctx: &TcContext, node: &NodeEntry) -> Result<Verdict, Drop> {
    if node.flags & node_flag::RESOLVED != 0 {
        let ethernet: &mut [u8; 12] = packet::at_mut(ctx, 0).ok_or(Drop::EncapFailed)?;
        // SAFETY: the template is longer than 12 bytes; the packet was checked to have them.
        unsafe {
            core::ptr::write_unaligned(ethernet, *(&raw const node.header).cast::<[u8; 12]>())
        };
    }
    transmit(node)
}

#[inline(always)]
fn transmit(node: &NodeEntry) -> Result<Verdict, Drop> {
    if node.flags & node_flag::RESOLVED != 0 {
        // SAFETY: the helper has no preconditions.
        return Ok(Verdict::redirect(unsafe { bpf_redirect(node.ifindex, 0) }));
    }
    // SAFETY: plain integers, for which zero is a value.
    let mut hop: bpf_redir_neigh = unsafe { core::mem::zeroed() };
    if node.next_hop.is_v4() {
        hop.nh_family = 2;
        hop.__bindgen_anon_1.ipv4_nh = node.next_hop.v4();
    } else {
        hop.nh_family = 10;
        hop.__bindgen_anon_1.ipv6_nh = node.next_hop.quarters();
    }
    // SAFETY: `hop` outlives the call and has the size that is said.
    Ok(Verdict::redirect(unsafe {
        bpf_redirect_neigh(
            node.ifindex,
            &raw mut hop,
            size_of::<bpf_redir_neigh>() as i32,
            0,
        )
    }))
}

/// Takes the outer headers off a packet from the underlay; what is left has an Ethernet header of 14 bytes to be overwritten.
#[inline(always)]
pub fn strip(ctx: &TcContext, overhead: u32, inner_ethertype: u16) -> Result<(), Drop> {
    let family = if inner_ethertype == ETHERTYPE_V6 {
        DECAP_L3_V6
    } else {
        DECAP_L3_V4
    };
    // SAFETY: a helper on this program's own context.
    let refused = unsafe {
        bpf_skb_adjust_room(
            ctx.skb.skb,
            -(overhead as i32),
            ROOM_MAC,
            FIXED_GSO | NO_CSUM_RESET | family,
        )
    };
    if refused == 0 {
        Ok(())
    } else {
        Err(Drop::DecapFailed)
    }
}

/// Hands a congestion mark of the outer header on to the inner one (RFC 6040), whose network header begins at `l3`.
#[inline(always)]
pub fn carry_congestion(ctx: &TcContext, outer: u8, inner_ethertype: u16, l3: usize) {
    if outer & ECN != ECN_CE {
        return;
    }
    let Some(start) = packet::at_mut::<[u8; 12]>(ctx, l3) else {
        return;
    };
    if inner_ethertype == ETHERTYPE_V4 {
        if start[1] & ECN != 0 && start[1] & ECN != ECN_CE {
            let old = start[1];
            start[1] |= ECN_CE;
            // The class is the low byte of its word: the checksum falls by as much as the class rises.
            let sum =
                u32::from(!u16::from_be_bytes([start[10], start[11]])) + u32::from(start[1] - old);
            let folded = !(((sum & 0xffff) + (sum >> 16)) as u16);
            [start[10], start[11]] = folded.to_be_bytes();
        }
    } else if start[1] & (ECN << 4) != 0 {
        start[1] |= ECN_CE << 4;
    }
}
