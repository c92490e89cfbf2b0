//! A service: whether its cluster shares it, under which addresses and ports it is known there.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use super::form::{Fault, Source, Words, or_default, parse_ip};

/// The second ones are of older versions.
const GLOBAL: [&str; 2] = ["service.cilium.io/global", "io.cilium/global-service"];
const SHARED: [&str; 2] = ["service.cilium.io/shared", "io.cilium/shared-service"];
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Global, and not kept from other clusters.
    pub shared: bool,
    pub kind: ServiceType,
    pub labels: BTreeMap<String, String>,
    pub selector: BTreeMap<String, String>,
    pub addresses: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
    pub session_affinity: String,
    pub session_affinity_timeout_s: Option<u32>,
    pub families: Vec<String>,
    pub internal_traffic_policy: Option<String>,
    pub traffic_distribution: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    #[default]
    Addressed,
    /// Known by the names of its backends only.
    Headless,
    /// So for its users although it has an address.
    LabelledHeadless,
    /// A name elsewhere: there is nothing to share.
    ExternalName,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub name: String,
    pub protocol: String,
    pub port: u16,
    pub app_protocol: Option<String>,
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
#[serde(default, rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(rename = "clusterIP", deserialize_with = "or_default")]
    address: String,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    addresses: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    selector: Words,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<PortForm>,
    #[serde(deserialize_with = "or_default")]
    session_affinity: String,
    #[serde(deserialize_with = "or_default")]
    session_affinity_config: AffinityConfig,
    #[serde(deserialize_with = "or_default")]
    ip_families: Vec<String>,
    internal_traffic_policy: Option<String>,
    traffic_distribution: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PortForm {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    protocol: String,
    #[serde(deserialize_with = "or_default")]
    port: u16,
    app_protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AffinityConfig {
    #[serde(rename = "clientIP", deserialize_with = "or_default")]
    client_ip: ClientIp,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClientIp {
    #[serde(rename = "timeoutSeconds")]
    timeout_s: Option<u32>,
}

impl Service {
    pub(super) fn read(source: &impl Source) -> Result<Service, Fault> {
        let Form { metadata, spec } = source.read()?;
        let Meta {
            labels,
            annotations,
        } = metadata;
        let kind = spec.kind(&labels);
        Ok(Service {
            shared: is_shared(&annotations),
            kind,
            labels,
            addresses: spec.addresses()?,
            selector: spec.selector,
            ports: spec.ports.into_iter().map(ServicePort::from).collect(),
            session_affinity: or_word(spec.session_affinity, "None"),
            session_affinity_timeout_s: spec.session_affinity_config.client_ip.timeout_s,
            families: spec.ip_families,
            internal_traffic_policy: spec.internal_traffic_policy,
            traffic_distribution: spec.traffic_distribution,
        })
    }

    /// Whether it is for peers. They can't use a name elsewhere.
    pub fn is_told(&self) -> bool {
        self.shared && self.kind != ServiceType::ExternalName
    }
}

impl Spec {
    fn kind(&self, labels: &Words) -> ServiceType {
        if self.kind == "ExternalName" {
            ServiceType::ExternalName
        } else if self.address.eq_ignore_ascii_case("none") {
            ServiceType::Headless
        } else if labels.contains_key(HEADLESS_LABEL) {
            ServiceType::LabelledHeadless
        } else {
            ServiceType::Addressed
        }
    }

    fn addresses(&self) -> Result<Vec<IpAddr>, Fault> {
        let one = std::slice::from_ref(&self.address);
        let texts = match self.addresses.as_slice() {
            [] => one,
            several => several,
        };
        let mut addresses = Vec::new();
        for text in texts {
            if text.is_empty() || text.eq_ignore_ascii_case("none") {
                continue;
            }
            let ip = parse_ip(text).map_err(|reason| Fault::new("spec.clusterIPs", reason))?;
            addresses.push(ip);
        }
        Ok(addresses)
    }
}

impl From<PortForm> for ServicePort {
    fn from(form: PortForm) -> ServicePort {
        ServicePort {
            name: form.name,
            protocol: or_word(form.protocol, "TCP"),
            port: form.port,
            app_protocol: form.app_protocol,
        }
    }
}

/// Kubernetes fills this in where it is left out.
fn or_word(text: String, word: &str) -> String {
    if text.is_empty() {
        return word.to_owned();
    }
    text
}

/// A service is private if nothing is said; a global one is shared if nothing else is said.
fn is_shared(annotations: &Words) -> bool {
    let says = |names: [&str; 2]| {
        let value = names.iter().find_map(|name| annotations.get(*name))?;
        Some(value.eq_ignore_ascii_case("true"))
    };
    says(GLOBAL).unwrap_or(false) && says(SHARED).unwrap_or(true)
}
