//! How the parts of a lab are called, and back from the name to the part.

use super::{PlanError, number};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A node: `c1-n2` is the second of the first cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NodeId {
    pub cluster: u8,
    pub number: u8,
}

/// What runs programs: a node, or the place of a cluster's own programs, `c1-control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum MachineId {
    Control(u8),
    Node(NodeId),
}

/// A pod: `c1-n2-p3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PodId {
    pub node: NodeId,
    pub number: u8,
}

/// What a verb is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Machine(MachineId),
    Cluster(u8),
    /// The way between two clusters.
    Pair(u8, u8),
}

/// A network namespace of a lab that has a name on the host; those of pods are known to their node alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    Router,
    World,
    /// A cluster's switch and gateway.
    Gateway(u8),
    Machine(MachineId),
}

pub fn cluster_name(cluster: u8) -> String {
    format!("cluster{cluster}")
}

impl Namespace {
    pub fn name(self, lab: &str) -> String {
        match self {
            Namespace::Router => format!("{lab}-router"),
            Namespace::World => format!("{lab}-world"),
            Namespace::Gateway(cluster) => format!("{lab}-c{cluster}"),
            Namespace::Machine(machine) => format!("{lab}-{machine}"),
        }
    }

    /// The part of this lab that is called so, if it is one; other labs' names may begin alike.
    pub fn parse(lab: &str, name: &str) -> Option<Namespace> {
        let rest = name.strip_prefix(lab)?.strip_prefix('-')?;
        match rest {
            "router" => Some(Namespace::Router),
            "world" => Some(Namespace::World),
            _ => match rest.parse() {
                Ok(machine) => Some(Namespace::Machine(machine)),
                Err(_) => Some(Namespace::Gateway(number(rest.strip_prefix('c')?)?)),
            },
        }
    }
}

impl MachineId {
    pub fn cluster(self) -> u8 {
        match self {
            MachineId::Control(cluster) => cluster,
            MachineId::Node(node) => node.cluster,
        }
    }

    /// The cgroup of the machine's processes.
    pub fn cgroup(self, lab: &str) -> String {
        format!("lab-{lab}-{self}")
    }

    pub fn from_cgroup(lab: &str, cgroup: &str) -> Option<MachineId> {
        let rest = cgroup.strip_prefix("lab-")?.strip_prefix(lab)?;
        rest.strip_prefix('-')?.parse().ok()
    }
}

impl From<NodeId> for MachineId {
    fn from(node: NodeId) -> MachineId {
        MachineId::Node(node)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}-n{}", self.cluster, self.number)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MachineId::Control(cluster) => write!(f, "c{cluster}-control"),
            MachineId::Node(node) => node.fmt(f),
        }
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-p{}", self.node, self.number)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Machine(machine) => machine.fmt(f),
            Target::Cluster(cluster) => f.write_str(&cluster_name(*cluster)),
            Target::Pair(a, b) => write!(f, "{}:{}", cluster_name(*a), cluster_name(*b)),
        }
    }
}

fn parse_node(text: &str) -> Option<NodeId> {
    let (cluster, node) = text.strip_prefix('c')?.split_once("-n")?;
    Some(NodeId {
        cluster: number(cluster)?,
        number: number(node)?,
    })
}

fn parse_machine(text: &str) -> Option<MachineId> {
    match text.strip_suffix("-control") {
        Some(cluster) => Some(MachineId::Control(number(cluster.strip_prefix('c')?)?)),
        None => parse_node(text).map(MachineId::Node),
    }
}

fn parse_pod(text: &str) -> Option<PodId> {
    let (node, pod) = text.rsplit_once("-p")?;
    Some(PodId {
        node: parse_node(node)?,
        number: number(pod)?,
    })
}

/// `cluster1`, or `c1` for short.
pub fn parse_cluster(text: &str) -> Option<u8> {
    let digits = text
        .strip_prefix("cluster")
        .or_else(|| text.strip_prefix('c'))?;
    number(digits)
}

fn parse_target(text: &str) -> Option<Target> {
    if let Some((a, b)) = text.split_once(':') {
        let (a, b) = (parse_cluster(a)?, parse_cluster(b)?);
        return (a != b).then(|| Target::Pair(a.min(b), a.max(b)));
    }
    parse_machine(text)
        .map(Target::Machine)
        .or_else(|| parse_cluster(text).map(Target::Cluster))
}

macro_rules! from_text {
    ($type:ty, $parse:ident, $what:literal, $example:literal) => {
        impl FromStr for $type {
            type Err = PlanError;

            fn from_str(text: &str) -> Result<Self, PlanError> {
                $parse(text).ok_or_else(|| PlanError::Text {
                    what: $what,
                    text: text.into(),
                    example: $example,
                })
            }
        }

        impl TryFrom<String> for $type {
            type Error = PlanError;

            fn try_from(text: String) -> Result<Self, PlanError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}

from_text!(NodeId, parse_node, "node", "c1-n1");
from_text!(
    MachineId,
    parse_machine,
    "node or control machine",
    "c1-n1 or c1-control"
);
from_text!(PodId, parse_pod, "pod", "c1-n1-p1");
from_text!(
    Target,
    parse_target,
    "machine, cluster or pair of clusters",
    "c1-n1, c1-control, cluster1 or cluster1:cluster2"
);
