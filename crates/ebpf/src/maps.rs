//! The maps, and the settings that are constants to the verifier.

use crate::packet::Packet;
use aya_ebpf::{
    btf_maps::{
        Array, ArrayOfMaps, HashMap, HashOfMaps, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SockMap,
    },
    macros::btf_map,
};
use tombolo_abi::{
    ADDRESSES_MAX, Addr, AddressEntry, AddressKey, BACKENDS_MAX, BackendEntry, CLIENTS_MAX,
    ClientEntry, ClientKey, Counter, ENDPOINTS_MAX, EPOCHS_MAX, EVENTS_BYTES, EndpointEntry, Ends,
    Event, FLOWS_MAX, FRAGMENTS_MAX, FRONTENDS_MAX, Flow, FlowKey, Fragment, FragmentKey,
    FrontendEntry, FrontendKey, MAGLEV_MAX, MaglevPage, NAME_SOCKETS_MAX, NODES_MAX, NodeEntry,
    POLICY_RULES_MAX, POOLS_MAX, PathMtu, PolicyKey, PolicyRule, PoolEntry, SOCKETS_MAX,
    SOURCES_MAX, Settings, SlotEntry, SlotKey, SocketFrontend, SocketKey, SourceKey,
    TRANSLATIONS_MAX, Translation, counter,
};

/// `BPF_F_INNER_MAP`: others of another length may stand in its place.
const INNER_MAP: usize = 0x1000;

/// Filled in by the loader.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings {
    node_v4: Addr { words: [0; 2] },
    node_v6: Addr { words: [0; 2] },
    router_v4: Addr { words: [0; 2] },
    router_v6: Addr { words: [0; 2] },
    pods_v4: [Addr { words: [0; 2] }; 2],
    pods_v6: [Addr { words: [0; 2] }; 2],
    vxlan_ifindex: 0,
    pod_mtu: 0,
    identity_shift: 0,
    flags: 0,
    cluster: 0,
    _pad: 0,
    netns: 0,
};

macro_rules! setting {
    ($field:ident) => {
        // SAFETY: a plain read of a static; volatile, because the loader changes it after the compiler has seen it.
        unsafe { core::ptr::read_volatile(&raw const crate::maps::SETTINGS.$field) }
    };
}
pub(crate) use setting;

#[btf_map]
pub static FLOWS: LruHashMap<FlowKey, Flow, { FLOWS_MAX as usize }> = LruHashMap::new();
#[btf_map]
pub static ENDPOINTS: Array<EndpointEntry, { ENDPOINTS_MAX as usize }> = Array::new();
#[btf_map]
pub static NODES: Array<NodeEntry, { NODES_MAX as usize }> = Array::new();
/// Underlay address to slot.
#[btf_map]
pub static NODE_SLOTS: HashMap<Addr, u32, { NODES_MAX as usize }, 1> = HashMap::new();
#[btf_map]
pub static ADDRESSES: LpmTrie<AddressKey, AddressEntry, { ADDRESSES_MAX as usize }> =
    LpmTrie::new();
/// How often the addresses of a shard have moved or changed hands.
#[btf_map]
pub static EPOCHS: Array<u32, { EPOCHS_MAX as usize }> = Array::new();
#[btf_map]
pub static POLICY: ArrayOfMaps<
    LpmTrie<PolicyKey, PolicyRule, { POLICY_RULES_MAX as usize }>,
    { ENDPOINTS_MAX as usize },
> = ArrayOfMaps::new();
#[btf_map]
pub static PATH_MTU: Array<PathMtu, { NODES_MAX as usize }> = Array::new();
#[btf_map]
pub static FRAGMENTS: LruHashMap<FragmentKey, Fragment, { FRAGMENTS_MAX as usize }> =
    LruHashMap::new();
// Entries of these four are allocated as they come, so that none is written over while a program reads it.
#[btf_map]
pub static FRONTENDS: HashMap<FrontendKey, FrontendEntry, { FRONTENDS_MAX as usize }, 1> =
    HashMap::new();
#[btf_map]
pub static POOLS: HashMap<u32, PoolEntry, { POOLS_MAX as usize }, 1> = HashMap::new();
#[btf_map]
pub static SLOTS: HashMap<SlotKey, SlotEntry, { BACKENDS_MAX as usize }, 1> = HashMap::new();
#[btf_map]
pub static BACKENDS: HashMap<u32, BackendEntry, { BACKENDS_MAX as usize }, 1> = HashMap::new();
/// Who may come from outside, where not anybody may.
#[btf_map]
pub static SOURCES: LpmTrie<SourceKey, u32, { SOURCES_MAX as usize }> = LpmTrie::new();
/// Tables of pools whose backends are chosen alike on all nodes.
#[btf_map]
pub static MAGLEV: HashOfMaps<u32, Array<MaglevPage, 1, INNER_MAP>, { MAGLEV_MAX as usize }, 1> =
    HashOfMaps::new();
/// The agent's sockets that answer questions for names; the kernel takes one out when it is closed.
#[btf_map]
pub static NAME_SOCKETS: SockMap<{ NAME_SOCKETS_MAX as usize }> = SockMap::new();
/// Which backend a client is led to again.
#[btf_map]
pub static CLIENTS: LruHashMap<ClientKey, ClientEntry, { CLIENTS_MAX as usize }> =
    LruHashMap::new();
/// What each socket that was led to a backend takes for its peer.
#[btf_map]
pub static SOCKET_FRONTENDS: LruHashMap<SocketKey, SocketFrontend, { SOCKETS_MAX as usize }> =
    LruHashMap::new();
/// Which backend the datagrams of a socket go to.
#[btf_map]
pub static SOCKET_BACKENDS: LruHashMap<SocketKey, u32, { SOCKETS_MAX as usize }> =
    LruHashMap::new();
/// What packets of connections from outside become, in each direction.
#[btf_map]
pub static TRANSLATIONS: LruHashMap<Ends, Translation, { TRANSLATIONS_MAX as usize }> =
    LruHashMap::new();
#[btf_map]
pub static COUNTERS: PerCpuArray<Counter, { counter::MAX as usize }> = PerCpuArray::new();
#[btf_map]
pub static EVENTS: RingBuf<Event, { EVENTS_BYTES as usize }> = RingBuf::new();
/// Which events are told.
#[btf_map]
pub static MONITOR: Array<u32, 1> = Array::new();
/// Where the slow path keeps what the stack has no room for. Programs at these hooks don't interrupt one another on a CPU.
#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// Bytes that a checksum is taken of.
pub type Room = [u8; 128];

#[repr(C)]
pub struct Scratch {
    pub packet: Packet,
    pub key: FlowKey,
    pub flow: Flow,
    /// What a packet that is too big should be at most, without the Ethernet header.
    pub mtu: u32,
    /// Which end of the key sent the packet.
    pub from: u32,
    /// 1 while `packet` is of the packet that is being judged.
    pub is_read: u32,
    /// Source and destination, as far as they are known; 0 where not.
    pub identities: [u32; 2],
    pub endpoints: [u16; 2],
    pub fragment: FragmentKey,
    /// Of a packet for a service from outside, or of an answer to one: its ends as it came in, and what they become.
    pub ends: Ends,
    pub translation: Translation,
    pub twin: Translation,
    /// Ends of the packets of the other direction.
    pub turned: Ends,
    pub tcp_flags: u32,
    pub headers: u32,
    /// The backend that all nodes lead the connection to, 0 if each draws; and the hash that it was found by.
    pub picked: u32,
    pub hash: u32,
    pub bytes: Room,
}

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the map has one element for each CPU, and programs at these hooks don't interrupt one another on a CPU.
    SCRATCH
        .get_ptr_mut(0)
        .map(|scratch| unsafe { &mut *scratch })
}

#[inline(always)]
pub fn count(index: u32, bytes: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: an element of this CPU alone.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += u64::from(bytes);
        }
    }
}
