//! What the lab tells each agent of the nodes and pods elsewhere, where clusters have no stores.

use crate::{
    error::Result,
    plan::{NodeId, cluster_name, pod_ranges},
    state::{State, write_whole},
};
use ipnet::IpNet;
use serde::Serialize;
use std::{net::IpAddr, path::Path};
use tombolo_model::net::PodAddresses;

/// One file is one whole snapshot.
#[derive(Debug, PartialEq, Serialize)]
pub struct Facts {
    nodes: Vec<NodeFact>,
    addresses: Vec<AddressFact>,
}

#[derive(Debug, PartialEq, Serialize)]
struct NodeFact {
    cluster: String,
    cluster_id: u16,
    name: String,
    addresses: Vec<IpAddr>,
    pod_ranges: Vec<IpNet>,
}

#[derive(Debug, PartialEq, Serialize)]
struct AddressFact {
    address: IpAddr,
    identity: u32,
    host: IpAddr,
}

impl Facts {
    /// All nodes, and all pods but the node's own.
    pub fn of(state: &State, node: NodeId) -> Facts {
        let nodes = state.shape.nodes().map(|node| NodeFact {
            cluster: cluster_name(node.cluster),
            cluster_id: state.cluster_id(node.cluster).into(),
            name: node.to_string(),
            addresses: addresses(&state.shape.node_addresses(node)),
            pod_ranges: pod_ranges(node).into(),
        });
        let elsewhere = state.pods.iter().filter(|(pod, _)| pod.node != node);
        let addresses = elsewhere.flat_map(|(id, pod)| {
            each(pod.addresses).map(|address| AddressFact {
                address,
                identity: pod.identity,
                host: state.shape.tunnel_address(id.node),
            })
        });
        Facts {
            nodes: nodes.collect(),
            addresses: addresses.collect(),
        }
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("facts are plain data");
        write_whole(file, &text)
    }
}

pub fn each(addresses: PodAddresses) -> impl Iterator<Item = IpAddr> {
    let v4 = addresses.v4.map(IpAddr::V4);
    v4.into_iter().chain(addresses.v6.map(IpAddr::V6))
}

fn addresses(nets: &[IpNet]) -> Vec<IpAddr> {
    nets.iter().map(IpNet::addr).collect()
}

#[cfg(test)]
mod tests;
