//! Keys and values of the maps.

use crate::{Addr, Drop};

pub const ENDPOINTS_MAX: u32 = 4096;
pub const NODES_MAX: u32 = 65536;
pub const ADDRESSES_MAX: u32 = 1 << 20;
/// The agent asks for another size when the map is made.
pub const FLOWS_MAX: u32 = 1 << 19;
pub const FRAGMENTS_MAX: u32 = 8192;
pub const POLICY_RULES_MAX: u32 = 16384;
pub const EVENTS_BYTES: u32 = 1 << 20;
/// One counter per hash of an address, then one that counts for all.
pub const EPOCHS_MAX: u32 = 65537;
/// Rises when a range of addresses changes hands.
pub const EPOCH_OF_RANGES: u32 = 65536;
/// Longest record that the agent keeps of an endpoint.
pub const RECORD_BYTES: usize = 1024;

/// What the programs are told once, when they are loaded. The verifier sees these as constants.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// The node's own underlay addresses, all zero when it has none of the family.
    pub node_v4: Addr,
    pub node_v6: Addr,
    /// Source of the errors that pods are told, and the address of their gateway.
    pub router_v4: Addr,
    pub router_v6: Addr,
    /// The node's own ranges of pods: network and mask.
    pub pods_v4: [Addr; 2],
    pub pods_v6: [Addr; 2],
    /// The kernel's VXLAN device that packets fall back to.
    pub vxlan_ifindex: u32,
    pub pod_mtu: u32,
    /// 16 with 255 clusters, 15 with 511.
    pub identity_shift: u32,
    /// See [`setting`].
    pub flags: u32,
    /// The node's own.
    pub cluster: u32,
    pub _pad: u32,
    /// Cookie of the node's own network namespace.
    pub netns: u64,
}

/// Bits of [`Settings::flags`].
pub mod setting {
    /// Pods that speak to the world borrow the node's address.
    pub const MASQUERADE: u32 = 1;
}

/// Marks that a packet carries through the node's own stack.
pub mod mark {
    /// The packet came through our programs and carries the sender's identity.
    pub const IDENTITY: u32 = 0x0f00;
    pub const IDENTITY_MASK: u32 = 0x0f00;
    /// The packet leaves the mesh and needs the node's address.
    pub const MASQUERADE: u32 = 0x1000;

    /// Low 16 bits of the identity above, its high 8 bits below, as Cilium lays them.
    #[inline(always)]
    pub const fn with_identity(identity: u32) -> u32 {
        IDENTITY | ((identity & 0xffff) << 16) | ((identity >> 16) & 0xff)
    }

    #[inline(always)]
    pub const fn identity(mark: u32) -> u32 {
        (mark >> 16) | ((mark & 0xff) << 16)
    }
}

/// Kinds of places that an address can be at.
pub mod place {
    pub const NOWHERE: u8 = 0;
    pub const LOCAL: u8 = 1;
    pub const HOST: u8 = 2;
    pub const REMOTE: u8 = 3;
    pub const WORLD: u8 = 4;
}

/// Key of `ADDRESSES`, behind the prefix length that every such map begins with. A look-up asks for [`ADDRESS_BITS`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddressKey {
    /// Tells overlapping ranges apart; 0 while none overlap.
    pub cluster: u16,
    pub _pad: u16,
    pub addr: [u32; 4],
}

/// Bits before the address proper in an [`AddressKey`].
pub const ADDRESS_BITS_BEFORE: u32 = 32;
pub const ADDRESS_BITS: u32 = ADDRESS_BITS_BEFORE + 128;

/// Value of `ADDRESSES`: who and where.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddressEntry {
    pub identity: u32,
    /// Endpoint or node.
    pub index: u16,
    /// See [`place`].
    pub place: u8,
    /// 1 when the entry is a range and not a single address.
    pub range: u8,
}

/// Value of `ENDPOINTS`. Number 0 is the node itself.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndpointEntry {
    /// Rises with every change of the endpoint or of its policy, and never falls, not even when the number is used again.
    pub epoch: u32,
    /// The host's end of the pair; 0 when there is no such endpoint.
    pub ifindex: u32,
    pub identity: u32,
    pub mac: [u8; 6],
    pub _pad: u16,
    pub v4: Addr,
    pub v6: Addr,
}

/// Bytes of outer headers and inner Ethernet header, by the family of the underlay.
pub const OUTER_V4: usize = 64;
pub const OUTER_V6: usize = 84;
/// What a tunnel takes from the underlay's MTU.
pub const OVERHEAD_V4: u32 = 50;
pub const OVERHEAD_V6: u32 = 70;

/// Bits of [`NodeEntry::flags`].
pub mod node_flag {
    pub const VALID: u16 = 1;
    pub const TUNNEL: u16 = 2;
    /// The underlay to this node is IPv6.
    pub const V6: u16 = 4;
    /// The next hop's Ethernet address is in the header.
    pub const RESOLVED: u16 = 8;
}

/// Value of `NODES`: how packets reach another node.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeEntry {
    pub ifindex: u32,
    pub flags: u16,
    pub cluster: u16,
    /// Sum of the outer IPv4 header with length, checksum and ECN zero.
    pub checksum: u32,
    /// Smallest MTU that the node itself knows of on the way.
    pub mtu: u32,
    /// Underlay address of the node.
    pub address: Addr,
    /// Whom to hand packets to on the wire.
    pub next_hop: Addr,
    /// All outer headers, ready but for lengths, checksum, source port and identity. In native mode the Ethernet header alone.
    pub header: [u64; 11],
}

/// Value of `PATH_MTU`: what routers on the way to a node told; written by the kernel alone.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PathMtu {
    pub mtu: u32,
    /// When it was told, in [`ticks`].
    pub since: u32,
}

/// Time as flows count it: 2^26 ns, about 67 ms. Wraps after nine years.
pub mod ticks {
    pub const SHIFT: u32 = 26;
    pub const fn from_secs(secs: u64) -> u32 {
        ((secs * 1_000_000_000) >> SHIFT) as u32
    }
    pub const SYN: u32 = from_secs(60);
    pub const ESTABLISHED: u32 = from_secs(21_600);
    pub const CLOSING: u32 = from_secs(10);
    pub const OTHER: u32 = from_secs(60);
    pub const PATH_MTU: u32 = from_secs(600);
    pub const FRAGMENT: u32 = from_secs(30);
}

/// Key of `FLOWS`: the same for both directions, the lower of the two ends first.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowKey {
    pub lower: Addr,
    pub upper: Addr,
    /// In network order.
    pub lower_port: u16,
    pub upper_port: u16,
    pub protocol: u8,
    /// Tells echo requests of one end from those of the other; 0 but for ICMP.
    pub kind: u8,
    /// Tells overlapping ranges apart; 0 while none overlap.
    pub zone: u16,
}

/// One end of a flow: all that the way to it and the trust in it needs.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Side {
    pub identity: u32,
    /// What the endpoint's or the address's counter was when the flow was judged.
    pub epoch: u32,
    /// Endpoint or node.
    pub index: u16,
    /// Counter of the address.
    pub shard: u16,
    /// See [`place`].
    pub place: u8,
    /// 1 when the place came from a range.
    pub range: u8,
    pub _pad: u16,
}

/// Bits of [`Flow::state`].
pub mod flow_state {
    pub const REPLIED: u8 = 1;
    pub const FIN_LOWER: u8 = 2;
    pub const FIN_UPPER: u8 = 4;
    pub const FIN_BOTH: u8 = 6;
    pub const RESET: u8 = 8;
    /// The flow is TCP, whose times follow its state.
    pub const TCP: u8 = 16;
    /// Opened from outside for a service: answers are translated back.
    pub const TRANSLATED: u8 = 32;
}

/// Value of `FLOWS`: conntrack and cache in one.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flow {
    /// Lower, upper.
    pub sides: [Side; 2],
    /// When the last packet passed, and how long after that the flow is forgotten; in [`ticks`].
    pub last: u32,
    pub lifetime: u32,
    pub created: u32,
    /// Source port of the outer UDP header, in network order.
    pub source_port: u16,
    /// Which side opened: 0 the lower, 1 the upper.
    pub opener: u8,
    /// See [`flow_state`].
    pub state: u8,
}

/// Key of `FRAGMENTS`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FragmentKey {
    pub source: Addr,
    pub destination: Addr,
    pub id: u32,
    pub protocol: u8,
    pub _pad: [u8; 3],
}

/// Value of `FRAGMENTS`: what only the first fragment carries.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fragment {
    pub source_port: u16,
    pub destination_port: u16,
    pub kind: u8,
    pub _pad: [u8; 3],
    /// In [`ticks`].
    pub since: u32,
}

/// Key of an endpoint's rules, behind the prefix length. Identity and direction always count; then the protocol, then the port.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PolicyKey {
    /// 0 stands for anyone.
    pub identity: u32,
    /// 0 into the pod, 1 out of it.
    pub direction: u8,
    pub protocol: u8,
    /// In network order.
    pub port: u16,
}

pub const POLICY_BITS_PEER: u32 = 40;
pub const POLICY_BITS_PROTOCOL: u32 = 48;
pub const POLICY_BITS: u32 = 64;

pub mod direction {
    pub const INGRESS: u8 = 0;
    pub const EGRESS: u8 = 1;
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PolicyRule {
    pub precedence: u32,
    /// 1 when the rule denies.
    pub deny: u8,
    /// The rule's own prefix length, to settle ties.
    pub bits: u8,
    pub _pad: u16,
}

/// Value of `COUNTERS`, one for each CPU.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// Indices of `COUNTERS`: first the reasons of drops, by their numbers, then these.
pub mod counter {
    use super::Drop;
    pub const DROPS: u32 = Drop::COUNT as u32;
    /// Packets that the flow table had no answer for.
    pub const SLOW_PATH: u32 = DROPS;
    pub const EVENTS_LOST: u32 = DROPS + 1;
    /// Connections judged anew since something changed.
    pub const REJUDGED: u32 = DROPS + 2;
    /// Packets that left by the kernel's VXLAN device.
    pub const FALLBACK_SENT: u32 = DROPS + 3;
    /// Packets that were left to the kernel's VXLAN device on arrival.
    pub const FALLBACK_RECEIVED: u32 = DROPS + 4;
    /// Path MTUs learnt from routers.
    pub const PATH_MTU_LEARNT: u32 = DROPS + 5;
    pub const MAX: u32 = DROPS + 6;
}

const _: () = {
    assert!(size_of::<Addr>() == 16 && align_of::<Addr>() == 8);
    assert!(size_of::<Settings>() == 160);
    assert!(size_of::<AddressKey>() == 20 && align_of::<AddressKey>() == 4);
    assert!(size_of::<AddressEntry>() == 8);
    assert!(size_of::<EndpointEntry>() == 56);
    assert!(size_of::<NodeEntry>() == 136);
    assert!(size_of::<FlowKey>() == 40);
    assert!(size_of::<Side>() == 16);
    assert!(size_of::<Flow>() == 48);
    assert!(size_of::<FragmentKey>() == 40);
    assert!(size_of::<Fragment>() == 12);
    assert!(size_of::<PolicyKey>() == 8);
    assert!(size_of::<PolicyRule>() == 8);
    assert!(OUTER_V6 <= size_of::<[u64; 11]>());
};

#[cfg(feature = "user")]
mod user {
    use super::*;

    pod!(
        Addr,
        Settings,
        AddressKey,
        AddressEntry,
        EndpointEntry,
        NodeEntry,
        PathMtu,
        FlowKey,
        Flow,
        FragmentKey,
        Fragment,
        PolicyKey,
        PolicyRule,
        Counter
    );
}
