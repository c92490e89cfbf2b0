//! What sources tell: nodes, addresses, and what happens to this node's own pods.

use crate::{
    change::PolicyEntry,
    event::Event,
    health::Silence,
    id::{ClusterId, EndpointId, Identity},
    local::{Attachment, PodName},
    net::Mac,
    record::Namespaced,
    service::{Definition, Offer},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Node(Source, Event<NodeKey, Node>),
    Address(Source, Event<AddressKey, Address>),
    /// A namespace of this node's own cluster, and what it says of whether it is global.
    Namespace(Event<String, Option<bool>>),
    /// A service of this node's own cluster.
    Service(Event<Namespaced, Definition>),
    /// A part of what a cluster has to answer for a service, by the part's own name.
    Slice(Source, Event<Namespaced, Offer>),
    /// All that another cluster has to answer for a service, in the older format.
    Shared(Source, Event<Namespaced, Offer>),
    /// A record that its reader could not understand; forgotten when the source starts over.
    Malformed {
        source: Source,
        set: Set,
        record: String,
    },
    /// The clusters whose stores are read and that have not told all they have since the start, each with its number if
    /// that is known from before. What was recovered and may be theirs stays.
    Awaited(BTreeMap<String, Option<ClusterId>>),
    /// Whether what another cluster has told may be out of date by now: its news do not come in.
    Stale(ClusterId, bool),
    /// Who of other clusters does not answer, all of them.
    Silent(Silence),
    /// The zone that this node is in, if it is in one.
    Zone(Option<String>),
    /// Ports for health checks that can't be opened, all of them, each with the reason.
    ChecksRefused(BTreeMap<u16, String>),
    Endpoint(EndpointFact),
}

/// Who tells. Where two tell of the same, the greater one is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    File,
    /// The store of another cluster.
    Cluster(ClusterId),
    /// Kubernetes of this node's own cluster.
    Kubernetes,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File => f.write_str("file"),
            Source::Cluster(id) => write!(f, "cluster {id}"),
            Source::Kubernetes => f.write_str("kubernetes"),
        }
    }
}

/// The sets that a source tells of, each with its own `Restart … Synced`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    Nodes,
    Addresses,
    Namespaces,
    Services,
    EndpointSlices,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeKey {
    pub cluster: String,
    pub name: String,
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub cluster_id: ClusterId,
    pub addresses: Vec<IpAddr>,
    pub pod_ranges: Vec<IpNet>,
}

/// An address and who has it. Two owners may claim one address for a while, when a pod's end and another pod's
/// beginning arrive in the wrong order; the later claim is believed, and the former one's end takes nothing from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressKey {
    pub prefix: IpNet,
    pub owner: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub identity: Identity,
    /// An address of the node where it lives.
    pub host: IpAddr,
}

/// A step in the life of a pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointFact {
    Reserve {
        attachment: Attachment,
        netns: String,
        pod: PodName,
        identity: Option<Identity>,
    },
    Attach {
        attachment: Attachment,
        ifindex: u32,
        mac: Mac,
    },
    /// Its pod's labels are known, or have changed.
    Identify {
        attachment: Attachment,
        identity: Identity,
    },
    Delete {
        attachment: Attachment,
    },
    Keep {
        attachments: Vec<Attachment>,
    },
    Rules {
        endpoint: EndpointId,
        entries: Vec<PolicyEntry>,
    },
    /// The host's end of its interface pair has vanished.
    InterfaceGone {
        ifindex: u32,
    },
}
