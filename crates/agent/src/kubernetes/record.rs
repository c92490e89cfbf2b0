//! A pod's endpoint as the node writes it for others: the CiliumEndpoint of the pod's name.

use std::net::IpAddr;

use serde_json::{Value, json};
use tombolo_model::{id::Identity, local::Endpoint, net::PodAddresses};

use super::{forms::Pod, identity::LabelMap};

/// All that it says, of which a difference is written.
pub fn status(
    endpoint: &Endpoint,
    pod: &Pod,
    identity: Identity,
    labels: &LabelMap,
    host: IpAddr,
) -> Value {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let ports = pod.spec.containers.iter().flat_map(|it| &it.ports);
    let ports: Vec<Value> = ports
        .filter(|port| !port.name.is_empty())
        .map(|port| {
            let protocol = match port.protocol.as_str() {
                "" => "TCP",
                protocol => protocol,
            };
            json!({"name": port.name, "port": port.container_port, "protocol": protocol})
        })
        .collect();
    let mut status = json!({
        "id": endpoint.id,
        "state": "ready",
        "external-identifiers": {
            "cni-attachment-id": format!("{}:{}", endpoint.attachment.container, endpoint.attachment.interface),
            "container-id": endpoint.attachment.container,
            "k8s-namespace": endpoint.pod.namespace,
            "k8s-pod-name": endpoint.pod.name,
        },
        "identity": {"id": identity, "labels": labels},
        "networking": {"addressing": [addressing(&endpoint.addresses)], "node": host},
        "encryption": {"key": 0},
        "named-ports": ports,
    });
    if !pod.spec.service_account_name.is_empty() {
        status["service-account"] = pod.spec.service_account_name.clone().into();
    }
    status
}

fn addressing(addresses: &PodAddresses) -> Value {
    let mut pair = json!({});
    for address in addresses.iter() {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        pair[family] = address.to_string().into();
    }
    pair
}

/// It goes when its pod goes.
pub fn object(endpoint: &Endpoint, pod: &Pod, status: &Value) -> Value {
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumEndpoint",
        "metadata": {
            "name": endpoint.pod.name,
            "namespace": endpoint.pod.namespace,
            "ownerReferences": [{
                "apiVersion": "v1",
                "kind": "Pod",
                "name": endpoint.pod.name,
                "uid": pod.metadata.uid,
            }],
        },
        "status": status,
    })
}
