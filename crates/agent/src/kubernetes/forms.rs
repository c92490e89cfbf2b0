//! Of Kubernetes' objects what the node reads beyond what peers are told of.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    pub uid: String,
    #[serde(rename = "deletionTimestamp")]
    pub deleted: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    pub service_account_name: String,
    pub host_network: bool,
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    pub name: String,
    pub container_port: u16,
    pub protocol: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodStatus {
    pub phase: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Labelled {
    pub metadata: Meta,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// As they are: those that are not ours go back unchanged.
    #[serde(deserialize_with = "or_default")]
    pub taints: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<NodeAddress>,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    pub r#type: String,
    pub address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    pub r#type: String,
    pub status: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CiliumNode {
    pub spec: CiliumNodeSpec,
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CiliumNodeSpec {
    pub ipam: Ipam,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ipam {
    #[serde(rename = "podCIDRs", deserialize_with = "or_default")]
    pub pod_ranges: Vec<IpNet>,
}

const ZONE: &str = "topology.kubernetes.io/zone";
/// On a node that the cluster's autoscaler is about to take away.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

impl Node {
    pub fn zone(&self) -> Option<&str> {
        let zone = self.metadata.labels.get(ZONE)?;
        (!zone.is_empty()).then_some(zone)
    }

    /// Whether it is about to go, so that nobody should come to it from outside any more.
    pub fn leaves(&self) -> bool {
        let mut taints = self.spec.taints.iter();
        self.metadata.deleted.is_some() || taints.any(|taint| taint["key"] == TO_BE_DELETED)
    }

    /// One of each family, the first ones that are told.
    pub fn internal(&self) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = Vec::new();
        let addresses = self.status.addresses.iter();
        let internal = addresses.filter(|address| address.r#type == "InternalIP");
        for address in internal.filter_map(|address| address.address.parse::<IpAddr>().ok()) {
            if found
                .iter()
                .all(|other| other.is_ipv4() != address.is_ipv4())
            {
                found.push(address);
            }
        }
        found
    }
}
