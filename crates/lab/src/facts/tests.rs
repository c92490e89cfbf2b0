use super::*;
use crate::{
    plan::{Fabric, Mesh, PodId, Shape, Underlay},
    state::Pod,
};
use tombolo_model::net::RoutingMode;

fn state() -> State {
    let shape = Shape {
        clusters: 2,
        nodes_per_cluster: 1,
        pods_per_node: 1,
        routing: RoutingMode::Tunnel,
        underlay: Underlay::Ipv4,
        fabric: Fabric::Router,
        mesh: Mesh::Facts,
        masquerade: true,
        kubernetes: None,
    };
    let pods = shape.nodes().map(|node| {
        let pod = Pod {
            container: String::new(),
            identity: u32::from(node.cluster) << 16 | 256,
            addresses: PodAddresses {
                v4: Some([10, node.cluster, 1, 2].into()),
                v6: Some([0xfd00, 0x10, node.cluster.into(), 1, 0, 0, 0, 2].into()),
            },
        };
        (PodId { node, number: 1 }, pod)
    });
    State {
        pods: pods.collect(),
        ..State::new("lab", shape)
    }
}

#[test]
fn facts_are_what_the_agent_reads() {
    let facts = Facts::of(&state(), "c1-n1".parse().unwrap());
    let expected = serde_json::json!({
        "nodes": [
            {"cluster": "cluster1", "cluster_id": 1, "name": "c1-n1",
             "addresses": ["172.30.1.11", "fd00:30:1::11"], "pod_ranges": ["10.1.1.0/24", "fd00:10:1:1::/64"]},
            {"cluster": "cluster2", "cluster_id": 2, "name": "c2-n1",
             "addresses": ["172.30.2.11", "fd00:30:2::11"], "pod_ranges": ["10.2.1.0/24", "fd00:10:2:1::/64"]},
        ],
        "addresses": [
            {"address": "10.2.1.2", "identity": 131328, "host": "172.30.2.11"},
            {"address": "fd00:10:2:1::2", "identity": 131328, "host": "172.30.2.11"},
        ],
    });
    assert_eq!(serde_json::to_value(facts).unwrap(), expected);
}

#[test]
fn a_node_is_not_told_of_its_own_pods() {
    let facts = Facts::of(&state(), "c2-n1".parse().unwrap());
    let addresses = facts.addresses.iter();
    let addresses: Vec<String> = addresses.map(|fact| fact.address.to_string()).collect();
    assert_eq!(addresses, ["10.1.1.2", "fd00:10:1:1::2"]);
}
