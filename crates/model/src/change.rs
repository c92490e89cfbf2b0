//! What the decisions ask of the kernel. `datapath` applies these and nothing else.

use crate::{
    id::{ClusterId, EndpointId, Identity, NodeSlot},
    net::{Mac, PodAddresses, RoutingMode},
    service::{Backend, BackendPath, Frontend, FrontendPath, maglev},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One step from what the kernel holds to what it should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node that packets can be sent to or come from. A slot leads to one underlay address from its first `NodeSet` to its
    /// `NodeGone`, no two lead to the same, and none goes while an address refers to it.
    NodeSet(NodeSlot, NodePath),
    NodeGone(NodeSlot),
    /// Who and where an address or a range of addresses is.
    AddressSet(IpNet, Reach),
    AddressGone(IpNet),
    /// A local pod whose interface is there.
    EndpointSet(EndpointId, EndpointPath),
    EndpointGone(EndpointId),
    /// All rules of one endpoint, replacing the former ones at once.
    PolicySet(EndpointId, Vec<PolicyEntry>),
    /// The node's kernel routes to a range of pods through Tombolo's host device.
    RouteSet(IpNet),
    RouteGone(IpNet),
    /// Where clients think that a service is. Every pool's own frontend leads to it.
    FrontendSet(Frontend, FrontendPath),
    FrontendGone(Frontend),
    /// One that answers for a pool, which is named by the frontend that is the service's own.
    BackendSet(Frontend, Backend, BackendPath),
    BackendGone(Frontend, Backend),
    /// What comes from outside for a pool is led by a table. All its backends are set.
    MaglevSet(Frontend, maglev::Table),
    MaglevGone(Frontend),
}

impl Change {
    /// One of those that come by the million, all of a kind, and rest on nothing but one another.
    pub fn is_small(&self) -> bool {
        matches!(self, Change::BackendSet(_, _, path) if path.weight > 0)
    }
}

/// How to reach a node of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePath {
    /// The cluster that the node may claim identities of.
    pub cluster: ClusterId,
    /// The underlay address that packets are sent to and must come from.
    pub address: IpAddr,
    pub routing: RoutingMode,
}

/// Who an address belongs to, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    pub identity: Identity,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A pod of this node.
    Local(EndpointId),
    /// This node itself.
    Host,
    /// A pod of another node, or that node itself.
    Remote(NodeSlot),
    /// Outside of the mesh; a pod that speaks to it borrows the node's address.
    World,
    /// Inside of a pod range of the mesh, but nobody is known to have it: packets are dropped, never sent to the world.
    Nowhere,
}

/// A local pod, as the kernel must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPath {
    pub identity: Identity,
    /// The host's end of the pod's interface pair.
    pub ifindex: u32,
    /// The pod's own Ethernet address.
    pub mac: Mac,
    pub addresses: PodAddresses,
}

/// One rule of an endpoint's policy, as the kernel matches it: the highest precedence wins, then the longer port prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEntry {
    pub direction: Direction,
    /// The peer; [`Identity::UNKNOWN`] stands for anyone.
    pub identity: Identity,
    /// IP protocol number; 0 stands for any, and then the port must be 0.
    #[serde(default)]
    pub protocol: u8,
    /// First port of the range; 0 with prefix 0 stands for any.
    #[serde(default)]
    pub port: u16,
    /// How many leading bits of the port must match, 0 to 16.
    #[serde(default)]
    pub port_prefix: u8,
    pub verdict: Verdict,
    #[serde(default)]
    pub precedence: u32,
}

impl PolicyEntry {
    /// The rule of an endpoint that no policy selects in this direction.
    pub fn allow_all(direction: Direction) -> PolicyEntry {
        PolicyEntry {
            direction,
            identity: Identity::UNKNOWN,
            protocol: 0,
            port: 0,
            port_prefix: 0,
            verdict: Verdict::Allow,
            precedence: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Into the pod.
    Ingress,
    /// Out of the pod.
    Egress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Allow,
    Deny,
}
