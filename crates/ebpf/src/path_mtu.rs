//! Routers between nodes tell of smaller links by quoting our outer headers; what they say is kept for each node.

use crate::{
    flow,
    maps::{NODE_SLOTS, NODES, PATH_MTU, count, scratch, setting},
    packet::{self, ETHERNET, ETHERTYPE_V4, UDP},
};
use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use tombolo_abi::{Addr, VXLAN_PORT, counter, node_flag};

/// No underlay is smaller than what each family asks of every link; whoever says less is not believed.
const LEAST_V4: u32 = 576;
const LEAST_V6: u32 = 1280;

/// Looks at an ICMP message for the node itself. The kernel gets it too.
#[inline(always)]
pub fn learn(ctx: &TcContext, ethertype: u16) {
    if ethertype == ETHERTYPE_V4 {
        learn_v4(ctx.skb.skb);
    } else {
        learn_v6(ctx.skb.skb);
    }
}

#[inline(never)]
fn learn_v4(skb: *mut __sk_buff) -> u32 {
    let ctx = TcContext::new(skb);
    told_v4(&ctx).unwrap_or(0)
}

#[inline(never)]
fn learn_v6(skb: *mut __sk_buff) -> u32 {
    let ctx = TcContext::new(skb);
    told_v6(&ctx).unwrap_or(0)
}

/// An error has eight bytes of its own before the quoted packet.
const QUOTED_V4: usize = ETHERNET + 28;
const QUOTED_V6: usize = ETHERNET + 48;

#[inline(always)]
fn told_v4(ctx: &TcContext) -> Option<u32> {
    let message: [u8; 8] = packet::copy(ctx, ETHERNET + 20).ok()?;
    let protocol: u8 = packet::copy(ctx, QUOTED_V4 + 9).ok()?;
    let source: u32 = packet::copy(ctx, QUOTED_V4 + 12).ok()?;
    let port: u16 = packet::copy(ctx, QUOTED_V4 + 22).ok()?;
    let is_ours = source == setting!(node_v4).v4() && protocol == UDP && port == VXLAN_PORT.to_be();
    let mtu = u32::from(u16::from_be_bytes([message[6], message[7]]));
    if message[0] != 3 || message[1] != 4 || !is_ours || mtu < LEAST_V4 {
        return None;
    }
    let peer = &mut scratch()?.key.lower;
    *peer = Addr::from_v4(packet::copy(ctx, QUOTED_V4 + 16).ok()?);
    keep(peer, mtu)
}

#[inline(always)]
fn told_v6(ctx: &TcContext) -> Option<u32> {
    let message: [u8; 8] = packet::copy(ctx, ETHERNET + 40).ok()?;
    let protocol: u8 = packet::copy(ctx, QUOTED_V6 + 6).ok()?;
    let source: [u64; 2] = packet::copy(ctx, QUOTED_V6 + 8).ok()?;
    let port: u16 = packet::copy(ctx, QUOTED_V6 + 42).ok()?;
    let own = setting!(node_v6).words;
    let is_ours =
        source[0] == own[0] && source[1] == own[1] && protocol == UDP && port == VXLAN_PORT.to_be();
    let mtu = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
    if message[0] != 2 || !is_ours || mtu < LEAST_V6 {
        return None;
    }
    let peer = &mut scratch()?.key.lower;
    peer.words = packet::copy(ctx, QUOTED_V6 + 24).ok()?;
    keep(peer, mtu)
}

#[inline(always)]
fn keep(peer: &Addr, mtu: u32) -> Option<u32> {
    // SAFETY: a map element found in this run.
    let slot = unsafe { *NODE_SLOTS.get_ptr(peer)? };
    let node = NODES.get(slot)?;
    if node.flags & node_flag::TUNNEL == 0 || mtu >= node.mtu {
        return None;
    }
    let told = PATH_MTU.get_ptr_mut(slot)?;
    // SAFETY: a map element; both fields are read as plain integers that no access depends on.
    unsafe {
        (*told).mtu = mtu;
        (*told).since = flow::now();
    }
    count(counter::PATH_MTU_LEARNT, 0);
    Some(1)
}
