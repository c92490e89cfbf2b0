//! Where each end of a packet is, and who vouches for its source: every way in has its own proof.

use super::Arrival;
use crate::{
    flow, from_host,
    identity::{REMOTE_NODE, WORLD},
    maps::{ADDRESSES, ENDPOINTS, NODE_SLOTS, NODES, setting},
    packet::Packet,
};
use aya_ebpf::{btf_maps::lpm_trie::Key, programs::TcContext};
use tombolo_abi::{
    ADDRESS_BITS, Addr, AddressEntry, AddressKey, Drop, NodeEntry, SeenAt, Side, node_flag, place,
};

/// See [`place`].
#[inline(always)]
pub fn place_of(addr: Addr) -> u8 {
    reach(addr).place
}

#[inline(always)]
fn reach(addr: Addr) -> AddressEntry {
    let key = AddressKey {
        cluster: 0,
        _pad: 0,
        addr: addr.quarters(),
    };
    let key = Key::new(ADDRESS_BITS, key);
    ADDRESSES.get(&key).copied().unwrap_or_default()
}

/// The entry of an address, and a side that rests on it.
#[inline(always)]
fn side_at(addr: Addr) -> (AddressEntry, Side) {
    // The counters are read before the entry: whatever changes in between makes the flow be judged again.
    let shard = addr.shard();
    let (own, with_ranges) = (flow::epoch_of(shard, 0), flow::epoch_of(shard, 1));
    let entry = reach(addr);
    let side = Side {
        identity: entry.identity,
        epoch: if entry.range == 0 { own } else { with_ranges },
        index: entry.index,
        shard: shard as u16,
        place: entry.place,
        range: entry.range,
        _pad: 0,
    };
    (entry, side)
}

#[inline(always)]
fn local_side(addr: Addr, entry: AddressEntry) -> Result<Side, Drop> {
    let endpoint = ENDPOINTS
        .get(u32::from(entry.index))
        .ok_or(Drop::EndpointGone)?;
    // The number may be another pod's by now.
    if endpoint.ifindex == 0 || (endpoint.v4 != addr && endpoint.v6 != addr) {
        return Err(Drop::EndpointGone);
    }
    Ok(Side {
        identity: endpoint.identity,
        epoch: endpoint.epoch,
        index: entry.index,
        shard: 0,
        place: place::LOCAL,
        range: 0,
        _pad: 0,
    })
}

/// Who sent the packet. Each way in has its own proof.
#[inline(always)]
pub fn source_of(ctx: &TcContext, arrival: &Arrival, packet: &Packet) -> Result<Side, Drop> {
    let (entry, side) = side_at(packet.source);
    if arrival.tunnel != 0 {
        return tunnel_source(arrival, entry, side);
    }
    if arrival.seen_at == SeenAt::Pod as u32 {
        if entry.place != place::LOCAL {
            return Err(Drop::SpoofedSource);
        }
        let local = local_side(packet.source, entry)?;
        let endpoint = ENDPOINTS
            .get(u32::from(entry.index))
            .ok_or(Drop::EndpointGone)?;
        // SAFETY: a plain read of a context field.
        return if endpoint.ifindex == unsafe { (*ctx.skb.skb).ifindex } {
            Ok(local)
        } else {
            Err(Drop::SpoofedSource)
        };
    }
    if arrival.seen_at == SeenAt::Host as u32 {
        return host_source(ctx, entry, side);
    }
    match entry.place {
        place::WORLD => Ok(side),
        place::REMOTE => {
            let node = NODES
                .get(u32::from(entry.index))
                .ok_or(Drop::NodeUnreachable)?;
            if node.flags & node_flag::TUNNEL == 0 {
                Ok(side)
            } else if arrival.for_service != 0 && side.identity == REMOTE_NODE {
                // A node's own process asks, as anybody on the underlay may in its name: nothing vouches for it.
                Ok(Side {
                    identity: WORLD,
                    index: 0,
                    place: place::WORLD,
                    ..side
                })
            } else {
                Err(Drop::NotEncapsulated)
            }
        }
        place::NOWHERE => Err(Drop::NobodyThere),
        _ => Err(Drop::SpoofedSource),
    }
}

/// From the node's own stack: the node itself, the world beyond it, or somebody whom our own programs have marked.
#[inline(always)]
fn host_source(ctx: &TcContext, entry: AddressEntry, side: Side) -> Result<Side, Drop> {
    if let Some(identity) = from_host::marked(ctx) {
        return Ok(Side {
            identity,
            place: place::HOST,
            index: 0,
            ..side
        });
    }
    if entry.place == place::HOST || entry.place == place::WORLD {
        Ok(side)
    } else {
        Err(Drop::SpoofedSource)
    }
}

/// By a tunnel: a node of the mesh that may own the identity, for an address that is not known to be elsewhere.
#[inline(always)]
fn tunnel_source(arrival: &Arrival, entry: AddressEntry, side: Side) -> Result<Side, Drop> {
    let slot = NODE_SLOTS.get_ptr(&arrival.peer).ok_or(Drop::UnknownNode)?;
    // SAFETY: a map element found in this run.
    let slot = unsafe { *slot };
    let node = NODES.get(slot).ok_or(Drop::UnknownNode)?;
    if node.flags & node_flag::VALID == 0 || node.address != arrival.peer {
        return Err(Drop::UnknownNode);
    }
    if !may_claim(node, arrival.vni) {
        return Err(Drop::ForeignIdentity);
    }
    let elsewhere = match entry.place {
        place::LOCAL | place::HOST => true,
        place::REMOTE => u32::from(entry.index) != slot,
        _ => false,
    };
    if elsewhere {
        return Err(Drop::SpoofedSource);
    }
    Ok(Side {
        identity: arrival.vni,
        index: slot as u16,
        place: place::REMOTE,
        ..side
    })
}

/// Which identities packets of a node may carry: those of its cluster, and the reserved ones that make sense on a wire.
#[inline(always)]
fn may_claim(node: &NodeEntry, identity: u32) -> bool {
    if identity < 256 {
        // World, health, init, remote node, ingress, world by family; well-known and fixed ones from 100 on.
        return matches!(identity, 2 | 4 | 5 | 6 | 8 | 9 | 10 | 100..);
    }
    identity >> (setting!(identity_shift) & 31) == u32::from(node.cluster)
}

#[inline(always)]
pub fn destination_of(arrival: &Arrival, addr: Addr) -> Result<Side, Drop> {
    let (entry, side) = side_at(addr);
    if entry.place == place::LOCAL {
        return local_side(addr, entry);
    }
    let from_outside = arrival.tunnel != 0 || arrival.seen_at == SeenAt::Uplink as u32;
    match entry.place {
        place::HOST => Ok(side),
        place::NOWHERE => Err(Drop::NobodyThere),
        _ if from_outside => Err(Drop::NotOurs),
        place::REMOTE => {
            let node = NODES
                .get(u32::from(entry.index))
                .ok_or(Drop::NodeUnreachable)?;
            if node.flags & node_flag::VALID == 0 {
                Err(Drop::NodeUnreachable)
            } else {
                Ok(side)
            }
        }
        _ if arrival.seen_at == SeenAt::Host as u32 => Err(Drop::NobodyThere),
        _ => Ok(side),
    }
}
