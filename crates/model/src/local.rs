//! The words that the CNI plugin and the command line speak to the agent of their node.
//!
//! One JSON object a line over a Unix socket that only root may open: a [`Request`], then one [`Reply`];
//! after `monitor`, one [`Reply::Flow`] a line until the caller hangs up.

use crate::{
    change::PolicyEntry,
    id::{ClusterId, EndpointId, Identity},
    net::{Mac, PodAddresses, RoutingMode},
    reason::Flow,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// Where the agent listens unless told otherwise.
pub const SOCKET_PATH: &str = "/run/tombolo/agent.sock";
/// Where the plugin leaves deletions for an agent that is away: a file for each, an [`Attachment`] as JSON.
/// Names that begin with a dot are drafts. The agent reads the folder when it listens already, so that none is missed.
pub const DELETE_QUEUE_PATH: &str = "/var/lib/tombolo/cni/deletes";

/// One interface of one container: what CNI calls an attachment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    pub container: String,
    pub interface: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Reserves an endpoint and its addresses. Asking again for an attachment that is not yet attached gives the same answer.
    EndpointCreate {
        attachment: Attachment,
        #[serde(default)]
        netns: String,
        #[serde(default)]
        pod: PodName,
        /// For pods that no Kubernetes gives labels to.
        #[serde(default)]
        identity: Option<Identity>,
    },
    /// The interface pair is there, still down: attach programs, fill the kernel's tables.
    EndpointAttach {
        attachment: Attachment,
        ifindex: u32,
        mac: Mac,
    },
    /// Forgets an endpoint; succeeds when there is none.
    EndpointDelete {
        attachment: Attachment,
    },
    /// Deletes all endpoints but these.
    EndpointKeep {
        attachments: Vec<Attachment>,
    },
    EndpointList,
    /// Replaces an endpoint's rules until policies come from Kubernetes; an empty list allows everything again.
    PolicySet {
        endpoint: EndpointId,
        entries: Vec<PolicyEntry>,
    },
    NodeList,
    AddressList,
    ServiceList,
    ServiceExplain {
        namespace: String,
        name: String,
    },
    Status,
    /// Loads the programs anew and replaces the running ones, each at one instant.
    ProgramsReplace,
    Monitor {
        /// Tell of allowed connections too, not of drops alone.
        #[serde(default)]
        allowed: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Planned(EndpointPlan),
    Endpoint(Endpoint),
    Endpoints {
        endpoints: Vec<Endpoint>,
    },
    Nodes {
        nodes: Vec<NodeView>,
    },
    Addresses {
        addresses: Vec<AddressView>,
    },
    Services {
        services: Vec<ServiceSummary>,
    },
    Service(Box<ServiceView>),
    Status(Box<Status>),
    Flow(Flow),
    /// The reader was too slow, or the kernel's ring was full.
    Lost {
        flows: u64,
    },
    Done,
    Error(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: FailureCode,
    /// What went wrong, in one line.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub hint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    BadRequest,
    NotFound,
    /// The attachment is already attached.
    Exists,
    /// The node's range, or the endpoint table, has no room left.
    Exhausted,
    /// The agent is not ready; ask again.
    Unavailable,
    /// The kernel refused.
    Kernel,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodName {
    #[serde(default)]
    pub namespace: String,
    #[serde(default)]
    pub name: String,
}

/// All that the plugin needs to make a pod's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPlan {
    pub id: EndpointId,
    /// Name of the host's end.
    pub host_interface: String,
    pub addresses: PodAddresses,
    /// Next hops of the pod's default routes, answered for by the programs.
    pub gateways: PodAddresses,
    pub mtu: u32,
    /// Ethernet address of the host's end.
    pub gateway_mac: Mac,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub attachment: Attachment,
    pub pod: PodName,
    pub identity: Identity,
    pub addresses: PodAddresses,
    pub host_interface: String,
    pub state: EndpointState,
    /// 0 until attached.
    pub ifindex: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    pub rules: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// Addresses are reserved, the interface is not there yet.
    Reserved,
    Ready,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    pub cluster: String,
    pub cluster_id: ClusterId,
    pub name: String,
    pub addresses: Vec<IpAddr>,
    pub pod_ranges: Vec<IpNet>,
    /// The address in use, absent for the node itself and for a node that can't be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<IpAddr>,
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressView {
    pub prefix: IpNet,
    pub identity: Identity,
    /// `local 3`, `host`, `remote cluster2/node1`, `world`, `nowhere`.
    pub place: String,
    /// Who says so; `kept` if nobody has since the agent's start.
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSummary {
    pub namespace: String,
    pub name: String,
    pub addresses: Vec<IpAddr>,
    /// As `80/TCP`.
    pub ports: Vec<String>,
    /// Other clusters' backends answer too.
    pub global: bool,
    /// Other clusters may use its backends.
    pub shared: bool,
    /// `none`, `local` or `remote`.
    pub affinity: String,
    /// Backends that are known, of any cluster and in any state.
    pub backends: usize,
    /// Those that get new connections from this node.
    pub used: usize,
    /// Those of them that are other clusters'.
    pub used_remote: usize,
    /// What is not as it should be, a sentence each.
    pub conditions: Vec<String>,
}

/// A service, and who of its backends gets what from this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    pub namespace: String,
    pub name: String,
    pub global: bool,
    pub shared: bool,
    pub affinity: String,
    /// Order, weights and spill-over of clusters; empty if nothing is said of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub grades: String,
    /// How a backend is chosen for what comes from outside, `random` or `maglev`; empty if nothing may come.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub algorithm: String,
    pub frontends: Vec<FrontendView>,
    /// Where balancers ask whether this node has backends of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<CheckView>,
    pub conditions: Vec<String>,
    /// Port by port.
    pub backends: Vec<BackendView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    pub port: u16,
    /// Of this node, ready for new connections; balancers are told to leave the node out if there is none.
    pub endpoints: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontendView {
    /// `ClusterIP`, `LoadBalancer`, `ExternalIP` or `NodePort`.
    pub kind: String,
    pub address: String,
    pub protocol: String,
    /// The port's name.
    pub port: String,
    /// Whom it is for, where it is not for anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<IpNet>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendView {
    pub cluster: String,
    pub remote: bool,
    /// Absent where its cluster does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    pub address: String,
    /// The port's name.
    pub port: String,
    pub protocol: String,
    /// `active`, `terminating`, `ending` or `not ready`.
    pub state: String,
    /// As the kernel has it: 0 when it gets no new connections.
    pub weight: u16,
    /// Of the new connections to this port, in this family: from 0 to 1.
    pub share: f64,
    /// Since it, its node, or its whole cluster, answered last; absent while they do, or where others' silence changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<f64>,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub cluster: String,
    pub cluster_id: ClusterId,
    pub node: String,
    pub routing: RoutingMode,
    pub pod_ranges: Vec<IpNet>,
    pub pod_mtu: u32,
    pub uptime_seconds: u64,
    /// True when every source of facts has told all it had at start, or clusters have been waited for long enough.
    pub synced: bool,
    /// Clusters that have not told all they have since the start.
    #[serde(default)]
    pub awaited: Vec<String>,
    /// What is known from before the start and kept for the clusters that are awaited: addresses, ranges, routes, nodes.
    #[serde(default)]
    pub kept: usize,
    pub endpoints: usize,
    pub nodes: usize,
    pub addresses: usize,
    /// Changes that the kernel refused and that are tried again.
    pub pending: usize,
    pub flows: TableUse,
    /// Free addresses by family.
    pub free_addresses: BTreeMap<String, u64>,
    /// Packets dropped since the maps were made, by reason; zeros left out.
    pub drops: BTreeMap<String, u64>,
    pub events_lost: u64,
    /// Devices that packets from other nodes enter by.
    pub uplinks: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
    /// Records of facts that were refused, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The clusters whose stores are read, each by its name.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// Absent where the agent answers no questions for names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NamesStatus>,
}

/// What becomes of the questions for names that pods and the node ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesStatus {
    /// Where they are led to; none before the own cluster has told all its services.
    pub addresses: Vec<IpAddr>,
    /// Pods of the cluster's own name servers, who are asked for the rest.
    pub servers: usize,
    /// From what the node knows.
    pub answered: u64,
    /// To the name servers, who have answered.
    pub forwarded: u64,
    /// By an error, since no name server has answered or what was asked made no sense.
    pub failed: u64,
    /// Not taken: of strangers, or too many at once.
    pub refused: u64,
}

/// Whether the nodes of a cluster answer that hold backends of services of this node's cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathStatus {
    pub nodes: usize,
    pub answering: usize,
    /// Those that have not answered the last questions, too few to be sure.
    pub suspect: usize,
    pub silent: usize,
    /// Those that have never answered, and are taken for well.
    pub unknown: usize,
    /// Since anything of the cluster has answered; absent while something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<f64>,
    #[serde(default)]
    pub backends: BackendsStatus,
}

/// Whether the backends themselves answer, as far as they are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendsStatus {
    pub asked: usize,
    pub answering: usize,
    pub suspect: usize,
    /// Those that have answered before. It counts only while there are no news of the cluster.
    pub silent: usize,
    pub unknown: usize,
}

/// A cluster whose store is read, and how the reading goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub cluster: String,
    /// Absent until it has been believed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<ClusterId>,
    /// All that it has is known, and its changes are followed.
    pub ready: bool,
    /// `waiting`, `connecting`, `reading`, `ready` or `leaving`.
    pub phase: String,
    /// Where its store is looked for.
    pub endpoints: Vec<String>,
    /// Why it is not ready, or what is wrong with its file, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What to do about the trouble.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// The way to its nodes, whatever the store says; absent where none is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathStatus>,
    /// Connections that ended by a failure.
    pub failures: u64,
    /// For how long what is known may have been out of date; absent if it is followed now, or nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_seconds: Option<u64>,
    /// Since its last sign of life, while connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<u64>,
    /// By kind.
    pub records: BTreeMap<String, u64>,
    /// Records that are not believed now, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The last of them, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rejected: Option<String>,
    /// Until the certificate by which we are known there ends; negative when it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_days: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableUse {
    pub used: u64,
    pub size: u64,
}
