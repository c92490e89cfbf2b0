//! A node as its cluster exports it.

use super::{
    RecordError, cidr,
    json::{decode, encode, ip, or_default, or_null},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    #[serde(rename = "Name", deserialize_with = "or_default")]
    pub name: String,
    #[serde(rename = "Cluster", deserialize_with = "or_default")]
    pub cluster: String,
    #[serde(
        rename = "IPAddresses",
        deserialize_with = "or_default",
        serialize_with = "or_null"
    )]
    pub addresses: Vec<NodeAddress>,
    #[serde(rename = "IPv4AllocCIDR", with = "cidr")]
    pub range_v4: Option<IpNet>,
    #[serde(rename = "IPv4SecondaryAllocCIDRs", with = "cidr::list")]
    pub ranges_v4_more: Vec<IpNet>,
    #[serde(rename = "IPv6AllocCIDR", with = "cidr")]
    pub range_v6: Option<IpNet>,
    #[serde(rename = "IPv6SecondaryAllocCIDRs", with = "cidr::list")]
    pub ranges_v6_more: Vec<IpNet>,
    #[serde(rename = "IPv4HealthIP", with = "ip")]
    pub health_v4: Option<IpAddr>,
    #[serde(rename = "IPv6HealthIP", with = "ip")]
    pub health_v6: Option<IpAddr>,
    #[serde(rename = "IPv4IngressIP", with = "ip")]
    pub ingress_v4: Option<IpAddr>,
    #[serde(rename = "IPv6IngressIP", with = "ip")]
    pub ingress_v6: Option<IpAddr>,
    #[serde(rename = "ClusterID", deserialize_with = "or_default")]
    pub cluster_id: u32,
    /// From where its cluster knows it, in Cilium's words: `custom-resource`, `local`, `kvstore`, …
    #[serde(rename = "Source", deserialize_with = "or_default")]
    pub source: String,
    /// 0 for none, 255 for WireGuard.
    #[serde(rename = "EncryptionKey", deserialize_with = "or_default")]
    pub encryption_key: u8,
    #[serde(
        rename = "Labels",
        deserialize_with = "or_default",
        serialize_with = "or_null"
    )]
    pub labels: BTreeMap<String, String>,
    #[serde(
        rename = "Annotations",
        deserialize_with = "or_default",
        serialize_with = "or_null"
    )]
    pub annotations: BTreeMap<String, String>,
    #[serde(rename = "NodeIdentity", deserialize_with = "or_default")]
    pub identity: u32,
    #[serde(rename = "WireguardPubKey", deserialize_with = "or_default")]
    pub wireguard_key: String,
    #[serde(rename = "BootID", deserialize_with = "or_default")]
    pub boot_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub kind: String,
    #[serde(rename = "IP", with = "ip")]
    pub ip: Option<IpAddr>,
}

impl NodeAddress {
    pub const INTERNAL: &str = "InternalIP";
    pub const EXTERNAL: &str = "ExternalIP";
    /// The node's own address among its pods.
    pub const CILIUM_INTERNAL: &str = "CiliumInternalIP";
}

impl Node {
    pub fn decode(value: &[u8]) -> Result<Node, RecordError> {
        decode(value)
    }

    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub fn pod_ranges(&self) -> Vec<IpNet> {
        let v4 = self.range_v4.iter().chain(&self.ranges_v4_more);
        let v6 = self.range_v6.iter().chain(&self.ranges_v6_more);
        let mut ranges: Vec<IpNet> = Vec::new();
        for range in v4.chain(v6).map(IpNet::trunc) {
            if !ranges.contains(&range) {
                ranges.push(range);
            }
        }
        ranges
    }

    /// Where other nodes reach it: by its internal addresses; in a family without, by its external ones.
    pub fn underlay_addresses(&self) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for v4 in [true, false] {
            let mut of_kind = |kind: &str| {
                let before = found.len();
                for address in self.addresses.iter().filter(|address| address.kind == kind) {
                    if let Some(ip) = address.ip
                        && ip.is_ipv4() == v4
                        && !found.contains(&ip)
                    {
                        found.push(ip);
                    }
                }
                found.len() > before
            };
            if !of_kind(NodeAddress::INTERNAL) {
                of_kind(NodeAddress::EXTERNAL);
            }
        }
        found
    }
}
