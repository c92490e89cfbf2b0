//! What Kubernetes will hold of each cluster: its objects as manifests, in a folder that the cluster's export follows.
//!
//! One file for what belongs to no node, one for each node; each is replaced as a whole.

use crate::{
    error::Result,
    mesh::OBJECTS,
    plan::{MachineId, NodeId, cluster_name, pod_ranges},
    state::{Pod, State, write_whole},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

pub const NAMESPACE: &str = "default";
const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";

/// Writes what there is of a cluster as a whole.
pub fn write_all(state: &State, cluster: u8) -> Result<()> {
    write(state, cluster, "cluster", common(state, cluster))?;
    let mut nodes = state.shape.nodes().filter(|node| node.cluster == cluster);
    nodes.try_for_each(|node| write(state, cluster, &node.to_string(), of_node(state, node)))
}

/// Writes what has changed when a pod of the node came or went.
pub fn write_pods(state: &State, node: NodeId) -> Result<()> {
    write(state, node.cluster, "cluster", common(state, node.cluster))?;
    write(state, node.cluster, &node.to_string(), of_node(state, node))
}

fn write(state: &State, cluster: u8, name: &str, items: Vec<Value>) -> Result<()> {
    let folder = state.path_in(MachineId::Control(cluster), OBJECTS)?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let text = serde_json::to_vec_pretty(&list).expect("objects are plain data");
    write_whole(&folder.join(format!("{name}.json")), &text)
}

/// The namespace, and the identities of all pods.
fn common(state: &State, cluster: u8) -> Vec<Value> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE},
    });
    let pods = state
        .pods
        .iter()
        .filter(|(id, _)| id.node.cluster == cluster);
    let identities: BTreeSet<u32> = pods.map(|(_, pod)| pod.identity).collect();
    let identities = identities
        .into_iter()
        .map(|number| identity(cluster, number));
    [namespace].into_iter().chain(identities).collect()
}

fn identity(cluster: u8, number: u32) -> Value {
    let app = app(number);
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumIdentity",
        "metadata": {"name": number.to_string(), "labels": {"app": app, NAMESPACE_LABEL: NAMESPACE}},
        "security-labels": {
            "k8s:app": app,
            "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": NAMESPACE,
            "k8s:io.cilium.k8s.policy.cluster": cluster_name(cluster),
            "k8s:io.cilium.k8s.policy.serviceaccount": "default",
            format!("k8s:{NAMESPACE_LABEL}"): NAMESPACE,
        },
    })
}

/// Pods of one identity have the same labels.
fn app(identity: u32) -> String {
    format!("app-{identity}")
}

fn of_node(state: &State, node: NodeId) -> Vec<Value> {
    let addresses = state.shape.node_addresses(node);
    let addresses: Vec<Value> = addresses
        .iter()
        .map(|net| json!({"ip": net.addr(), "type": "InternalIP"}))
        .collect();
    let itself = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": node.to_string(), "labels": {"kubernetes.io/hostname": node.to_string()}},
        "spec": {"addresses": addresses, "ipam": {"podCIDRs": pod_ranges(node)}},
    });
    let pods = state.pods.iter().filter(|(id, _)| id.node == node);
    let endpoints = pods.map(|(id, pod)| endpoint(state, node, &id.to_string(), pod));
    [itself].into_iter().chain(endpoints).collect()
}

fn endpoint(state: &State, node: NodeId, name: &str, pod: &Pod) -> Value {
    let mut addressing = serde_json::Map::new();
    let addresses = pod.addresses;
    addressing.extend(addresses.v4.map(|v4| ("ipv4".to_owned(), json!(v4))));
    addressing.extend(addresses.v6.map(|v6| ("ipv6".to_owned(), json!(v6))));
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumEndpoint",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "status": {
            "identity": {"id": pod.identity, "labels": [format!("k8s:app={}", app(pod.identity))]},
            "networking": {"addressing": [addressing], "node": state.shape.tunnel_address(node)},
            "state": "ready",
        },
    })
}
