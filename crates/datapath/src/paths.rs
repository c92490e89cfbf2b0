//! How packets reach each node: next hop, Ethernet address and outer headers, kept right as the kernel's own view changes.

use crate::{
    Error,
    maps::{Nodes, to_addr},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::{AsRawFd, RawFd},
};
use tokio::io::{Interest, unix::AsyncFd};
use tombolo_abi::{GATEWAY_MAC, NodeEntry, VXLAN_PORT, node_flag};
use tombolo_linux::{neighbour::Neighbour, netlink::Netlink, watch::Watch};
use tombolo_model::{change::NodePath, id::NodeSlot, net::RoutingMode};

/// Source of the inner Ethernet header. The kernel's VXLAN device takes a packet from its own address for a loop.
const TUNNEL_MAC: [u8; 6] = [0x02, b't', b'u', b'n', b'n', b'l'];
const ETHERTYPE_V4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_V6: [u8; 2] = [0x86, 0xdd];
const TTL: u8 = 64;
const UDP: u8 = 17;
const DONT_FRAGMENT: u8 = 0x40;
/// "The VNI is valid".
const VXLAN_FLAGS: u8 = 0x08;

/// The wish for each node, and what the kernel's routes and neighbours make of it.
pub struct Paths {
    netlink: Netlink,
    wanted: BTreeMap<NodeSlot, NodePath>,
    own: Vec<IpAddr>,
    /// Neighbours that the kernel was asked to keep resolved.
    managed: BTreeSet<(u32, IpAddr)>,
    /// Nodes that no route leads to.
    unreachable: BTreeSet<NodeSlot>,
}

/// What the kernel said in one round, asked once for each device.
#[derive(Default)]
struct Seen {
    neighbours: BTreeMap<u32, BTreeMap<IpAddr, Neighbour>>,
}

impl Paths {
    pub fn new(own: Vec<IpAddr>) -> Result<Paths, Error> {
        let netlink = Netlink::open()?;
        Ok(Paths {
            netlink,
            wanted: BTreeMap::new(),
            own,
            managed: BTreeSet::new(),
            unreachable: BTreeSet::new(),
        })
    }

    pub fn set(&mut self, nodes: &mut Nodes, slot: NodeSlot, path: &NodePath) -> Result<(), Error> {
        self.wanted.insert(slot, path.clone());
        let mut seen = Seen::default();
        let entry = self.entry(slot, path, &mut seen);
        nodes.set(slot, &entry)
    }

    pub fn unset(&mut self, nodes: &mut Nodes, slot: NodeSlot) -> Result<(), Error> {
        self.wanted.remove(&slot);
        self.unreachable.remove(&slot);
        nodes.unset(slot)
    }

    /// Looks at routes and neighbours again, and writes what is different now.
    pub fn refresh(&mut self, nodes: &mut Nodes) -> Result<(), Error> {
        let mut seen = Seen::default();
        for (slot, path) in self.wanted.clone() {
            let entry = self.entry(slot, &path, &mut seen);
            nodes.set(slot, &entry)?;
        }
        Ok(())
    }

    pub fn warnings(&self) -> Vec<String> {
        let no_route = |slot: &NodeSlot| {
            let path = self.wanted.get(slot)?;
            let address = path.address;
            Some(format!(
                "no route to the node {address}: check the underlay with `ip route get {address}`"
            ))
        };
        self.unreachable.iter().filter_map(no_route).collect()
    }

    fn entry(&mut self, slot: NodeSlot, path: &NodePath, seen: &mut Seen) -> NodeEntry {
        let resolved = self.resolve(path, seen);
        if resolved.is_some() {
            self.unreachable.remove(&slot);
        } else {
            self.unreachable.insert(slot);
        }
        resolved.unwrap_or_else(|| NodeEntry {
            cluster: path.cluster.0,
            address: to_addr(path.address),
            flags: mode_flags(path),
            ..NodeEntry::default()
        })
    }

    /// Nothing when the kernel has no way to the node.
    fn resolve(&mut self, path: &NodePath, seen: &mut Seen) -> Option<NodeEntry> {
        let own = *self
            .own
            .iter()
            .find(|own| own.is_ipv4() == path.address.is_ipv4())?;
        let hop = self.netlink.lookup(path.address).ok()?;
        let device = self.netlink.link_by_index(hop.ifindex).ok()??;
        let next = hop.via.unwrap_or(path.address);
        let mac = self.neighbour(hop.ifindex, next, seen);
        let frame = Frame {
            to: mac.unwrap_or_default(),
            from: device.mac.unwrap_or_default(),
            own,
            peer: path.address,
        };
        let (header, checksum) = match path.routing {
            RoutingMode::Tunnel => frame.tunnel(),
            RoutingMode::Native => frame.ethernet(),
        };
        let resolved = if mac.is_some() {
            node_flag::RESOLVED
        } else {
            0
        };
        Some(NodeEntry {
            ifindex: hop.ifindex,
            flags: mode_flags(path) | node_flag::VALID | resolved,
            cluster: path.cluster.0,
            checksum,
            mtu: hop.mtu.unwrap_or(device.mtu).min(device.mtu),
            address: to_addr(path.address),
            next_hop: to_addr(next),
            header,
        })
    }

    /// The Ethernet address of a next hop; if the kernel does not know it, it is asked to find out and to keep it.
    fn neighbour(&mut self, ifindex: u32, next: IpAddr, seen: &mut Seen) -> Option<[u8; 6]> {
        let table = seen.neighbours.entry(ifindex).or_insert_with(|| {
            let all = self.netlink.neighbours(ifindex).unwrap_or_default();
            all.into_iter()
                .map(|neighbour| (neighbour.address, neighbour))
                .collect()
        });
        let known = table.get(&next);
        let is_managed = known.is_some_and(|neighbour| neighbour.managed);
        if !is_managed && (self.managed.insert((ifindex, next)) || known.is_none()) {
            // Refused on devices without addresses of their own; then every packet asks the kernel.
            let _ = self.netlink.manage_neighbour(ifindex, next);
        }
        known
            .filter(|neighbour| neighbour.is_valid())
            .and_then(|neighbour| neighbour.mac)
    }
}

fn mode_flags(path: &NodePath) -> u16 {
    let tunnel = if path.routing == RoutingMode::Tunnel {
        node_flag::TUNNEL
    } else {
        0
    };
    tunnel
        | if path.address.is_ipv6() {
            node_flag::V6
        } else {
            0
        }
}

/// What the template of a node's outer headers is made of.
struct Frame {
    to: [u8; 6],
    from: [u8; 6],
    own: IpAddr,
    peer: IpAddr,
}

impl Frame {
    fn ethernet(&self) -> ([u64; 11], u32) {
        let mut bytes = Vec::with_capacity(88);
        self.put_ethernet(&mut bytes);
        (words(bytes), 0)
    }

    fn put_ethernet(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to);
        bytes.extend(self.from);
        bytes.extend(if self.peer.is_ipv4() {
            ETHERTYPE_V4
        } else {
            ETHERTYPE_V6
        });
    }

    /// All headers, and the sum of the IPv4 one's words.
    fn tunnel(&self) -> ([u64; 11], u32) {
        let mut bytes = Vec::with_capacity(88);
        self.put_ethernet(&mut bytes);
        let mut checksum = 0;
        match (self.own, self.peer) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => {
                bytes.extend([0x45, 0, 0, 0, 0, 0, DONT_FRAGMENT, 0, TTL, UDP, 0, 0]);
                bytes.extend(own.octets());
                bytes.extend(peer.octets());
                checksum = bytes[14..]
                    .chunks(2)
                    .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
                    .sum();
            }
            (IpAddr::V6(own), IpAddr::V6(peer)) => {
                bytes.extend([0x60, 0, 0, 0, 0, 0, UDP, TTL]);
                bytes.extend(own.octets());
                bytes.extend(peer.octets());
            }
            _ => unreachable!("own and peer are of one family: the caller chose own by peer"),
        }
        bytes.extend([0, 0]);
        bytes.extend(VXLAN_PORT.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([VXLAN_FLAGS, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(GATEWAY_MAC);
        bytes.extend(TUNNEL_MAC);
        bytes.extend(ETHERTYPE_V4);
        (words(bytes), checksum)
    }
}

fn words(mut bytes: Vec<u8>) -> [u64; 11] {
    bytes.resize(88, 0);
    let mut words = [0; 11];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        *word = u64::from_ne_bytes(chunk.try_into().expect("88 bytes are 11 words"));
    }
    words
}

/// Tells when routes, neighbours or devices have changed.
pub struct WatchHandle(AsyncFd<WatchFd>);

struct WatchFd(Watch);

impl AsRawFd for WatchFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl WatchHandle {
    pub fn open() -> Result<WatchHandle, Error> {
        let watch = WatchFd(Watch::open()?);
        // SAFETY: the watch owns its socket, never swaps it, and closes it when it is dropped with the `AsyncFd`.
        let fd = unsafe { AsyncFd::register_with_interest(watch, Interest::READABLE) }.map_err(
            |error| Error::Io {
                operation: "watching the kernel's routes",
                source: error.into(),
            },
        )?;
        Ok(WatchHandle(fd))
    }

    /// Waits for the next change. Cancel-safe: what was not taken is there at the next call.
    pub async fn changed(&mut self) -> Result<(), Error> {
        loop {
            let mut guard = self.0.readable_mut().await.map_err(|source| Error::Io {
                operation: "watching the kernel's routes",
                source,
            })?;
            let seen = guard.get_inner_mut().0.drain()?;
            guard.clear_ready();
            if seen.neighbours || seen.links || seen.routes {
                return Ok(());
            }
        }
    }
}
