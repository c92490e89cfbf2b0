//! A service that its cluster exports by the multi-cluster services API.

use super::{
    RecordError,
    json::{decode, encode, or_default, or_null},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Newer writers add labels and annotations a second time under names in small letters; both are read, those in
/// capitals are written, which every reader knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Wire")]
pub struct ServiceExport {
    pub cluster: String,
    pub name: String,
    pub namespace: String,
    #[serde(rename = "Annotations", serialize_with = "or_null")]
    pub annotations: BTreeMap<String, String>,
    #[serde(rename = "Labels", serialize_with = "or_null")]
    pub labels: BTreeMap<String, String>,
    /// Of two clusters' exports the older one is believed. RFC 3339, as its cluster wrote it.
    pub export_creation_timestamp: Option<String>,
    pub ports: Vec<ExportPort>,
    #[serde(rename = "type")]
    pub kind: ExportKind,
    pub session_affinity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity_config: Option<SessionAffinityConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_families: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_traffic_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportKind {
    #[default]
    ClusterSetIP,
    Headless,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExportPort {
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub port: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionAffinityConfig {
    #[serde(rename = "clientIP", skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<ClientIp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientIp {
    #[serde(rename = "timeoutSeconds", skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    #[serde(deserialize_with = "or_default")]
    cluster: String,
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    namespace: String,
    annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "Annotations")]
    annotations_capital: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "Labels")]
    labels_capital: Option<BTreeMap<String, String>>,
    export_creation_timestamp: Option<String>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<ExportPort>,
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: ExportKind,
    #[serde(deserialize_with = "or_default")]
    session_affinity: String,
    session_affinity_config: Option<SessionAffinityConfig>,
    #[serde(deserialize_with = "or_default")]
    ip_families: Vec<String>,
    internal_traffic_policy: Option<String>,
    traffic_distribution: Option<String>,
}

impl From<Wire> for ServiceExport {
    fn from(wire: Wire) -> ServiceExport {
        let annotations = wire.annotations.or(wire.annotations_capital);
        let labels = wire.labels.or(wire.labels_capital);
        ServiceExport {
            cluster: wire.cluster,
            name: wire.name,
            namespace: wire.namespace,
            annotations: annotations.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            export_creation_timestamp: wire.export_creation_timestamp,
            ports: wire.ports,
            kind: wire.kind,
            session_affinity: wire.session_affinity,
            session_affinity_config: wire.session_affinity_config,
            ip_families: wire.ip_families,
            internal_traffic_policy: wire.internal_traffic_policy,
            traffic_distribution: wire.traffic_distribution,
        }
    }
}

impl ServiceExport {
    pub fn decode(value: &[u8]) -> Result<ServiceExport, RecordError> {
        decode(value)
    }

    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}
