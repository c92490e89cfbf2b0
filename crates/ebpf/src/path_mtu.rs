//! Routers between nodes tell of smaller links by quoting our outer headers; what they say is kept for each node.

use crate::{
    flow,
    maps::{NODE_SLOTS, NODES, PATH_MTU, count, setting},
    packet::{self, ETHERNET, ETHERTYPE_V4, UDP, V4, V6},
};
use aya_ebpf::programs::TcContext;
use tombolo_abi::{Addr, VXLAN_PORT, counter, node_flag};

/// No underlay is smaller than what each family asks of every link; whoever says less is not believed.
const LEAST_V4: u32 = 576;
const LEAST_V6: u32 = 1280;

/// Looks at an ICMP message for the node itself. The kernel gets it too.
#[inline(never)]
fn learn_from(skb: *mut aya_ebpf::bindings::__sk_buff, is_v4: u32) -> u32 {
    let ctx = TcContext::new(skb);
    let told = if is_v4 != 0 {
        told_v4(&ctx)
    } else {
        told_v6(&ctx)
    };
    if let Some((peer, mtu)) = told {
        keep(peer, mtu);
    }
    0
}

#[inline(always)]
pub fn learn(ctx: &TcContext, ethertype: u16) {
    learn_from(ctx.skb.skb, u32::from(ethertype == ETHERTYPE_V4));
}

#[inline(always)]
fn told_v4(ctx: &TcContext) -> Option<(Addr, u32)> {
    let message: [u8; 8] = packet::copy(ctx, ETHERNET + 20).ok()?;
    if message[0] != 3 || message[1] != 4 {
        return None;
    }
    let quoted: V4 = packet::copy(ctx, ETHERNET + 28).ok()?;
    let ports: [u16; 2] = packet::copy(ctx, ETHERNET + 48).ok()?;
    if Addr::from_v4(quoted.source) != setting!(node_v4)
        || quoted.protocol != UDP
        || ports[1] != VXLAN_PORT.to_be()
    {
        return None;
    }
    let mtu = u32::from(u16::from_be_bytes([message[6], message[7]]));
    Some((Addr::from_v4(quoted.destination), mtu)).filter(|_| mtu >= LEAST_V4)
}

#[inline(always)]
fn told_v6(ctx: &TcContext) -> Option<(Addr, u32)> {
    let message: [u8; 8] = packet::copy(ctx, ETHERNET + 40).ok()?;
    if message[0] != 2 {
        return None;
    }
    let quoted: V6 = packet::copy(ctx, ETHERNET + 48).ok()?;
    let ports: [u16; 2] = packet::copy(ctx, ETHERNET + 88).ok()?;
    if { quoted.source } != setting!(node_v6).words
        || quoted.next != UDP
        || ports[1] != VXLAN_PORT.to_be()
    {
        return None;
    }
    let mtu = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
    Some((
        Addr {
            words: quoted.destination,
        },
        mtu,
    ))
    .filter(|_| mtu >= LEAST_V6)
}

#[inline(always)]
fn keep(peer: Addr, mtu: u32) {
    let Some(slot) = NODE_SLOTS.get_ptr(&peer) else {
        return;
    };
    // SAFETY: a map element found in this run.
    let slot = unsafe { *slot };
    let Some(node) = NODES.get(slot) else { return };
    if node.flags & node_flag::TUNNEL == 0 || mtu >= node.mtu {
        return;
    }
    let Some(told) = PATH_MTU.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: a map element; both fields are read as plain integers that no access depends on.
    unsafe {
        (*told).mtu = mtu;
        (*told).since = flow::now();
    }
    count(counter::PATH_MTU_LEARNT, 0);
}
