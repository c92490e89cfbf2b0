//! What is told of an object as it is now; nothing if it is gone, out of scope, or not for peers.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use tombolo_model::{
    id::Identity,
    record::{
        self, Address, AddressName, ClientIp, Endpoint, EndpointPort, ExportKind, ExportPort, Node,
        Port, Ports, Record, SessionAffinityConfig, Zone, ZoneName,
    },
};

use super::{
    Options,
    spaces::{Objects, Place, Space},
};
use crate::object::{EndpointSlice, NodeAddress, Service, ServiceType, SliceEndpoint};

/// How Cilium's agents find out about nodes.
const NODE_SOURCE: &str = "custom-resource";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

impl Objects {
    pub(super) fn node(&self, options: &Options, name: &str) -> Option<Record> {
        let node = self.nodes.get(name)?;
        // Its agent says how it is reached, later than its object is made; until then peers would refuse it.
        let ways = [record::NodeAddress::INTERNAL, record::NodeAddress::EXTERNAL];
        let is_way = |address: &NodeAddress| ways.contains(&address.kind.as_str());
        if !node.addresses.iter().any(is_way) {
            return None;
        }
        let addresses = node.addresses.iter().map(|address| record::NodeAddress {
            kind: address.kind.clone(),
            ip: Some(address.ip),
        });
        let (range_v4, ranges_v4_more) = first_and_more(&node.pod_ranges, true);
        let (range_v6, ranges_v6_more) = first_and_more(&node.pod_ranges, false);
        Some(Record::Node(Box::new(Node {
            name: name.to_owned(),
            cluster: options.cluster.clone(),
            addresses: addresses.collect(),
            range_v4,
            ranges_v4_more,
            range_v6,
            ranges_v6_more,
            health_v4: node.health.v4,
            health_v6: node.health.v6,
            ingress_v4: node.ingress.v4,
            ingress_v6: node.ingress.v6,
            cluster_id: options.cluster_id.0.into(),
            source: NODE_SOURCE.to_owned(),
            encryption_key: node.encryption_key,
            labels: node.labels.clone(),
            annotations: node.annotations.clone(),
            identity: node.identity,
            wireguard_key: node.wireguard_key().unwrap_or_default().to_owned(),
            boot_id: node.boot_id.clone(),
        })))
    }

    pub(super) fn identity(&self, identity: Identity) -> Option<Record> {
        let object = &self.identities.get(&identity)?.object;
        let global = match object.namespace() {
            Some(namespace) => self.is_global(self.spaces.get(namespace)?),
            None => self.default_global,
        };
        let labels = object.labels().filter(|_| global)?;
        Some(Record::Identity(identity, labels))
    }

    pub(super) fn address(&self, ip: IpAddr) -> Option<Record> {
        let Place { namespace, name } = self.claims.owner(ip)?;
        let endpoint = self.spaces[namespace].endpoints.get(name);
        let endpoint = endpoint.expect("the owner of an address is there");
        let ports = endpoint.ports.iter().map(|port| record::NamedPort {
            name: port.name.clone(),
            port: port.port,
            protocol: port.protocol.clone(),
        });
        let service_account = endpoint.service_account.as_deref();
        Some(Record::Address(Box::new(Address {
            name: AddressName { ip, length: None },
            host: endpoint.host,
            identity: endpoint.identity.0,
            encryption_key: endpoint.encryption_key,
            metadata: String::new(),
            namespace: namespace.to_string(),
            pod: name.to_string(),
            service_account: service_account.unwrap_or_default().to_owned(),
            ports: ports.collect(),
        })))
    }

    /// Only services that are global and shared are told of.
    pub(super) fn service(&self, options: &Options, place: &Place) -> Option<Record> {
        let space = self.global_space(place)?;
        let service = space.told_service(&place.name)?;
        let mut told = record::Service {
            cluster: options.cluster.clone(),
            namespace: place.namespace.to_string(),
            name: place.name.to_string(),
            labels: service.labels.clone(),
            selector: service.selector.clone(),
            include_external: true,
            shared: true,
            cluster_id: options.cluster_id.0.into(),
            ..record::Service::default()
        };
        if service.kind == ServiceType::Addressed {
            let ports = service_ports(service);
            told.frontends = service
                .addresses
                .iter()
                .map(|ip| (*ip, ports.clone()))
                .collect();
        }
        for name in space.slices_of(&place.name) {
            let slice = space.slices.get(name);
            add_backends(
                &mut told,
                slice.expect("a slice that backs a service is there"),
            );
        }
        Some(Record::Service(Box::new(told)))
    }

    pub(super) fn slice(&self, options: &Options, place: &Place) -> Option<Record> {
        let space = self.global_space(place)?;
        let slice = space.slices.get(&place.name)?;
        space.told_service(slice.service()?)?;
        let ports = slice.ports.iter().map(|port| EndpointPort {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            port: port.port,
            app_protocol: port.app_protocol.clone(),
        });
        Some(Record::EndpointSlice(Box::new(record::EndpointSlice {
            cluster: options.cluster.clone(),
            cluster_id: options.cluster_id.0.into(),
            namespace: place.namespace.to_string(),
            name: place.name.to_string(),
            labels: slice.labels.clone(),
            annotations: slice.annotations.clone(),
            family: slice.family?,
            endpoints: slice.endpoints.iter().map(slice_endpoint).collect(),
            ports: ports.collect(),
        })))
    }

    /// A service may be exported without being global.
    pub(super) fn export(&self, options: &Options, place: &Place) -> Option<Record> {
        let space = self
            .global_space(place)
            .filter(|_| options.service_exports)?;
        let export = space.exports.get(&place.name)?;
        let service = space.services.get(&place.name)?;
        let kind = match service.kind {
            ServiceType::Addressed | ServiceType::LabelledHeadless => ExportKind::ClusterSetIP,
            ServiceType::Headless => ExportKind::Headless,
            ServiceType::ExternalName => return None,
        };
        let ports = service.ports.iter().map(|port| ExportPort {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            app_protocol: port.app_protocol.clone(),
            port: port.port,
        });
        let timeout = service.session_affinity_timeout_s;
        Some(Record::ServiceExport(Box::new(record::ServiceExport {
            cluster: options.cluster.clone(),
            name: place.name.to_string(),
            namespace: place.namespace.to_string(),
            annotations: export.annotations.clone(),
            labels: export.labels.clone(),
            export_creation_timestamp: Some(export.created.clone()),
            ports: ports.collect(),
            kind,
            session_affinity: service.session_affinity.clone(),
            session_affinity_config: timeout.map(affinity_config),
            ip_families: service.families.clone(),
            internal_traffic_policy: service.internal_traffic_policy.clone(),
            traffic_distribution: service.traffic_distribution.clone(),
        })))
    }

    fn global_space(&self, place: &Place) -> Option<&Space> {
        self.spaces
            .get(&place.namespace)
            .filter(|space| self.is_global(space))
    }
}

impl Space {
    fn told_service(&self, name: &str) -> Option<&Service> {
        let service = self.services.get(name)?;
        service.is_told().then_some(&**service)
    }
}

fn first_and_more(ranges: &[IpNet], v4: bool) -> (Option<IpNet>, Vec<IpNet>) {
    let mut ranges = ranges.iter().filter(|range| range.addr().is_ipv4() == v4);
    (ranges.next().copied(), ranges.copied().collect())
}

fn service_ports(service: &Service) -> Ports {
    let port = |port: &crate::object::ServicePort| {
        let told = Port {
            protocol: port.protocol.clone(),
            port: port.port,
        };
        (port.name.clone(), told)
    };
    service.ports.iter().map(port).collect()
}

/// An address that stands in several slices has the ports of all; what else is said of it is taken from the first.
fn add_backends(told: &mut record::Service, slice: &EndpointSlice) {
    let ports = slice_ports(slice);
    for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.answers()) {
        for ip in &endpoint.addresses {
            told.backends.entry(*ip).or_default().extend(ports.clone());
            if let Some(hostname) = endpoint.hostname.as_deref().filter(|name| !name.is_empty()) {
                told.hostnames
                    .entry(*ip)
                    .or_insert_with(|| hostname.to_owned());
            }
            if let Some(zone) = zone(endpoint) {
                told.zones.entry(*ip).or_insert(zone);
            }
        }
    }
}

/// Without those that are for every port, and those of protocols that services don't have.
fn slice_ports(slice: &EndpointSlice) -> Ports {
    let mut ports = BTreeMap::new();
    for port in &slice.ports {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if let Some(number) = port.port
            && matches!(protocol, "TCP" | "UDP" | "SCTP")
        {
            let told = Port {
                protocol: protocol.to_owned(),
                port: number,
            };
            ports.insert(port.name.clone().unwrap_or_default(), told);
        }
    }
    ports
}

fn zone(endpoint: &SliceEndpoint) -> Option<Zone> {
    let topology = endpoint.topology.as_ref();
    let deprecated = || {
        topology
            .and_then(|topology| topology.get(ZONE_LABEL))
            .map(String::as_str)
    };
    let zone = endpoint.zone.as_deref().or_else(deprecated)?;
    let hints = endpoint.hints.iter().flatten();
    let for_zones = hints.map(|name| ZoneName {
        name: name.to_string(),
    });
    (!zone.is_empty()).then(|| Zone {
        zone: zone.to_owned(),
        for_zones: for_zones.collect(),
    })
}

fn slice_endpoint(endpoint: &SliceEndpoint) -> Endpoint {
    let hints = endpoint.hints.as_ref();
    Endpoint {
        addresses: endpoint.addresses.to_vec(),
        conditions: endpoint.conditions,
        hostname: endpoint.hostname.as_deref().map(str::to_owned),
        topology: endpoint.topology.as_deref().cloned().unwrap_or_default(),
        node: endpoint.node.as_deref().map(str::to_owned),
        zone: endpoint.zone.as_deref().map(str::to_owned),
        hints: hints.map(|names| names.iter().map(|name| name.to_string()).collect()),
    }
}

fn affinity_config(timeout_s: u32) -> SessionAffinityConfig {
    let client_ip = ClientIp {
        timeout_s: Some(timeout_s),
    };
    SessionAffinityConfig {
        client_ip: Some(client_ip),
    }
}
