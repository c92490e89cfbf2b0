//! A packet leaves a pod: the ingress of the host's end of its interface pair.

use crate::{
    Verdict,
    flow::{self, Known},
    forward::{self, Way},
    judge::{self, Arrival},
    maps::NODES,
    neighbour, outside,
    packet::{self, ETHERNET, ETHERTYPE_ARP, ETHERTYPE_V6},
};
use aya_ebpf::programs::TcContext;
use tombolo_abi::{Drop, SeenAt, node_flag, place};

#[inline(always)]
pub fn run(ctx: &TcContext) -> Result<Verdict, Drop> {
    // SAFETY: a plain read of a context field.
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    if let Some(quick) = packet::quick(ctx, ethertype, ETHERNET) {
        let now = flow::now();
        if let Some(known) = flow::known(&quick, now) {
            if let Some(way) = way_of(ctx, &known, quick.headers) {
                known.touch(quick.tcp_flags, now);
                if way.place != place::LOCAL && known.is_translated() {
                    if let Some(sent) = outside::answer_known(ctx, ethertype, &quick)? {
                        return Ok(sent);
                    }
                }
                return forward::forward(ctx, ethertype, &way);
            }
        }
    }
    if ethertype == ETHERTYPE_ARP {
        return neighbour::answer_arp(ctx);
    }
    if ethertype == ETHERTYPE_V6 {
        if let Some(answer) = neighbour::answer_solicitation(ctx) {
            return answer;
        }
    }
    let mut way = Way::default();
    judge::judge(ctx, &Arrival::plain(SeenAt::Pod, ethertype), &mut way)?;
    if way.place != place::LOCAL {
        if let Some(sent) = outside::answer_judged(ctx, ethertype)? {
            return Ok(sent);
        }
    }
    forward::forward(ctx, ethertype, &way)
}

/// The way that the table knows, if both ends still are what they were, and the packet comes from the very pod that the flow is of.
#[inline(always)]
fn way_of(ctx: &TcContext, known: &Known, headers: u32) -> Option<Way> {
    let (source, destination) = (known.source(), known.destination());
    let sender = flow::endpoint(source)?;
    // SAFETY: a plain read of a context field.
    if sender.ifindex != unsafe { (*ctx.skb.skb).ifindex } {
        return None;
    }
    destination_of(known).map(|()| Way {
        identity: source.identity,
        headers,
        index: destination.index,
        source_port: known.source_port(),
        place: destination.place,
        _pad: [0; 3],
    })
}

/// That the destination still is where the flow has it, and can be sent to.
#[inline(always)]
pub fn destination_of(known: &Known) -> Option<()> {
    let destination = known.destination();
    if destination.place == place::LOCAL {
        flow::endpoint(destination)?;
        return Some(());
    }
    if !flow::is_current(destination) {
        return None;
    }
    if destination.place == place::REMOTE
        && NODES.get(u32::from(destination.index))?.flags & node_flag::VALID == 0
    {
        return None;
    }
    Some(())
}
