//! A part of the endpoints of a service.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::Deserialize;
use tombolo_model::{
    record::{Conditions, Family, Namespaced},
    service::{self, Hints as Meant, Offer, Offered, OfferedPort, State},
};

use super::form::{Fault, Source, Words, or_default, parse_ip};

const SERVICE_LABEL: &str = "kubernetes.io/service-name";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// None if its endpoints are names of hosts; these are not kept.
    pub family: Option<Family>,
    pub endpoints: Box<[SliceEndpoint]>,
    pub ports: Vec<SlicePort>,
}

/// All slices together have as many as there are pods, so it is kept small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceEndpoint {
    pub addresses: Box<[IpAddr]>,
    pub conditions: Conditions,
    pub hostname: Option<Box<str>>,
    pub node: Option<Arc<str>>,
    pub zone: Option<Arc<str>>,
    /// The zones that it is meant for.
    pub hints: Option<Box<[Arc<str>]>>,
    /// The nodes that it is meant for.
    pub node_hints: Option<Box<[Arc<str>]>>,
    /// Deprecated by Kubernetes.
    pub topology: Option<Box<BTreeMap<String, String>>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SlicePort {
    pub name: Option<String>,
    pub protocol: Option<String>,
    /// Every port if absent.
    pub port: Option<u16>,
    pub app_protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Form {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    address_type: String,
    #[serde(deserialize_with = "or_default")]
    endpoints: Vec<EndpointForm>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<SlicePort>,
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
struct EndpointForm {
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    conditions: ConditionsForm,
    hostname: Option<Box<str>>,
    #[serde(deserialize_with = "or_default")]
    deprecated_topology: Words,
    node_name: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    hints: Option<Hints>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConditionsForm {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Hints {
    #[serde(deserialize_with = "or_default")]
    for_zones: Vec<Named>,
    #[serde(deserialize_with = "or_default")]
    for_nodes: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: Arc<str>,
}

impl EndpointSlice {
    pub(super) fn read(source: &impl Source) -> Result<EndpointSlice, Fault> {
        let form: Form = source.read()?;
        let family = match form.address_type.as_str() {
            "IPv4" => Some(Family::V4),
            "IPv6" => Some(Family::V6),
            "FQDN" => None,
            other => {
                let reason = format!("`{other}` is none of IPv4, IPv6 and FQDN");
                return Err(Fault::new("addressType", reason));
            }
        };
        let mut endpoints = Vec::new();
        if let Some(family) = family {
            for (index, item) in form.endpoints.into_iter().enumerate() {
                endpoints.push(endpoint(index, item, family)?);
            }
        }
        Ok(EndpointSlice {
            labels: form.metadata.labels,
            annotations: form.metadata.annotations,
            family,
            endpoints: endpoints.into(),
            ports: form.ports,
        })
    }

    /// The service whose endpoints these are, in the same namespace.
    pub fn service(&self) -> Option<&str> {
        let name = self.labels.get(SERVICE_LABEL)?;
        (!name.is_empty()).then_some(name)
    }

    /// What it offers to the nodes of its own cluster; nothing if it is of no service.
    pub fn offer(&self, namespace: &str, cluster: &Arc<str>) -> Option<Offer> {
        let named = |port: &SlicePort| {
            let name = port.name.as_deref().unwrap_or_default();
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            OfferedPort::new(name, protocol, port.port?)
        };
        let ports: Arc<[OfferedPort]> = self.ports.iter().filter_map(named).collect();
        let offered = |endpoint: &SliceEndpoint| {
            let offered = Offered {
                state: State::of(endpoint.conditions),
                node: endpoint.node.clone(),
                hostname: endpoint.hostname.as_deref().map(Arc::from),
                hints: endpoint.meant_for(),
                ports: ports.clone(),
            };
            // All addresses of an endpoint are the same one's, and one is enough.
            Some((*endpoint.addresses.first()?, offered))
        };
        let (weight, problems) = match service::weight(&self.annotations) {
            Ok(weight) => (weight, Vec::new()),
            Err(problem) => (service::WEIGHT_DEFAULT, vec![problem]),
        };
        Some(Offer {
            service: Namespaced {
                namespace: namespace.to_owned(),
                name: self.service()?.to_owned(),
            },
            cluster: cluster.clone(),
            weight,
            endpoints: self.endpoints.iter().filter_map(offered).collect(),
            problems,
        })
    }
}

fn endpoint(index: usize, form: EndpointForm, family: Family) -> Result<SliceEndpoint, Fault> {
    let fault = |at, reason: String| {
        let path = format!("endpoints[{index}].addresses[{at}]");
        Err(Fault::new(path, reason))
    };
    let mut addresses = Vec::with_capacity(form.addresses.len());
    for (at, text) in form.addresses.iter().enumerate() {
        match parse_ip(text) {
            Ok(ip) if ip.is_ipv4() == (family == Family::V4) => addresses.push(ip),
            Ok(_) => return fault(at, format!("`{text}` is not {}", family.word())),
            Err(reason) => return fault(at, reason),
        }
    }
    let ConditionsForm {
        ready,
        serving,
        terminating,
    } = form.conditions;
    let names = |named: Vec<Named>| named.into_iter().map(|it| it.name).collect();
    let (hints, node_hints) = match form.hints {
        Some(hints) => (Some(hints.for_zones), Some(hints.for_nodes)),
        None => (None, None),
    };
    let topology = form.deprecated_topology;
    Ok(SliceEndpoint {
        addresses: addresses.into(),
        conditions: Conditions {
            ready,
            serving,
            terminating,
        },
        hostname: form.hostname,
        node: form.node_name,
        zone: form.zone,
        hints: hints.map(names),
        node_hints: node_hints.filter(|nodes| !nodes.is_empty()).map(names),
        topology: (!topology.is_empty()).then(|| Box::new(topology)),
    })
}

impl SliceEndpoint {
    fn meant_for(&self) -> Option<Arc<Meant>> {
        let meant = Meant {
            zones: self.hints.as_deref().unwrap_or_default().to_vec(),
            nodes: self.node_hints.as_deref().unwrap_or_default().to_vec(),
        };
        (meant != Meant::default()).then(|| meant.into())
    }

    /// Whether connections may go there: it is ready, or it is on its way out and still answers.
    pub fn answers(&self) -> bool {
        let ready = self.conditions.ready.unwrap_or(true);
        ready || self.conditions.serving.unwrap_or(ready)
    }
}
