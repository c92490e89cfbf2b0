//! The kernel programs: what happens to a packet of a pod, from the pod's interface to another's.
//!
//! Four programs, one for each place a packet can come in at, all of the same parts. A known flow is answered by one look-up
//! (`flow`); everything else is judged (`judge`), remembered, and then sent the same way (`forward`). The parts return
//! `Result<Verdict, Drop>`; the entry points here alone turn that into what the kernel is told. Eight small programs at sockets lead
//! to services (`service`), and two behind those that stand at the uplinks and the tunnel device do so with packets from outside
//! (`outside`); one where packets leave by the uplinks (`to_uplink`) sees to what the node's own processes answer to these.
//! Encryption is not here yet.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod encap;
mod event;
mod flow;
mod forward;
mod fragment;
mod from_container;
mod from_host;
mod from_overlay;
mod from_uplink;
mod icmp;
mod identity;
mod judge;
mod maps;
mod neighbour;
mod outside;
mod packet;
mod path_mtu;
mod policy;
mod service;
mod to_uplink;

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT},
    macros::{cgroup_sock_addr, classifier},
    programs::{SockAddrContext, TcContext},
};
use service::{V4, V6};
use tombolo_abi::{Drop, SeenAt};

/// Let other programs and the kernel's own stack go on with the packet.
const TCX_NEXT: i32 = -1;

/// What a program decided, when it did not drop: what the kernel is told.
#[derive(Clone, Copy)]
pub struct Verdict(i32);

impl Verdict {
    /// Not ours, or for the node's own stack.
    pub const PASS: Verdict = Verdict(TCX_NEXT);

    /// Where to was told to the kernel; this is what the helper returned.
    #[inline(always)]
    pub fn redirect(code: i64) -> Verdict {
        Verdict(code as i32)
    }
}

#[classifier]
pub fn from_container(ctx: TcContext) -> i32 {
    verdict(&ctx, SeenAt::Pod, from_container::run(&ctx))
}

#[classifier]
pub fn from_host(ctx: TcContext) -> i32 {
    verdict(&ctx, SeenAt::Host, from_host::run(&ctx))
}

#[classifier]
pub fn from_uplink(ctx: TcContext) -> i32 {
    verdict(&ctx, SeenAt::Uplink, from_uplink::run(&ctx))
}

#[classifier]
pub fn from_overlay(ctx: TcContext) -> i32 {
    verdict(&ctx, SeenAt::Overlay, from_overlay::run(&ctx))
}

#[classifier]
pub fn outside(ctx: TcContext) -> i32 {
    verdict(&ctx, SeenAt::Uplink, outside::run(&ctx, None))
}

#[classifier]
pub fn outside_overlay(ctx: TcContext) -> i32 {
    let result = match from_overlay::outer_of(&ctx) {
        Some(outer) => outside::run(&ctx, Some(&outer)),
        None => Ok(Verdict::PASS),
    };
    verdict(&ctx, SeenAt::Overlay, result)
}

#[classifier]
pub fn to_uplink(ctx: TcContext) -> i32 {
    verdict(&ctx, SeenAt::Host, to_uplink::run(&ctx))
}

#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    service::connect::<V4>(&ctx)
}

#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    service::connect::<V6>(&ctx)
}

#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    service::sendmsg::<V4>(&ctx)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    service::sendmsg::<V6>(&ctx)
}

#[cgroup_sock_addr(recvmsg4)]
pub fn recvmsg4(ctx: SockAddrContext) -> i32 {
    service::name_frontend::<V4>(&ctx)
}

#[cgroup_sock_addr(recvmsg6)]
pub fn recvmsg6(ctx: SockAddrContext) -> i32 {
    service::name_frontend::<V6>(&ctx)
}

#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(ctx: SockAddrContext) -> i32 {
    service::name_frontend::<V4>(&ctx)
}

#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(ctx: SockAddrContext) -> i32 {
    service::name_frontend::<V6>(&ctx)
}

#[inline(always)]
fn verdict(ctx: &TcContext, seen_at: SeenAt, result: Result<Verdict, Drop>) -> i32 {
    match result {
        Ok(Verdict(code)) => code,
        Err(reason) => {
            let code = refuse(ctx.skb.skb, reason as u32, seen_at as u32);
            let is_too_big = u32::from(reason as u32 == Drop::TooBig as u32);
            if is_too_big != 0 || reason as u32 == Drop::HopLimit as u32 {
                return icmp::complain(ctx.skb.skb, is_too_big);
            }
            code
        }
    }
}

/// Counts and tells of a drop.
#[inline(never)]
fn refuse(skb: *mut __sk_buff, reason: u32, seen_at: u32) -> i32 {
    let ctx = TcContext::new(skb);
    if reason == Drop::TooBig as u32
        || reason == Drop::HopLimit as u32
        || reason == Drop::EncapFailed as u32
        || reason == Drop::SourceNotAdmitted as u32
    {
        // Found before or while sending, when nobody may have read the packet wholly.
        judge::look_again(&ctx);
    } else {
        judge::forget_unless_read();
    }
    event::dropped(&ctx, reason, seen_at);
    TC_ACT_SHOT as i32
}

/// GPL-compatible, as the kernel asks of programs that call its helpers; the text is under Apache-2.0 too.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
