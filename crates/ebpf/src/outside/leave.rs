//! Out to a client, past the node's own stack, which takes no packet that comes in with one of the node's addresses for its
//! source.

use crate::{
    Verdict,
    forward::pass_hop,
    judge::to_result,
    maps::{Scratch, scratch},
};
use aya_ebpf::{
    bindings::{__sk_buff, bpf_fib_lookup, bpf_redir_neigh},
    helpers::{bpf_fib_lookup as ask_for_route, bpf_redirect_neigh},
    programs::TcContext,
};
use tombolo_abi::Drop;

const SKIP_NEIGH: u32 = 4;
const SUCCESS: i64 = 0;
const FRAGMENTATION_NEEDED: i64 = 8;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Beyond the numbers of reasons.
const REDIRECTED: u32 = 2000;

#[inline(always)]
pub fn leave(ctx: &TcContext, ethertype: u16) -> Result<Verdict, Drop> {
    pass_hop(ctx, ethertype)?;
    match route(ctx.skb.skb) {
        reason if reason < REDIRECTED => {
            to_result(reason)?;
            Err(Drop::NoRouteToClient)
        }
        code => Ok(Verdict::redirect(i64::from(code - REDIRECTED))),
    }
}

/// By the ends that the scratch room has.
#[inline(never)]
fn route(skb: *mut __sk_buff) -> u32 {
    let Some(scratch) = scratch() else {
        return Drop::NoRouteToClient as u32;
    };
    let Scratch {
        translation, mtu, ..
    } = scratch;
    let ends = &translation.ends;
    // SAFETY: plain integers, for which zero is a value; the helper takes this context and this size. A union's fields are of
    // the family that is said beside it.
    unsafe {
        let mut ask: bpf_fib_lookup = core::mem::zeroed();
        ask.ifindex = (*skb).ifindex;
        ask.l4_protocol = ends.protocol;
        if ends.destination.is_v4() {
            ask.family = AF_INET;
            ask.__bindgen_anon_3.ipv4_src = ends.source.v4();
            ask.__bindgen_anon_4.ipv4_dst = ends.destination.v4();
        } else {
            ask.family = AF_INET6;
            ask.__bindgen_anon_3.ipv6_src = ends.source.quarters();
            ask.__bindgen_anon_4.ipv6_dst = ends.destination.quarters();
        }
        let size = size_of::<bpf_fib_lookup>() as i32;
        match ask_for_route(skb.cast(), &raw mut ask, size, SKIP_NEIGH) {
            SUCCESS => {}
            FRAGMENTATION_NEEDED => {
                *mtu = u32::from(ask.__bindgen_anon_1.mtu_result);
                return Drop::TooBig as u32;
            }
            _ => return Drop::NoRouteToClient as u32,
        }
        let mut hop: bpf_redir_neigh = core::mem::zeroed();
        hop.nh_family = u32::from(ask.family);
        if ask.family == AF_INET {
            hop.__bindgen_anon_1.ipv4_nh = ask.__bindgen_anon_4.ipv4_dst;
        } else {
            hop.__bindgen_anon_1.ipv6_nh = ask.__bindgen_anon_4.ipv6_dst;
        }
        let size = size_of::<bpf_redir_neigh>() as i32;
        REDIRECTED + bpf_redirect_neigh(ask.ifindex, &raw mut hop, size, 0) as u32
    }
}
