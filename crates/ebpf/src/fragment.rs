//! Later fragments carry no ports; the first one's are remembered for them.

use crate::{
    flow,
    maps::FRAGMENTS,
    packet::{FIRST, LATER, Packet},
};
use tombolo_abi::{Drop, Fragment, FragmentKey, ticks};

/// Gives a later fragment the ports of its first one.
#[inline(always)]
pub fn resolve(packet: &mut Packet, key: &mut FragmentKey) -> Result<(), Drop> {
    *key = FragmentKey {
        source: packet.source,
        destination: packet.destination,
        id: packet.fragment_id,
        protocol: packet.protocol,
        _pad: [0; 3],
    };
    if packet.fragment == LATER {
        let head = FRAGMENTS.get_ptr(&*key).ok_or(Drop::FragmentWithoutHead)?;
        // SAFETY: a map element found in this run.
        let head = unsafe { *head };
        if flow::is_past(head.since, ticks::FRAGMENT, flow::now()) {
            return Err(Drop::FragmentWithoutHead);
        }
        packet.source_port = head.source_port;
        packet.destination_port = head.destination_port;
        packet.kind = head.kind;
        packet.headers = packet.transport;
    }
    Ok(())
}

/// Keeps the ports of a first fragment, once it is known whose it is: a forged one would lend its ports to another's tail.
#[inline(always)]
pub fn remember(packet: &Packet, key: &FragmentKey) {
    if packet.fragment != FIRST {
        return;
    }
    let head = Fragment {
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        kind: packet.kind,
        _pad: [0; 3],
        since: flow::now(),
    };
    // A head that finds no room makes its tail be dropped and counted.
    let _ = FRAGMENTS.insert(key, &head, 0);
}
