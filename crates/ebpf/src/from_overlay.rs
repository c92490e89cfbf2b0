//! A packet comes out of the kernel's own VXLAN device: the fallback on arrival.

use crate::{
    Verdict,
    flow::{self},
    forward::{self, Way},
    from_uplink::{self, Outer},
    judge::{self, Arrival},
    maps::ENDPOINTS,
    packet::{self, ETHERNET},
};
use aya_ebpf::{bindings::bpf_tunnel_key, helpers::bpf_skb_get_tunnel_key, programs::TcContext};
use tombolo_abi::{Addr, Drop, SeenAt, place};

const TUNINFO_IPV6: u64 = 1;

#[inline(always)]
pub fn run(ctx: &TcContext) -> Result<Verdict, Drop> {
    let outer = outer_of(ctx).ok_or(Drop::UnknownNode)?;
    // SAFETY: a plain read of a context field.
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    let way = find(ctx, ethertype, &outer)?;
    if way.place != place::LOCAL {
        forward::to_stack(ctx, &way);
        return Ok(Verdict::PASS);
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
fn find(ctx: &TcContext, ethertype: u16, outer: &Outer) -> Result<Way, Drop> {
    if let Some(quick) = packet::quick(ctx, ethertype, ETHERNET) {
        let now = flow::now();
        if let Some(known) = flow::known(&quick, now) {
            if let Some(way) = from_uplink::way_of(&known, outer, quick.headers) {
                known.touch(quick.tcp_flags, now);
                return Ok(way);
            }
        }
    }
    let mut way = Way::default();
    judge::judge(
        ctx,
        &Arrival::tunnel(SeenAt::Overlay, ethertype, ETHERNET, outer),
        &mut way,
    )?;
    Ok(way)
}

#[inline(always)]
pub fn outer_of(ctx: &TcContext) -> Option<Outer> {
    // SAFETY: plain integers, for which zero is a value; `key` outlives both calls and has the size that is said.
    unsafe {
        let mut key: bpf_tunnel_key = core::mem::zeroed();
        let size = size_of::<bpf_tunnel_key>() as u32;
        if bpf_skb_get_tunnel_key(ctx.skb.skb, &raw mut key, size, 0) == 0 {
            let peer = Addr::from_v4(u32::to_be(key.__bindgen_anon_1.remote_ipv4));
            return Some(Outer {
                vni: key.tunnel_id,
                peer,
            });
        }
        if bpf_skb_get_tunnel_key(ctx.skb.skb, &raw mut key, size, TUNINFO_IPV6) == 0 {
            let [a, b, c, d] = key.__bindgen_anon_1.remote_ipv6;
            let words = [
                u64::from(a) | u64::from(b) << 32,
                u64::from(c) | u64::from(d) << 32,
            ];
            return Some(Outer {
                vni: key.tunnel_id,
                peer: Addr { words },
            });
        }
        None
    }
}
