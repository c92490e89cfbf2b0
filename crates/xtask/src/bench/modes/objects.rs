//! Objects of as many nodes and pods as the readers stand for, and changes of them.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::lab::Lab;

/// Nodes but the first, which the lab itself has told of.
pub struct Pods {
    nodes: u32,
    pods_per_node: u32,
    /// Changes that each cluster has seen: nodes have them in turn.
    changes: [u32; 256],
}

impl Pods {
    pub fn new(nodes: u32, pods_per_node: u32) -> Pods {
        Pods {
            nodes,
            pods_per_node,
            changes: [0; 256],
        }
    }

    /// Records of each cluster that peers are told.
    pub fn records(&self) -> u64 {
        u64::from(self.nodes - 1) * u64::from(1 + self.pods_per_node)
    }

    pub fn write_all(&self, lab: &Lab, cluster: u8) -> Result<()> {
        (2..=self.nodes).try_for_each(|number| self.write(lab, cluster, number, 0, 0))
    }

    /// The first pods of the next node get another identity, `count` of them.
    pub fn change(&mut self, lab: &Lab, cluster: u8, count: u32) -> Result<()> {
        if count > self.pods_per_node {
            bail!(
                "{count} pods of a node are to change and it has {}",
                self.pods_per_node
            );
        }
        let changes = &mut self.changes[usize::from(cluster)];
        let (round, number) = (*changes / (self.nodes - 1), 2 + *changes % (self.nodes - 1));
        *changes += 1;
        self.write(lab, cluster, number, count, round % 2 + 1)
    }

    /// A node and its pods, of which the first `count` are of the kind that is told, the others of the kind 0.
    fn write(&self, lab: &Lab, cluster: u8, number: u32, count: u32, kind: u32) -> Result<()> {
        let pods = 0..self.pods_per_node;
        let pods =
            pods.map(|index| pod(cluster, number, index, if index < count { kind } else { 0 }));
        let items: Vec<Value> = [node(cluster, number)].into_iter().chain(pods).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        lab.write_objects(cluster, &format!("load-{number}.json"), &list.to_string())
    }
}

fn node(cluster: u8, number: u32) -> Value {
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": format!("c{cluster}-n{number}")},
        "spec": {
            "addresses": [{"ip": node_address(cluster, number), "type": "InternalIP"}],
            "ipam": {"podCIDRs": [format!("10.{cluster}.{number}.0/24")]},
        },
    })
}

fn node_address(cluster: u8, number: u32) -> String {
    format!("172.30.{cluster}.{}", 10 + number)
}

fn pod(cluster: u8, number: u32, index: u32, kind: u32) -> Value {
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumEndpoint",
        "metadata": {"name": format!("c{cluster}-n{number}-p{index}"), "namespace": "default"},
        "status": {
            "identity": {"id": u32::from(cluster) << 16 | (1000 + kind)},
            "networking": {
                "addressing": [{"ipv4": format!("10.{cluster}.{number}.{}", 2 + index)}],
                "node": node_address(cluster, number),
            },
            "state": "ready",
        },
    })
}
