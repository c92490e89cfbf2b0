mod claims;
mod golden;
mod oracle;
mod order;
mod scope;
mod services;
mod speed;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tombolo_model::{
    event::Event,
    id::ClusterId,
    record::{ExportMode, Name, Record, Resource},
};

use super::{Options, Translator};
use crate::{
    Kind, Object, ObjectKey,
    watch::{WatchEvent, parse_line},
};

fn options() -> Options {
    Options {
        cluster: "cluster1".to_owned(),
        cluster_id: ClusterId(1),
        default_global_namespace: true,
        export: ExportMode::Both,
        service_exports: true,
    }
}

fn drain(translator: &mut Translator) -> Vec<(Resource, Event<Name, Record>)> {
    std::iter::from_fn(|| translator.poll()).collect()
}

/// A translator and all that it has told, by the last part of the keys.
struct Told {
    translator: Translator,
    records: BTreeMap<(Resource, String), Record>,
}

impl Told {
    /// Of a cluster in which there is nothing yet.
    fn new(options: Options) -> Told {
        let mut told = Told {
            translator: Translator::new(options),
            records: BTreeMap::new(),
        };
        for kind in Kind::ALL {
            told.translator.handle(kind, Event::Synced);
        }
        told.changes();
        told
    }

    /// With a global namespace, `shop`.
    fn shop() -> Told {
        let mut told = Told::new(options());
        told.put(namespace("shop", None));
        told
    }

    fn put(&mut self, object: Value) {
        let (key, object) = read(object);
        self.translator.handle(key.kind, Event::Upsert(key, object));
    }

    fn delete(&mut self, object: Value) {
        let (key, _) = read(object);
        self.translator.handle(key.kind, Event::Delete(key));
    }

    /// What is told from now on, like `+ip/10.0.0.1` and `-nodes/a`.
    fn changes(&mut self) -> Vec<String> {
        let mut changes = Vec::new();
        for (resource, event) in drain(&mut self.translator) {
            match event {
                Event::Upsert(name, record) => {
                    changes.push(format!("+{resource}/{name}"));
                    self.records.insert((resource, name.to_string()), record);
                }
                Event::Delete(name) => {
                    changes.push(format!("-{resource}/{name}"));
                    let gone = self.records.remove(&(resource, name.to_string()));
                    assert!(gone.is_some(), "{name} was told of");
                }
                Event::Restart | Event::Synced => {}
            }
        }
        let counts = Resource::ALL.map(|resource| self.translator.records(resource));
        assert_eq!(self.records.len(), counts.iter().sum::<usize>());
        changes
    }

    fn service(&self, name: &str) -> &tombolo_model::record::Service {
        match &self.records[&(Resource::Services, name.to_owned())] {
            Record::Service(service) => service,
            other => panic!("{other:?}"),
        }
    }

    fn pod_at(&self, ip: &str) -> Option<&str> {
        match self.records.get(&(Resource::Addresses, ip.to_owned()))? {
            Record::Address(address) => Some(&address.pod),
            other => panic!("{other:?}"),
        }
    }
}

/// Through the line that Kubernetes would write.
fn read(object: Value) -> (ObjectKey, Object) {
    let line = json!({"type": "ADDED", "object": object}).to_string();
    match parse_line(1, line.as_bytes()) {
        Ok(WatchEvent::Change(_, Event::Upsert(key, object))) => (key, object),
        other => panic!("{line}: {other:?}"),
    }
}

fn namespace(name: &str, global: Option<&str>) -> Value {
    let annotations = match global {
        Some(global) => json!({"clustermesh.cilium.io/global": global}),
        None => json!(null),
    };
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}})
}

fn node(name: &str) -> Value {
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": name},
        "spec": {"addresses": [{"type": "InternalIP", "ip": "192.0.2.1"}]}})
}

fn identity(number: u32, namespace: &str) -> Value {
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumIdentity", "metadata": {"name": number.to_string()},
        "security-labels": {"k8s:io.kubernetes.pod.namespace": namespace, "k8s:app": "a"}})
}

fn endpoint(namespace: &str, name: &str, ips: &[&str]) -> Value {
    let pair = |ip: &&str| match ip.contains(':') {
        true => json!({"ipv6": ip}),
        false => json!({"ipv4": ip}),
    };
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint", "metadata": {"name": name, "namespace": namespace},
        "status": {"identity": {"id": 70001}, "networking": {"node": "192.0.2.1", "addressing": ips.iter().map(pair).collect::<Vec<_>>()}}})
}

/// A shared one unless its annotations say otherwise.
fn service(namespace: &str, name: &str, annotations: Value, spec: Value) -> Value {
    let annotations = match annotations {
        Value::Null => json!({"service.cilium.io/global": "true"}),
        annotations => annotations,
    };
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations}, "spec": spec})
}

fn slice(namespace: &str, name: &str, service: &str, endpoints: Value) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints})
}

fn service_export(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceExport",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-21T06:54:22Z"}})
}
