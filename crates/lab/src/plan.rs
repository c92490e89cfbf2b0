//! Names and addresses of everything in a lab, from its shape alone.
//!
//! Makes nothing and asks nothing: the same shape always gives the same plan.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};
use tombolo_model::net::RoutingMode;

mod kinds;
mod kubernetes;
mod names;
pub use kinds::{Fabric, Mesh, Objects, Underlay};
pub use kubernetes::{Cluster, NODE_MASK, NODE_MASK_V6, SERVICES, clusters};
pub use names::{MachineId, Namespace, NodeId, PodId, Target, cluster_name, parse_cluster};

/// Host number of a cluster's control machine.
const CONTROL: u8 = 2;
/// Host numbers of nodes begin after those that a subnet's routers may want.
const FIRST_NODE: u8 = 10;
pub const NODES_MAX: u8 = 240;
pub const PODS_MAX: u8 = 250;
const NAME_LENGTH_MAX: usize = 24;

/// What a lab is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub clusters: u8,
    pub nodes_per_cluster: u8,
    pub pods_per_node: u8,
    pub routing: RoutingMode,
    pub underlay: Underlay,
    pub fabric: Fabric,
    pub mesh: Mesh,
    pub masquerade: bool,
    /// Where Kubernetes keeps its objects, in a lab that is no bare one.
    #[serde(default)]
    pub kubernetes: Option<Objects>,
}

/// A shape or a name that no lab can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("{count} {what} are out of range; use 1 to {max}")]
    Count {
        what: &'static str,
        count: u8,
        max: u8,
    },
    #[error(
        "--fabric direct joins exactly two nodes; use --clusters 2 --nodes 1 or --clusters 1 --nodes 2"
    )]
    Direct,
    #[error("--routing-mode native needs nodes with IPv4 and IPv6; leave out --underlay ipv6")]
    NativeIpv6,
    #[error("cluster{cluster} is no other cluster than itself; name two")]
    Same { cluster: u8 },
    #[error("--fabric direct has no place for stores; use --mesh facts")]
    DirectMesh,
    #[error(
        "{name:?} is no name for a lab; use 1 to {NAME_LENGTH_MAX} lower-case letters, digits and dashes, a letter first"
    )]
    Name { name: String },
    #[error(
        "{name:?} is no name for a cluster; use 1 to 32 lower-case letters, digits and dashes, without a dash at \
         either end"
    )]
    ClusterName { name: String },
    #[error("two clusters are named {name}; give each a name of its own with --names")]
    SameName { name: String },
    #[error(
        "{option} gives {given} for {clusters} clusters; give one for each, with commas between them"
    )]
    PerCluster {
        option: &'static str,
        given: usize,
        clusters: u8,
    },
    #[error(
        "the pod range {range} {problem}; choose another with --pod-ranges, such as 10.1.0.0/16"
    )]
    PodRange { range: IpNet, problem: String },
    #[error("{option} is for bare labs; leave it out or add --bare")]
    OnlyBare { option: &'static str },
    #[error("{option} is for labs with Kubernetes; leave it out or take --bare away")]
    NotBare { option: &'static str },
    #[error("{text:?} names no {what}; write {example}")]
    Text {
        what: &'static str,
        text: String,
        example: &'static str,
    },
}

/// Refuses names that would not do in namespaces, cgroups and folders.
pub fn check_name(name: &str) -> Result<(), PlanError> {
    let fits = name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits {
        Ok(())
    } else {
        Err(PlanError::Name { name: name.into() })
    }
}

impl Shape {
    pub fn check(&self) -> Result<(), PlanError> {
        let within = |what, count, max| {
            if (1..=max).contains(&count) {
                Ok(())
            } else {
                Err(PlanError::Count { what, count, max })
            }
        };
        within("clusters", self.clusters, u8::MAX)?;
        within("nodes per cluster", self.nodes_per_cluster, NODES_MAX)?;
        if self.pods_per_node > PODS_MAX {
            within("pods per node", self.pods_per_node, PODS_MAX)?;
        }
        let nodes = u32::from(self.clusters) * u32::from(self.nodes_per_cluster);
        if self.fabric == Fabric::Direct && nodes != 2 {
            return Err(PlanError::Direct);
        }
        if self.routing == RoutingMode::Native && self.underlay == Underlay::Ipv6 {
            return Err(PlanError::NativeIpv6);
        }
        if self.fabric == Fabric::Direct && self.mesh != Mesh::Facts {
            return Err(PlanError::DirectMesh);
        }
        Ok(())
    }

    pub fn clusters(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.clusters
    }

    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        let nodes = self.nodes_per_cluster;
        self.clusters()
            .flat_map(move |cluster| (1..=nodes).map(move |number| NodeId { cluster, number }))
    }

    /// Control machines come first: agents find their stores.
    pub fn machines(&self) -> impl Iterator<Item = MachineId> + use<> {
        let controls = if self.mesh == Mesh::Facts && self.kubernetes.is_none() {
            0
        } else {
            self.clusters
        };
        let controls = (1..=controls).map(MachineId::Control);
        controls.chain(self.nodes().map(MachineId::Node))
    }

    /// The machine's addresses on its cluster's subnet, IPv4 first.
    pub fn addresses(&self, machine: MachineId) -> Vec<IpNet> {
        let cluster = machine.cluster();
        // The IPv6 host number of a node reads like the IPv4 one: 11 and ::11 for the first.
        let (host, host_v6) = match machine {
            MachineId::Control(_) => (CONTROL, u16::from(CONTROL)),
            MachineId::Node(node) => (
                FIRST_NODE + node.number,
                u16::from(FIRST_NODE + node.number) + 6,
            ),
        };
        let v4 = on_subnet(subnet_v4(cluster), host);
        let v6 = on_subnet_v6(subnet_v6(cluster), host_v6);
        match self.underlay {
            Underlay::Ipv4 => vec![v4, v6],
            Underlay::Ipv6 => vec![v6],
        }
    }

    pub fn node_addresses(&self, node: NodeId) -> Vec<IpNet> {
        self.addresses(node.into())
    }

    /// The address that other nodes send tunnelled packets to.
    pub fn tunnel_address(&self, node: NodeId) -> IpAddr {
        self.node_addresses(node)[0].addr()
    }

    /// The gateway's addresses on its cluster's subnet.
    pub fn gateway_addresses(&self, cluster: u8) -> Vec<IpNet> {
        vec![
            on_subnet(subnet_v4(cluster), 1),
            on_subnet_v6(subnet_v6(cluster), 1),
        ]
    }
}

pub fn subnets(cluster: u8) -> [IpNet; 2] {
    [subnet_v4(cluster).into(), subnet_v6(cluster).into()]
}

/// What all pods of a cluster are in.
pub fn cluster_pod_ranges(cluster: u8) -> [IpNet; 2] {
    [
        v4([10, cluster, 0, 0], 16).into(),
        v6([0xfd00, 0x10, cluster.into(), 0], 48).into(),
    ]
}

pub fn pod_ranges(node: NodeId) -> [IpNet; 2] {
    [
        v4([10, node.cluster, node.number, 0], 24).into(),
        v6([0xfd00, 0x10, node.cluster.into(), node.number.into()], 64).into(),
    ]
}

/// The ends of the wire between a cluster's gateway and the router.
pub struct Transit {
    pub router: [IpNet; 2],
    pub gateway: [IpNet; 2],
}

pub fn transit(cluster: u8) -> Transit {
    let net_v4 = v4([172, 31, cluster, 0], 24);
    let net_v6 = v6([0xfd00, 0x31, cluster.into(), 0], 64);
    Transit {
        router: [on_subnet(net_v4, 1), on_subnet_v6(net_v6, 1)],
        gateway: [on_subnet(net_v4, 2), on_subnet_v6(net_v6, 2)],
    }
}

/// The wire between the router and the world: documentation prefixes, so that nothing real is meant.
pub fn world() -> Transit {
    let net_v4 = v4([198, 51, 100, 0], 24);
    let net_v6 = v6([0x2001, 0xdb8, 0, 0], 64);
    Transit {
        router: [on_subnet(net_v4, 1), on_subnet_v6(net_v6, 1)],
        gateway: [on_subnet(net_v4, 2), on_subnet_v6(net_v6, 2)],
    }
}

/// What the world knows a way back to: nodes and routers, never pods.
pub fn known_to_world() -> [IpNet; 4] {
    [
        v4([172, 30, 0, 0], 16).into(),
        v4([172, 31, 0, 0], 16).into(),
        v6([0xfd00, 0x30, 0, 0], 32).into(),
        v6([0xfd00, 0x31, 0, 0], 32).into(),
    ]
}

/// A number that is the pod's own, in the range of the cluster's.
pub fn identity(cluster_id: u8, pod: PodId) -> u32 {
    let ordinal = u32::from(pod.node.number - 1) * u32::from(PODS_MAX) + u32::from(pod.number - 1);
    u32::from(cluster_id) << 16 | (256 + ordinal)
}

/// The whole range of one address.
pub fn host_prefix(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

pub fn default_route(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(_) => Ipv4Net::default().into(),
        IpAddr::V6(_) => Ipv6Net::default().into(),
    }
}

fn subnet_v4(cluster: u8) -> Ipv4Net {
    v4([172, 30, cluster, 0], 24)
}

fn subnet_v6(cluster: u8) -> Ipv6Net {
    v6([0xfd00, 0x30, cluster.into(), 0], 64)
}

fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(octets.into(), length)
}

fn v6([a, b, c, d]: [u16; 4], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length)
}

fn on_subnet(net: Ipv4Net, host: u8) -> IpNet {
    let address = Ipv4Addr::from_bits(net.network().to_bits() | u32::from(host));
    Ipv4Net::new_assert(address, net.prefix_len()).into()
}

fn on_subnet_v6(net: Ipv6Net, host: u16) -> IpNet {
    let address = Ipv6Addr::from_bits(net.network().to_bits() | u128::from(host));
    Ipv6Net::new_assert(address, net.prefix_len()).into()
}

/// `tunnel` or `native`, as people write it.
pub fn parse_routing(text: &str) -> Result<RoutingMode, PlanError> {
    match text {
        "tunnel" => Ok(RoutingMode::Tunnel),
        "native" => Ok(RoutingMode::Native),
        _ => Err(PlanError::Text {
            what: "routing mode",
            text: text.into(),
            example: "tunnel or native",
        }),
    }
}

/// A decimal number without sign or leading zeros, so that every name has one spelling.
fn number(text: &str) -> Option<u8> {
    let number = u8::from_str(text).ok().filter(|number| *number > 0)?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests;
