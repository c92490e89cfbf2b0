//! A packet leaves the node's own stack towards a pod: the ingress of the far end of Tombolo's host device.

use crate::{
    Verdict,
    flow::{self, Known},
    forward::{self, Way},
    from_container::destination_of,
    judge::{self, Arrival},
    outside,
    packet::{self, ETHERNET},
};
use aya_ebpf::programs::TcContext;
use tombolo_abi::{Drop, SeenAt, mark, place};

/// Identities that packets of the host's stack may have without a mark: the host itself, and the world.
const UNMARKED_MAX: u32 = 2;

#[inline(always)]
pub fn run(ctx: &TcContext) -> Result<Verdict, Drop> {
    // SAFETY: a plain read of a context field.
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    if let Some(quick) = packet::quick(ctx, ethertype, ETHERNET) {
        let now = flow::now();
        if let Some(known) = flow::known(&quick, now) {
            if let Some(way) = way_of(ctx, &known, quick.headers) {
                known.touch(quick.tcp_flags, now);
                if known.is_translated() {
                    if let Some(sent) = outside::answer_known(ctx, ethertype, &quick)? {
                        return Ok(sent);
                    }
                }
                return forward::forward(ctx, ethertype, &way);
            }
        }
    }
    let mut way = Way::default();
    judge::judge(ctx, &Arrival::plain(SeenAt::Host, ethertype), &mut way)?;
    if let Some(sent) = outside::answer_judged(ctx, ethertype)? {
        return Ok(sent);
    }
    forward::forward(ctx, ethertype, &way)
}

/// The identity that the packet's mark vouches for.
#[inline(always)]
pub fn marked(ctx: &TcContext) -> Option<u32> {
    // SAFETY: a plain read of a context field.
    let bits = unsafe { (*ctx.skb.skb).mark };
    if bits & mark::IDENTITY_MASK == mark::IDENTITY {
        Some(mark::identity(bits))
    } else {
        None
    }
}

#[inline(always)]
pub fn way_of(ctx: &TcContext, known: &Known, headers: u32) -> Option<Way> {
    let (source, destination) = (known.source(), known.destination());
    let vouched = match marked(ctx) {
        Some(identity) => identity == source.identity,
        None => source.identity <= UNMARKED_MAX,
    };
    if !vouched
        || !(source.place == place::HOST || source.place == place::WORLD)
        || !flow::is_current(source)
    {
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
