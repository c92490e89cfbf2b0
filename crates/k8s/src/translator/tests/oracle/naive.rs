//! What is to be told, worked out from all objects each time, and from what the rules say rather than from what changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use tombolo_model::{
    id::Identity,
    record::{self, AddressName, ExportKind, ExportMode, Name, Namespaced, Record, Resource},
};

use super::super::Options;
use crate::{
    Kind, Object, ObjectKey,
    object::{CiliumEndpoint, EndpointSlice, Service, ServiceType},
};

type Records = BTreeMap<(Resource, Name), Record>;

pub(super) struct Naive {
    options: Options,
    objects: BTreeMap<ObjectKey, Object>,
    /// What has not been told of since its kind began anew.
    stale: BTreeSet<ObjectKey>,
    synced: BTreeSet<Kind>,
    /// Who claims what, in the order in which they began to.
    claims: Vec<(IpAddr, ObjectKey)>,
}

impl Naive {
    pub(super) fn new(options: Options) -> Naive {
        Naive {
            options,
            objects: BTreeMap::new(),
            stale: BTreeSet::new(),
            synced: BTreeSet::new(),
            claims: Vec::new(),
        }
    }

    pub(super) fn restart(&mut self, kind: Kind) {
        let keys = self.objects.keys().filter(|key| key.kind == kind);
        self.stale.extend(keys.cloned());
    }

    pub(super) fn synced(&mut self, kind: Kind) {
        let stale = std::mem::take(&mut self.stale);
        self.objects
            .retain(|key, _| key.kind != kind || !stale.contains(key));
        self.stale = stale.into_iter().filter(|key| key.kind != kind).collect();
        self.synced.insert(kind);
    }

    pub(super) fn keep(&mut self, key: &ObjectKey) {
        self.stale.remove(key);
    }

    pub(super) fn delete(&mut self, key: &ObjectKey) {
        self.stale.remove(key);
        self.objects.remove(key);
    }

    pub(super) fn upsert(&mut self, key: ObjectKey, object: Object) {
        self.stale.remove(&key);
        self.objects.insert(key, object);
    }

    /// After each change: claims that ended leave the list, and new ones come to its end.
    pub(super) fn settle(&mut self) {
        let mut claims = Vec::new();
        for (key, object) in &self.objects {
            if let Object::CiliumEndpoint(endpoint) = object
                && self.is_global(&key.namespace)
                && endpoint.host.is_some()
                && endpoint.identity.0 != 0
            {
                claims.extend(endpoint.addresses.iter().map(|ip| (*ip, key.clone())));
            }
        }
        self.claims.retain(|claim| claims.contains(claim));
        for claim in claims {
            if !self.claims.contains(&claim) {
                self.claims.push(claim);
            }
        }
    }

    pub(super) fn is_ready(&self, resource: Resource) -> bool {
        let mode = self.options.export;
        let needs: &[Kind] = match resource {
            Resource::Nodes => &[Kind::CiliumNode],
            Resource::Identities => &[Kind::CiliumIdentity, Kind::Namespace],
            Resource::Addresses => &[Kind::CiliumEndpoint, Kind::Namespace],
            Resource::Services if mode == ExportMode::EndpointSlices => return false,
            Resource::EndpointSlices if mode == ExportMode::Services => return false,
            Resource::Services | Resource::EndpointSlices => {
                &[Kind::Service, Kind::EndpointSlice, Kind::Namespace]
            }
            Resource::ServiceExports if !self.options.service_exports => &[],
            Resource::ServiceExports => &[Kind::ServiceExport, Kind::Service, Kind::Namespace],
        };
        needs.iter().all(|kind| self.synced.contains(kind))
    }

    pub(super) fn records(&self) -> Records {
        let mut records = Records::new();
        for (key, object) in &self.objects {
            let name = Namespaced {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
            };
            let told = match object {
                Object::CiliumNode(node) => {
                    let record = self.node(&key.name, node.identity);
                    Some((Name::Node(key.name.clone()), record))
                }
                Object::CiliumIdentity(identity) => {
                    let namespace = identity.namespace();
                    let default = self.options.default_global_namespace;
                    let global = namespace.map_or(default, |name| self.is_global(name));
                    let labels = identity.labels().filter(|_| global);
                    let number = Identity(key.name.parse().expect("a number"));
                    labels.map(|labels| (Name::Identity(number), Record::Identity(number, labels)))
                }
                Object::Service(service) => {
                    let record = self.service(key, service);
                    record.map(|record| (Name::Service(name), record))
                }
                Object::EndpointSlice(slice) => {
                    let record = self.slice(key, slice);
                    record.map(|record| (Name::EndpointSlice(name), record))
                }
                Object::ServiceExport(export) => {
                    let record = self.export(key, &export.labels);
                    record.map(|record| (Name::ServiceExport(name), record))
                }
                Object::Namespace(_) | Object::CiliumEndpoint(_) => None,
            };
            records.extend(told.map(|(name, record)| ((name.resource(), name), record)));
        }
        for (ip, key) in self.claims.iter().rev() {
            let (ip, length) = (*ip, None);
            let name = Name::Address(AddressName { ip, length });
            let Object::CiliumEndpoint(endpoint) = &self.objects[key] else {
                panic!("{key} is an endpoint");
            };
            records.insert((Resource::Addresses, name), address(ip, key, endpoint));
        }
        records.retain(|(resource, _), _| self.is_ready(*resource));
        records
    }

    fn is_global(&self, namespace: &str) -> bool {
        let key = ObjectKey {
            kind: Kind::Namespace,
            namespace: String::new(),
            name: namespace.to_owned(),
        };
        match self.objects.get(&key) {
            Some(Object::Namespace(namespace)) => {
                let default = self.options.default_global_namespace;
                namespace.global.unwrap_or(default)
            }
            _ => false,
        }
    }

    fn find_service(&self, namespace: &str, name: &str) -> Option<&Service> {
        let key = ObjectKey {
            kind: Kind::Service,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        match self.objects.get(&key)? {
            Object::Service(service) => Some(service),
            other => panic!("{other:?}"),
        }
    }

    fn node(&self, name: &str, identity: u32) -> Record {
        Record::Node(Box::new(record::Node {
            name: name.to_owned(),
            cluster: "cluster1".to_owned(),
            cluster_id: 1,
            addresses: vec![record::NodeAddress {
                kind: "InternalIP".to_owned(),
                ip: Some("192.0.2.1".parse().expect("an address")),
            }],
            source: "custom-resource".to_owned(),
            identity,
            ..record::Node::default()
        }))
    }

    fn service(&self, key: &ObjectKey, service: &Service) -> Option<Record> {
        let told = service.sharing.is_exported() && service.kind != ServiceType::ExternalName;
        if !told || !self.is_global(&key.namespace) {
            return None;
        }
        let mut record = record::Service {
            cluster: "cluster1".to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            labels: service.labels.clone(),
            selector: service.selector.clone(),
            include_external: true,
            shared: true,
            cluster_id: 1,
            ..record::Service::default()
        };
        for ip in &service.addresses {
            if service.kind == ServiceType::Addressed {
                let ports = record.frontends.entry(*ip).or_default();
                for port in &service.ports {
                    let (protocol, number) = (port.protocol.clone(), port.port);
                    let told = record::Port {
                        protocol,
                        port: number,
                    };
                    ports.insert(port.name.clone(), told);
                }
            }
        }
        // The last first, so that the first has the last word.
        for (other, object) in self.objects.iter().rev() {
            if let Object::EndpointSlice(slice) = object
                && other.namespace == key.namespace
                && slice.service() == Some(&key.name)
            {
                backends(&mut record, slice);
            }
        }
        Some(Record::Service(Box::new(record)))
    }

    fn slice(&self, key: &ObjectKey, slice: &EndpointSlice) -> Option<Record> {
        let service = self.find_service(&key.namespace, slice.service()?)?;
        let told = service.sharing.is_exported() && service.kind != ServiceType::ExternalName;
        if !told || !self.is_global(&key.namespace) {
            return None;
        }
        let endpoints = slice.endpoints.iter().map(|endpoint| record::Endpoint {
            addresses: endpoint.addresses.to_vec(),
            conditions: endpoint.conditions,
            hostname: endpoint.hostname.as_ref().map(ToString::to_string),
            zone: endpoint.zone.as_ref().map(ToString::to_string),
            ..record::Endpoint::default()
        });
        let ports = slice.ports.iter().map(|port| record::EndpointPort {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            port: port.port,
            app_protocol: None,
        });
        Some(Record::EndpointSlice(Box::new(record::EndpointSlice {
            cluster: "cluster1".to_owned(),
            cluster_id: 1,
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            labels: slice.labels.clone(),
            annotations: BTreeMap::new(),
            family: slice.family?,
            endpoints: endpoints.collect(),
            ports: ports.collect(),
        })))
    }

    fn export(&self, key: &ObjectKey, labels: &BTreeMap<String, String>) -> Option<Record> {
        let service = self.find_service(&key.namespace, &key.name)?;
        if !self.options.service_exports || !self.is_global(&key.namespace) {
            return None;
        }
        let ports = service.ports.iter().map(|port| record::ExportPort {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            app_protocol: None,
            port: port.port,
        });
        Some(Record::ServiceExport(Box::new(record::ServiceExport {
            cluster: "cluster1".to_owned(),
            name: key.name.clone(),
            namespace: key.namespace.clone(),
            labels: labels.clone(),
            export_creation_timestamp: Some("2026-11-21T06:54:22Z".to_owned()),
            ports: ports.collect(),
            kind: match service.kind {
                ServiceType::ExternalName => return None,
                ServiceType::Headless => ExportKind::Headless,
                _ => ExportKind::ClusterSetIP,
            },
            session_affinity: "None".to_owned(),
            ..record::ServiceExport::default()
        })))
    }
}

fn address(ip: IpAddr, key: &ObjectKey, endpoint: &CiliumEndpoint) -> Record {
    let ports = endpoint.ports.iter().map(|port| record::NamedPort {
        name: port.name.clone(),
        port: port.port,
        protocol: port.protocol.clone(),
    });
    let service_account = endpoint.service_account.as_deref();
    Record::Address(Box::new(record::Address {
        name: AddressName { ip, length: None },
        host: endpoint.host,
        identity: endpoint.identity.0,
        encryption_key: endpoint.encryption_key,
        metadata: String::new(),
        namespace: key.namespace.clone(),
        pod: key.name.clone(),
        service_account: service_account.unwrap_or_default().to_owned(),
        ports: ports.collect(),
    }))
}

fn backends(record: &mut record::Service, slice: &EndpointSlice) {
    for endpoint in &slice.endpoints {
        let conditions = endpoint.conditions;
        if conditions.ready == Some(false) && conditions.serving != Some(true) {
            continue;
        }
        for ip in &endpoint.addresses {
            for port in &slice.ports {
                let told = record::Port {
                    protocol: port.protocol.clone().expect("given"),
                    port: port.port.expect("given"),
                };
                let ports = record.backends.entry(*ip).or_default();
                ports.insert(port.name.clone().expect("given"), told);
            }
            if let Some(name) = &endpoint.hostname {
                record.hostnames.insert(*ip, name.to_string());
            }
            if let Some(zone) = &endpoint.zone {
                let (zone, for_zones) = (zone.to_string(), Vec::new());
                record.zones.insert(*ip, record::Zone { zone, for_zones });
            }
        }
    }
}
