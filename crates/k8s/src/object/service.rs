//! A service: whether its cluster shares it, under which addresses and ports it is known there.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::Deserialize;
use tombolo_model::service::{
    Algorithm, Definition, Grades, Naming, Protocol, ServicePort as DefinedPort, Sharing, Sources,
};

use super::form::{Fault, Source, Words, or_default, parse_ip};

#[cfg(test)]
mod tests;

const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// Whoever is named there leads to it, and nobody else.
const PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// A traffic policy: who answers is on the node that was asked.
const LOCAL: &str = "Local";
/// What clouds had before there was a field for it, which is believed where both stand.
const RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
/// What Kubernetes takes if nothing is said, and the most that it allows.
const AFFINITY_S: u32 = 10_800;
const AFFINITY_S_MAX: u32 = 86_400;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub sharing: Sharing,
    pub grades: Grades,
    pub algorithm: Option<Algorithm>,
    pub kind: ServiceType,
    pub labels: BTreeMap<String, String>,
    pub selector: BTreeMap<String, String>,
    pub addresses: Vec<IpAddr>,
    /// Addresses outside of the cluster's own that lead to it.
    pub external_addresses: Vec<IpAddr>,
    pub balancer_addresses: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
    pub session_affinity: String,
    pub session_affinity_timeout_s: Option<u32>,
    pub families: Vec<String>,
    pub internal_traffic_policy: Option<String>,
    pub external_traffic_policy: String,
    /// Where load balancers ask whether a node has backends; 0 if they don't.
    pub check_port: u16,
    /// Whom load balancers' addresses are for; for anybody if it is absent.
    pub balancer_sources: Option<Sources>,
    pub traffic_distribution: Option<String>,
    /// What is passed over since it can't be understood, a sentence each.
    pub problems: Vec<String>,
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
    /// At every node's addresses; none if it is 0.
    pub node_port: u16,
    pub app_protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    spec: Spec,
    #[serde(deserialize_with = "or_default")]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "or_default")]
    load_balancer: Balancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Balancer {
    #[serde(deserialize_with = "or_default")]
    ingress: Vec<Ingress>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ingress {
    #[serde(deserialize_with = "or_default")]
    ip: String,
    #[serde(deserialize_with = "or_default")]
    ip_mode: String,
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
    #[serde(rename = "externalIPs", deserialize_with = "or_default")]
    external: Vec<String>,
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
    #[serde(deserialize_with = "or_default")]
    external_traffic_policy: String,
    #[serde(rename = "healthCheckNodePort", deserialize_with = "or_default")]
    check_port: u16,
    #[serde(rename = "loadBalancerSourceRanges", deserialize_with = "or_default")]
    balancer_ranges: Vec<String>,
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
    #[serde(deserialize_with = "or_default")]
    node_port: u16,
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
        let Form {
            metadata,
            spec,
            status,
        } = source.read()?;
        let Meta {
            labels,
            annotations,
        } = metadata;
        let kind = spec.kind(&labels);
        // As Kubernetes has it: other services have none, whatever they say.
        let is_checked = spec.kind == "LoadBalancer" && spec.external_traffic_policy == LOCAL;
        let (sharing, mut problems) = Sharing::read(&annotations);
        let (grades, ungraded) = Grades::read(&annotations, &sharing);
        problems.extend(ungraded);
        let (algorithm, unread) = Algorithm::read(&annotations);
        problems.extend(unread);
        let external = spec.external.iter().map(String::as_str);
        let external_addresses = understood("spec.externalIPs", external, &mut problems);
        let balancer = status.balancer_ips();
        let balancer_sources = sources(&spec.balancer_ranges, &annotations, &mut problems);
        let at = "status.loadBalancer.ingress";
        let balancer_addresses = understood(at, balancer, &mut problems);
        Ok(Service {
            sharing,
            grades,
            algorithm,
            external_addresses,
            balancer_addresses,
            problems,
            kind,
            labels,
            addresses: spec.addresses()?,
            selector: spec.selector,
            ports: spec.ports.into_iter().map(ServicePort::from).collect(),
            session_affinity: or_word(spec.session_affinity, "None"),
            session_affinity_timeout_s: spec.session_affinity_config.client_ip.timeout_s,
            families: spec.ip_families,
            internal_traffic_policy: spec.internal_traffic_policy,
            external_traffic_policy: spec.external_traffic_policy,
            check_port: if is_checked { spec.check_port } else { 0 },
            balancer_sources,
            traffic_distribution: spec.traffic_distribution,
        })
    }

    /// What it is for the nodes of its own cluster.
    pub fn definition(&self) -> Definition {
        let mut problems = self.problems.clone();
        let affinity_s = match self.session_affinity.as_str() {
            "ClientIP" => self.session_affinity_timeout_s.unwrap_or(AFFINITY_S),
            _ => 0,
        };
        let is_ours = self.kind == ServiceType::Addressed && !self.labels.contains_key(PROXY_LABEL);
        if !is_ours {
            return Definition {
                sharing: self.sharing,
                naming: self.naming(),
                problems,
                ..Definition::default()
            };
        }
        let mut ports = Vec::new();
        for port in &self.ports {
            match Protocol::from_word(&port.protocol) {
                Some(protocol) => ports.push(DefinedPort {
                    name: port.name.clone(),
                    protocol,
                    port: port.port,
                    node_port: (port.node_port != 0).then_some(port.node_port),
                }),
                None => problems.push(format!(
                    "port {}/{} is led to nothing: only TCP and UDP are",
                    port.port, port.protocol
                )),
            }
        }
        Definition {
            cluster_ips: self.addresses.clone(),
            balancer_ips: self.balancer_addresses.clone(),
            external_ips: self.external_addresses.clone(),
            ports,
            sharing: self.sharing,
            grades: self.grades.clone(),
            affinity_s: affinity_s.min(AFFINITY_S_MAX),
            node_only: self.internal_traffic_policy.as_deref() == Some(LOCAL),
            naming: self.naming(),
            algorithm: self.algorithm,
            outside_node_only: self.external_traffic_policy == LOCAL,
            balancer_sources: self.balancer_sources.clone(),
            check_port: (self.check_port != 0).then_some(self.check_port),
            problems,
        }
    }

    /// Of what is led elsewhere or not at all, not everything is known here.
    fn naming(&self) -> Naming {
        let mut ports = self.ports.iter();
        let is_known = !self.labels.contains_key(PROXY_LABEL)
            && ports.all(|port| Protocol::from_word(&port.protocol).is_some());
        match self.kind {
            ServiceType::Addressed if is_known => Naming::Addresses,
            ServiceType::Headless if is_known => Naming::Endpoints,
            _ => Naming::Elsewhere,
        }
    }

    /// Whether it is for peers. They can't use a name elsewhere.
    pub fn is_told(&self) -> bool {
        self.sharing.is_exported() && self.kind != ServiceType::ExternalName
    }
}

impl Status {
    /// A balancer that is a proxy must be passed through.
    fn balancer_ips(&self) -> impl Iterator<Item = &str> {
        let entries = self.load_balancer.ingress.iter();
        let entries = entries.filter(|it| !it.ip.is_empty() && it.ip_mode != "Proxy");
        entries.map(|it| it.ip.as_str())
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
            node_port: form.node_port,
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

/// Whoever writes ranges means to restrict: one that can't be read admits nobody, and does not open what others restrict.
fn sources(ranges: &[String], annotations: &Words, problems: &mut Vec<String>) -> Option<Sources> {
    let (at, texts): (&str, Vec<&str>) = match annotations.get(RANGES_ANNOTATION) {
        _ if !ranges.is_empty() => {
            let texts = ranges.iter().map(String::as_str);
            ("spec.loadBalancerSourceRanges", texts.collect())
        }
        Some(text) if !text.trim().is_empty() => (RANGES_ANNOTATION, text.split(',').collect()),
        _ => return None,
    };
    let read = texts.into_iter().filter_map(|text| {
        let range = text.trim().parse().map(|range: IpNet| range.trunc());
        range.map_err(|_| {
            problems.push(format!(
                "{at}: `{}` is no range of addresses: it admits nobody; write it like 203.0.113.0/24",
                text.trim()
            ));
        })
        .ok()
    });
    Some(Sources::new(read))
}

/// Peers are not told of these addresses, so a bad one takes nothing else with it.
fn understood<'a>(
    at: &str,
    texts: impl Iterator<Item = &'a str>,
    problems: &mut Vec<String>,
) -> Vec<IpAddr> {
    let read = texts.filter_map(|text| match parse_ip(text) {
        Ok(ip) => Some(ip),
        Err(reason) => {
            problems.push(format!("{at}: {reason}: it does not lead here"));
            None
        }
    });
    read.collect()
}
