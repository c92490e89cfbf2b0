//! Objects of a cluster's Kubernetes, as a watch tells of them: one JSON object a line.

use std::{io::Write as _, net::IpAddr};

use serde_json::{Value, json};
use tombolo_model::record::Tree;

use crate::cluster::{Cluster, PODS_OF_NODE, Size};

const NODES: u32 = 250;
/// Different addresses of pods; one that was used is free for long before it is used again.
const ADDRESSES: u32 = NODES * PODS_OF_NODE;
const NAMESPACES: u32 = 50;
const KINDS: [(&str, &str); 6] = [
    ("v1", "Namespace"),
    ("cilium.io/v2", "CiliumNode"),
    ("cilium.io/v2", "CiliumIdentity"),
    ("cilium.io/v2", "CiliumEndpoint"),
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
];

/// The pods of a cluster: new ones at one end, the oldest go at the other.
pub struct Objects {
    cluster: Cluster,
    oldest: u32,
    next: u32,
}

impl Objects {
    pub fn new(id: u32, pods: u32) -> Objects {
        let size = Size {
            addresses: pods,
            identities: 500,
            nodes: NODES,
            services: 0,
        };
        let cluster = Cluster {
            name: format!("c{id}"),
            id,
            size,
            tree: Tree::State,
        };
        Objects {
            cluster,
            oldest: 0,
            next: 0,
        }
    }

    /// All that is there when the watch begins, and the notes that it is all.
    pub fn initial(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        for number in 0..NAMESPACES {
            line(&mut lines, "ADDED", &namespace(number));
        }
        for number in 0..NODES {
            line(&mut lines, "ADDED", &self.node(number));
        }
        for _ in 0..self.cluster.size.addresses {
            self.come(&mut lines);
        }
        for (version, kind) in KINDS {
            let ended = json!({"k8s.io/initial-events-end": "true"});
            let metadata = json!({"resourceVersion": "1", "annotations": ended});
            let bookmark = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
            line(&mut lines, "BOOKMARK", &bookmark);
        }
        lines
    }

    /// Another pod is ready.
    pub fn come(&mut self, lines: &mut Vec<u8>) {
        let pod = self.pod(self.next);
        self.next += 1;
        line(lines, "ADDED", &pod);
    }

    /// The pod that has been there for the longest time has gone.
    pub fn go(&mut self, lines: &mut Vec<u8>) {
        let pod = self.pod(self.oldest);
        self.oldest += 1;
        line(lines, "DELETED", &pod);
    }

    /// The address of the pod that came last.
    pub fn newest(&self) -> IpAddr {
        self.cluster.pod_ip(self.next.saturating_sub(1) % ADDRESSES)
    }

    fn node(&self, number: u32) -> Value {
        let range = format!("10.{}.{number}.0/24", self.cluster.id);
        json!({
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumNode",
            "metadata": {"name": format!("{}-node-{number:03}", self.cluster.name)},
            "spec": {
                "addresses": [{"ip": self.cluster.host(number), "type": "InternalIP"}],
                "ipam": {"podCIDRs": [range]},
            },
        })
    }

    fn pod(&self, number: u32) -> Value {
        let place = number % ADDRESSES;
        let identity = self.cluster.identity_number(number);
        let namespace = format!("team-{}", identity % NAMESPACES);
        json!({
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumEndpoint",
            "metadata": {
                "name": format!("app-{identity}-6f4d9c7b8b-x{number:07x}"),
                "namespace": namespace,
                "labels": {"app": format!("app-{identity}"), "pod-template-hash": "6f4d9c7b8b"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": format!("app-{identity}")}],
                "resourceVersion": number.to_string(),
            },
            "status": {
                "id": number % 4096,
                "identity": {
                    "id": identity,
                    "labels": [
                        format!("k8s:app=app-{identity}"),
                        format!("k8s:io.kubernetes.pod.namespace={namespace}"),
                        format!("k8s:io.cilium.k8s.policy.cluster={}", self.cluster.name),
                        "k8s:io.cilium.k8s.policy.serviceaccount=default",
                    ],
                },
                "networking": {
                    "addressing": [{"ipv4": self.cluster.pod_ip(place)}],
                    "node": self.cluster.host(place / PODS_OF_NODE),
                },
                "state": "ready",
            },
        })
    }
}

/// Pods of a namespace that nobody knows are not told to others.
fn namespace(number: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("team-{number}")}})
}

fn line(lines: &mut Vec<u8>, event: &str, object: &Value) {
    // Writing to memory does not fail.
    writeln!(lines, "{}", json!({"type": event, "object": object})).unwrap_or_default();
}
