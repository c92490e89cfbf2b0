//! What a node knows of itself. Read once at start, and refused as a whole when any of it can't be.

use crate::{
    fact::Source,
    id::{ClusterId, Identity},
    name::NameService,
    net::{PodAddresses, RoutingMode},
    pool::{Pool, TooSmall},
    service::Balancing,
};
use ipnet::IpNet;
use std::net::IpAddr;

#[cfg(test)]
pub(crate) mod tests;

const CLUSTER_NAME_LEN_MAX: usize = 32;
const NODE_NAME_LEN_MAX: usize = 253;
/// RFC 1035.
const LABEL_LEN_MAX: usize = 63;

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: String,
    pub cluster_id: ClusterId,
    /// How many clusters the mesh may have: 255 or 511.
    pub clusters_max: u16,
    pub node: String,
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// At most one of each family.
    pub pod_ranges: Vec<IpNet>,
    pub routing: RoutingMode,
    /// Where two nodes share both families, packets between them travel over IPv6.
    pub prefer_ipv6: bool,
    pub pod_mtu: u32,
    /// Those that must have told everything before what they did not repeat after a restart is taken away.
    pub sources: Vec<Source>,
    /// Whether other clusters' stores are read, so that `Fact::Awaited` tells whom to wait for beside the sources.
    pub reads_clusters: bool,
    /// The zone that this node is in, as far as it is known at start.
    pub zone: Option<String>,
    /// Whether namespaces that don't say it themselves are global.
    pub default_global_namespace: bool,
    /// The service that pods ask for names, if the agent is to answer them.
    pub name_service: Option<NameService>,
    pub balancing: Balancing,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "cluster name `{name}` is not allowed: use 1 to {CLUSTER_NAME_LEN_MAX} lower-case letters, digits and inner dashes"
    )]
    ClusterName { name: String },
    #[error(
        "cluster name `default` is reserved for clusters that are not meshed: give --cluster-name another one, or --cluster-id 0"
    )]
    ClusterNameDefault,
    #[error(
        "cluster id {id} is not allowed: use 1 to {max}, or 0 for a cluster that is not meshed"
    )]
    ClusterId { id: ClusterId, max: u16 },
    #[error(
        "a mesh of {clusters_max} clusters is not possible: --max-connected-clusters is 255 or 511"
    )]
    ClustersMax { clusters_max: u16 },
    #[error(
        "node name `{name}` is not allowed: use 1 to {NODE_NAME_LEN_MAX} lower-case letters, digits, dots and dashes"
    )]
    NodeName { name: String },
    #[error("no node address: give --node-ip")]
    NoAddress,
    #[error("two {family} node addresses: give --node-ip once for each family")]
    AddressTwice { family: &'static str },
    #[error(
        "{address} can't be a node's address: give --node-ip an address that other nodes reach it by"
    )]
    AddressUnusable { address: IpAddr },
    #[error("no pod range: give --pod-range")]
    NoRange,
    #[error("two {family} pod ranges, {first} and {second}: give --pod-range once for each family")]
    RangeTwice {
        family: &'static str,
        first: IpNet,
        second: IpNet,
    },
    #[error(
        "pod range {range} can't hold pods: give --pod-range one of private or global unicast addresses"
    )]
    RangeUnusable { range: IpNet },
    #[error("{0}: give --pod-range a larger one (IPv4 /30, IPv6 /126 at least)")]
    RangeTooSmall(TooSmall),
    #[error(
        "pod range {range} contains the node's address {address}: give --pod-range one that is used by pods only"
    )]
    RangeCoversNode { range: IpNet, address: IpAddr },
    #[error(
        "pod MTU {mtu} is too small for {family}, which needs {needed}: give a larger --mtu or an uplink with a larger one"
    )]
    Mtu {
        mtu: u32,
        family: &'static str,
        needed: u32,
    },
}

impl Config {
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_names()?;
        self.check_addresses()?;
        self.check_ranges()?;
        let (family, needed) = if self.pod_ranges.iter().any(|range| range.addr().is_ipv6()) {
            ("IPv6", 1280)
        } else {
            ("IPv4", 576)
        };
        if self.pod_mtu < needed {
            return Err(ConfigError::Mtu {
                mtu: self.pod_mtu,
                family,
                needed,
            });
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        if !is_cluster_name(&self.cluster) {
            return Err(ConfigError::ClusterName {
                name: self.cluster.clone(),
            });
        }
        if self.cluster == "default" && self.cluster_id.0 != 0 {
            return Err(ConfigError::ClusterNameDefault);
        }
        if self.clusters_max != 255 && self.clusters_max != 511 {
            return Err(ConfigError::ClustersMax {
                clusters_max: self.clusters_max,
            });
        }
        if self.cluster_id.0 > self.clusters_max {
            return Err(ConfigError::ClusterId {
                id: self.cluster_id,
                max: self.clusters_max,
            });
        }
        if !is_node_name(&self.node) {
            return Err(ConfigError::NodeName {
                name: self.node.clone(),
            });
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), ConfigError> {
        if self.addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        for (index, address) in self.addresses.iter().enumerate() {
            if !is_host_address(*address) {
                return Err(ConfigError::AddressUnusable { address: *address });
            }
            if self.addresses[..index]
                .iter()
                .any(|other| other.is_ipv4() == address.is_ipv4())
            {
                return Err(ConfigError::AddressTwice {
                    family: family(*address),
                });
            }
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        if self.pod_ranges.is_empty() {
            return Err(ConfigError::NoRange);
        }
        for (index, range) in self.pod_ranges.iter().enumerate() {
            Pool::new(*range).map_err(ConfigError::RangeTooSmall)?;
            let first = range.trunc().addr();
            if range.prefix_len() < 8
                || !is_host_address(first)
                || !is_host_address(range.broadcast())
            {
                return Err(ConfigError::RangeUnusable { range: *range });
            }
            let same_family = |other: &&IpNet| other.addr().is_ipv4() == first.is_ipv4();
            if let Some(other) = self.pod_ranges[..index].iter().find(same_family) {
                return Err(ConfigError::RangeTwice {
                    family: family(first),
                    first: *other,
                    second: *range,
                });
            }
            if let Some(address) = self
                .addresses
                .iter()
                .find(|address| range.contains(*address))
            {
                return Err(ConfigError::RangeCoversNode {
                    range: *range,
                    address: *address,
                });
            }
        }
        Ok(())
    }

    /// Bits of an identity below its cluster's number.
    pub fn identity_shift(&self) -> u8 {
        if self.clusters_max == 511 { 15 } else { 16 }
    }

    /// The first usable address of each pod range.
    pub fn router(&self) -> PodAddresses {
        let mut router = PodAddresses::default();
        for pool in self
            .pod_ranges
            .iter()
            .filter_map(|range| Pool::new(*range).ok())
        {
            router.insert(pool.router());
        }
        router
    }

    /// True for a family that packets to nodes of both families travel over.
    pub fn underlay_is_ipv6(&self) -> bool {
        let has_v6 = self.addresses.iter().any(IpAddr::is_ipv6);
        has_v6 && (self.prefer_ipv6 || !self.addresses.iter().any(IpAddr::is_ipv4))
    }

    /// The one of a node's addresses that packets to it are sent to.
    pub fn underlay_to<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a IpAddr> + Clone,
    ) -> Option<IpAddr> {
        let families = if self.prefer_ipv6 {
            [true, false]
        } else {
            [false, true]
        };
        families
            .into_iter()
            .filter(|v6| self.addresses.iter().any(|own| own.is_ipv6() == *v6))
            .find_map(|v6| {
                addresses
                    .clone()
                    .into_iter()
                    .find(|address| address.is_ipv6() == v6)
                    .copied()
            })
    }

    /// True for an identity that a pod of this node may be given.
    pub fn may_give(&self, identity: Identity) -> bool {
        if identity.is_reserved() {
            let reserved = [
                Identity::UNMANAGED,
                Identity::HEALTH,
                Identity::INIT,
                Identity::INGRESS,
            ];
            return reserved.contains(&identity) || identity.0 >= 128;
        }
        identity.0 < 1 << 24 && identity.cluster(self.identity_shift()) == self.cluster_id
    }
}

/// Lower-case letters, digits and inner dashes, at most 32.
pub fn is_cluster_name(name: &str) -> bool {
    is_name(name, CLUSTER_NAME_LEN_MAX, "-")
}

/// A label of a domain, in lower case.
pub fn is_label(text: &str) -> bool {
    is_name(text, LABEL_LEN_MAX, "-")
}

pub fn is_node_name(name: &str) -> bool {
    is_name(name, NODE_NAME_LEN_MAX, "-.")
}

fn is_name(name: &str, len_max: usize, inner: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= len_max
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || inner.contains(c))
}

/// True for an address that one host may have and others may send to.
pub fn is_host_address(address: IpAddr) -> bool {
    let special = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    !(special || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}
