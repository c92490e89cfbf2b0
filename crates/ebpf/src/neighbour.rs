//! Pods ask for their gateway's Ethernet address; we answer, so that no node needs an entry for a pod.

use crate::{
    Verdict,
    packet::{self, ETHERNET, ICMPV6, V6},
};
use aya_ebpf::{
    helpers::{bpf_csum_diff, bpf_redirect, bpf_skb_change_tail},
    programs::TcContext,
};
use tombolo_abi::{Drop, GATEWAY_MAC};

#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Arp {
    head: [u8; 6],
    operation: u16,
    sender_mac: [u8; 6],
    sender: u32,
    target_mac: [u8; 6],
    target: u32,
}

/// Ethernet, IPv4, and the lengths of their addresses.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1u16.to_be();
const REPLY: u16 = 2u16.to_be();

/// Answers for every address but the asker's own: whatever the pod looks for lies behind us.
#[inline(always)]
pub fn answer_arp(ctx: &TcContext) -> Result<Verdict, Drop> {
    let question: Arp = packet::copy(ctx, ETHERNET)?;
    if question.head != ARP_HEAD
        || question.operation != REQUEST
        || question.sender == 0
        || question.sender == question.target
    {
        return Err(Drop::LinkLocal);
    }
    let answer = Arp {
        head: ARP_HEAD,
        operation: REPLY,
        sender_mac: GATEWAY_MAC,
        sender: question.target,
        target_mac: question.sender_mac,
        target: question.sender,
    };
    let frame: &mut [u8; 12] = packet::at_mut(ctx, 0).ok_or(Drop::Malformed)?;
    let [a, b, c, d, e, f] = question.sender_mac;
    let [g, h, i, j, k, l] = GATEWAY_MAC;
    *frame = [a, b, c, d, e, f, g, h, i, j, k, l];
    *packet::at_mut(ctx, ETHERNET).ok_or(Drop::Malformed)? = answer;
    Ok(back(ctx))
}

/// A neighbour solicitation or advertisement with one link-layer address option.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Message {
    kind: u8,
    code: u8,
    checksum: u16,
    flags: u32,
    target: [u64; 2],
    option: [u8; 2],
    mac: [u8; 6],
}

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// From a router, asked for, and to be believed.
const ADVERTISEMENT_FLAGS: u32 = 0xe000_0000u32.to_be();
const WHOLE_LENGTH: u32 = (ETHERNET + size_of::<V6>() + size_of::<Message>()) as u32;

/// `None` when the packet is no neighbour solicitation.
#[inline(always)]
pub fn answer_solicitation(ctx: &TcContext) -> Option<Result<Verdict, Drop>> {
    let header: V6 = packet::copy(ctx, ETHERNET).ok()?;
    if header.next != ICMPV6 || header.hops != 255 {
        return None;
    }
    let question: [u8; 24] = packet::copy(ctx, ETHERNET + size_of::<V6>()).ok()?;
    if question[0] != SOLICITATION || question[1] != 0 {
        return None;
    }
    Some(advertise(ctx, &header))
}

#[inline(always)]
fn advertise(ctx: &TcContext, header: &V6) -> Result<Verdict, Drop> {
    let target: [u64; 2] = packet::copy(ctx, ETHERNET + size_of::<V6>() + 8)?;
    let asker = header.source;
    // Without a source somebody tests whether an address is taken; asking for one's own is the same.
    if asker == [0, 0] || asker == target || target[0] as u8 == 0xff {
        return Err(Drop::LinkLocal);
    }
    // SAFETY: a helper on this program's own context.
    if unsafe { bpf_skb_change_tail(ctx.skb.skb, WHOLE_LENGTH, 0) } != 0 {
        return Err(Drop::Malformed);
    }
    let mut answer = Message {
        kind: ADVERTISEMENT,
        code: 0,
        checksum: 0,
        flags: ADVERTISEMENT_FLAGS,
        target,
        option: [2, 1],
        mac: GATEWAY_MAC,
    };
    let mut head = *header;
    head.version = 0x6000_0000u32.to_be();
    head.length = (size_of::<Message>() as u16).to_be();
    head.source = target;
    head.destination = asker;
    answer.checksum = checksum(target, asker, &answer);
    let frame: &mut [u8; 12] = packet::at_mut(ctx, 0).ok_or(Drop::Malformed)?;
    let [a, b, c, d, e, f] = [frame[6], frame[7], frame[8], frame[9], frame[10], frame[11]];
    let [g, h, i, j, k, l] = GATEWAY_MAC;
    *frame = [a, b, c, d, e, f, g, h, i, j, k, l];
    *packet::at_mut(ctx, ETHERNET).ok_or(Drop::Malformed)? = head;
    *packet::at_mut(ctx, ETHERNET + size_of::<V6>()).ok_or(Drop::Malformed)? = answer;
    Ok(back(ctx))
}

#[inline(always)]
fn checksum(source: [u64; 2], destination: [u64; 2], message: &Message) -> u16 {
    #[repr(C)]
    struct Summed {
        source: [u64; 2],
        destination: [u64; 2],
        length: u32,
        next: u32,
        message: Message,
    }
    let mut summed = Summed {
        source,
        destination,
        length: (size_of::<Message>() as u32).to_be(),
        next: u32::from(ICMPV6).to_be(),
        message: *message,
    };
    // SAFETY: the helper reads the bytes of `summed`, none of which is padding.
    let sum = unsafe {
        bpf_csum_diff(
            core::ptr::null_mut(),
            0,
            (&raw mut summed).cast(),
            size_of::<Summed>() as u32,
            0,
        )
    };
    let mut sum = sum as u32;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

#[inline(always)]
fn back(ctx: &TcContext) -> Verdict {
    // SAFETY: a plain read of a context field; the helper has no preconditions.
    Verdict::redirect(unsafe { bpf_redirect((*ctx.skb.skb).ifindex, 0) })
}
