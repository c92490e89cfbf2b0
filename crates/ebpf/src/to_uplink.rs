//! A packet leaves by an uplink, whoever has sent it: the egress of the node's own devices, once a service leads from outside to a
//! process of the node.
//!
//! Answers of the node's own to clients outside become the service's, and so do errors about what these have sent. Everything
//! else passes as it is.

use crate::{
    Verdict,
    from_uplink::Vxlan,
    maps::setting,
    outside,
    packet::{
        self, ETHERNET, ETHERTYPE_V4, ETHERTYPE_V6, FRAGMENT_HEADER, ICMP, ICMPV6, TCP, UDP, V4, V6,
    },
};
use aya_ebpf::programs::TcContext;
use tombolo_abi::{Addr, Drop};

#[inline(always)]
pub fn run(ctx: &TcContext) -> Result<Verdict, Drop> {
    // SAFETY: a plain read of a context field.
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    if may_answer(ctx, ethertype) {
        outside::answer_of_node(ctx, ethertype)?;
    }
    Ok(Verdict::PASS)
}

/// Most packets here are pods' or tunnels', which are told by little.
#[inline(always)]
fn may_answer(ctx: &TcContext, ethertype: u16) -> bool {
    if ethertype == ETHERTYPE_V4 {
        packet::at::<V4>(ctx, ETHERNET).is_some_and(|header| {
            Addr::from_v4(header.source) == setting!(node_v4)
                && may_be_of_flow::<{ ETHERNET + 20 }>(ctx, header.protocol)
        })
    } else if ethertype == ETHERTYPE_V6 {
        packet::at::<V6>(ctx, ETHERNET).is_some_and(|header| {
            let source = Addr {
                words: header.source,
            };
            source == setting!(node_v6)
                && (header.next == FRAGMENT_HEADER
                    || may_be_of_flow::<{ ETHERNET + 40 }>(ctx, header.next))
        })
    } else {
        false
    }
}

#[inline(always)]
fn may_be_of_flow<const TRANSPORT: usize>(ctx: &TcContext, protocol: u8) -> bool {
    match protocol {
        TCP | ICMP | ICMPV6 => true,
        UDP => !packet::at::<Vxlan>(ctx, TRANSPORT).is_some_and(|header| header.is_ours()),
        _ => false,
    }
}
