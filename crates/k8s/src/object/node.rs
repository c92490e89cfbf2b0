//! A node as Cilium's agent on it describes it.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::Deserialize;

use super::form::{Fault, Source, Words, ip, or_default, parse_ip};

/// The second one is of older versions.
const WIREGUARD_KEY: [&str; 2] = [
    "network.cilium.io/wg-pub-key",
    "io.cilium.network.wg-pub-key",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiliumNode {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub addresses: Vec<NodeAddress>,
    pub pod_ranges: Vec<IpNet>,
    pub health: Pair,
    pub ingress: Pair,
    pub encryption_key: u8,
    pub identity: u32,
    pub boot_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// In Cilium's words: `InternalIP`, `CiliumInternalIP`, …
    pub kind: String,
    pub ip: IpAddr,
}

/// An address of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pair {
    #[serde(rename = "ipv4", deserialize_with = "ip")]
    pub v4: Option<IpAddr>,
    #[serde(rename = "ipv6", deserialize_with = "ip")]
    pub v6: Option<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    #[serde(deserialize_with = "or_default")]
    labels: Words,
    #[serde(deserialize_with = "or_default")]
    annotations: Words,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<AddressForm>,
    #[serde(deserialize_with = "or_default")]
    health: Pair,
    #[serde(deserialize_with = "or_default")]
    ingress: Pair,
    #[serde(deserialize_with = "or_default")]
    encryption: Encryption,
    #[serde(deserialize_with = "or_default")]
    ipam: Ipam,
    #[serde(deserialize_with = "or_default")]
    nodeidentity: u32,
    #[serde(deserialize_with = "or_default")]
    bootid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AddressForm {
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Encryption {
    #[serde(deserialize_with = "or_default")]
    key: u8,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ipam {
    #[serde(rename = "podCIDRs", deserialize_with = "or_default")]
    pod_ranges: Vec<IpNet>,
    #[serde(deserialize_with = "or_default")]
    pools: Pools,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pools {
    #[serde(deserialize_with = "or_default")]
    allocated: Vec<Pool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pool {
    #[serde(deserialize_with = "or_default")]
    cidrs: Vec<IpNet>,
}

impl CiliumNode {
    pub(super) fn read(source: &impl Source) -> Result<CiliumNode, Fault> {
        let Form { metadata, spec } = source.read()?;
        let mut addresses = Vec::with_capacity(spec.addresses.len());
        for (index, AddressForm { kind, ip }) in spec.addresses.into_iter().enumerate() {
            match parse_ip(&ip) {
                Ok(ip) => addresses.push(NodeAddress { kind, ip }),
                // Names of hosts stand here as well, of which peers have no use.
                Err(_) if !kind.ends_with("IP") => {}
                Err(reason) => {
                    return Err(Fault::new(format!("spec.addresses[{index}].ip"), reason));
                }
            }
        }
        let mut pod_ranges = spec.ipam.pod_ranges;
        let pools = spec.ipam.pools.allocated;
        pod_ranges.extend(pools.into_iter().flat_map(|pool| pool.cidrs));
        Ok(CiliumNode {
            labels: metadata.labels,
            annotations: metadata.annotations,
            addresses,
            pod_ranges,
            health: spec.health,
            ingress: spec.ingress,
            encryption_key: spec.encryption.key,
            identity: spec.nodeidentity,
            boot_id: spec.bootid,
        })
    }

    pub fn wireguard_key(&self) -> Option<&str> {
        let found = WIREGUARD_KEY
            .iter()
            .find_map(|name| self.annotations.get(*name));
        found.map(String::as_str)
    }
}
