//! A service that its cluster shares: its addresses there and the addresses of what answers.

use super::{
    RecordError,
    json::{by_ip, decode, encode, or_default},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// By the port's name, which is empty if it has none.
pub type Ports = BTreeMap<String, Port>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Service {
    #[serde(deserialize_with = "or_default")]
    pub cluster: String,
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// None if it is headless.
    #[serde(with = "by_ip")]
    pub frontends: BTreeMap<IpAddr, Ports>,
    #[serde(with = "by_ip")]
    pub backends: BTreeMap<IpAddr, Ports>,
    #[serde(with = "by_ip")]
    pub hostnames: BTreeMap<IpAddr, String>,
    #[serde(with = "by_ip", skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<IpAddr, Zone>,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub selector: BTreeMap<String, String>,
    /// It wants the backends of other clusters.
    #[serde(deserialize_with = "or_default")]
    pub include_external: bool,
    /// Other clusters may have its backends. Readers pass over services that are not shared.
    #[serde(deserialize_with = "or_default")]
    pub shared: bool,
    #[serde(rename = "clusterID", deserialize_with = "or_default")]
    pub cluster_id: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Port {
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
    #[serde(deserialize_with = "or_default")]
    pub port: u16,
}

/// Where a backend is, and for whom it is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Zone {
    #[serde(deserialize_with = "or_default")]
    pub zone: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub for_zones: Vec<ZoneName>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneName {
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

impl Service {
    pub fn decode(value: &[u8]) -> Result<Service, RecordError> {
        decode(value)
    }

    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}
