//! Events of the programs, in the words that people read.

use crate::Error;
use aya::maps::{MapData, RingBuf};
use tokio::io::{Interest, unix::AsyncFd};
use tombolo_abi::{Addr, Drop, Event, SeenAt, event_kind};
use tombolo_model::{
    id::{EndpointId, Identity},
    reason::{Flow, FlowVerdict, Peer},
};

/// At most so many events are taken in one go, so that whoever reads gets a turn.
const BATCH_MAX: usize = 256;

/// The reading end of the ring.
pub struct Events(AsyncFd<RingBuf<MapData>>);

impl Events {
    pub(crate) fn new(ring: RingBuf<MapData>) -> Result<Events, Error> {
        // SAFETY: the ring owns its descriptor, never swaps it, and closes it when it is dropped with the `AsyncFd`.
        let fd = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }.map_err(
            |error| Error::Io {
                operation: "listening to the programs",
                source: error.into(),
            },
        )?;
        Ok(Events(fd))
    }

    /// Waits for events. Cancel-safe: what was not taken is there at the next call.
    pub async fn read(&mut self) -> Result<Vec<Flow>, Error> {
        loop {
            let mut guard = self.0.readable_mut().await.map_err(|source| Error::Io {
                operation: "listening to the programs",
                source,
            })?;
            let ring = guard.get_inner_mut();
            let mut flows = Vec::new();
            while let Some(item) = ring.next() {
                flows.extend(decode(&item));
                if flows.len() >= BATCH_MAX {
                    return Ok(flows);
                }
            }
            guard.clear_ready();
            if !flows.is_empty() {
                return Ok(flows);
            }
        }
    }
}

/// Nothing for bytes that are no event, which only a ring of another version holds.
fn decode(bytes: &[u8]) -> Option<Flow> {
    if bytes.len() < size_of::<Event>() {
        return None;
    }
    // SAFETY: long enough by the check above; any bits are a valid `Event`; the read does not ask for alignment.
    let event = unsafe { bytes.as_ptr().cast::<Event>().read_unaligned() };
    let reason = Drop::from_number(event.reason);
    let verdict = match event.kind {
        event_kind::ALLOWED => FlowVerdict::Allowed,
        event_kind::DROPPED => FlowVerdict::Dropped,
        _ => return None,
    };
    Some(Flow {
        time_ns: event.time_ns,
        verdict,
        seen_at: SeenAt::from_number(event.seen_at)
            .map_or("unknown", SeenAt::name)
            .to_owned(),
        reason: reason.map(|reason| reason.name().to_owned()),
        hint: reason.map(|reason| reason.hint().to_owned()),
        source: peer(
            event.source,
            event.source_port,
            event.source_identity,
            event.source_endpoint,
        ),
        destination: peer(
            event.destination,
            event.destination_port,
            event.destination_identity,
            event.destination_endpoint,
        ),
        protocol: protocol(event.ethertype, event.protocol),
        bytes: event.bytes,
        ifindex: event.ifindex,
    })
}

fn peer(addr: Addr, port: u16, identity: u32, endpoint: u16) -> Peer {
    Peer {
        address: (addr != Addr::default()).then(|| crate::maps::from_addr(addr)),
        port: u16::from_be(port),
        identity: Identity(identity),
        endpoint: (endpoint != 0).then_some(EndpointId(endpoint)),
    }
}

fn protocol(ethertype: u16, number: u8) -> String {
    const ARP: u16 = 0x0806;
    match (u16::from_be(ethertype), number) {
        (ARP, _) => "ARP".to_owned(),
        (_, 1) => "ICMP".to_owned(),
        (_, 6) => "TCP".to_owned(),
        (_, 17) => "UDP".to_owned(),
        (_, 58) => "ICMPv6".to_owned(),
        (_, 132) => "SCTP".to_owned(),
        (_, number) => number.to_string(),
    }
}
