use super::*;
use crate::plan::{Fabric, Mesh, PodId, Shape, Underlay};
use tombolo_model::net::{PodAddresses, RoutingMode};

fn state() -> State {
    let shape = Shape {
        clusters: 2,
        nodes_per_cluster: 2,
        pods_per_node: 1,
        routing: RoutingMode::Tunnel,
        underlay: Underlay::Ipv4,
        fabric: Fabric::Router,
        mesh: Mesh::Kvstoremesh,
        masquerade: true,
        kubernetes: None,
    };
    let pods = shape.nodes().map(|node| {
        let pod = Pod {
            container: String::new(),
            // Both nodes' pods are of one kind.
            identity: u32::from(node.cluster) << 16 | 256,
            addresses: PodAddresses {
                v4: Some([10, node.cluster, node.number, 2].into()),
                v6: None,
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
fn a_node_and_its_pods_are_what_kubernetes_would_hold() {
    let expected = json!([
        {
            "apiVersion": "cilium.io/v2", "kind": "CiliumNode",
            "metadata": {"name": "c2-n1", "labels": {"kubernetes.io/hostname": "c2-n1"}},
            "spec": {
                "addresses": [{"ip": "172.30.2.11", "type": "InternalIP"}, {"ip": "fd00:30:2::11", "type": "InternalIP"}],
                "ipam": {"podCIDRs": ["10.2.1.0/24", "fd00:10:2:1::/64"]},
            },
        },
        {
            "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint",
            "metadata": {"name": "c2-n1-p1", "namespace": "default"},
            "status": {
                "identity": {"id": 131_328, "labels": ["k8s:app=app-131328"]},
                "networking": {"addressing": [{"ipv4": "10.2.1.2"}], "node": "172.30.2.11"},
                "state": "ready",
            },
        },
    ]);
    let objects = of_node(&state(), "c2-n1".parse().unwrap());
    assert_eq!(Value::from(objects), expected);
}

#[test]
fn pods_of_one_identity_share_it() {
    let objects = common(&state(), 1);
    let names: Vec<_> = objects
        .iter()
        .map(|object| (&object["kind"], &object["metadata"]["name"]))
        .collect();
    assert_eq!(
        names,
        [
            (&json!("Namespace"), &json!("default")),
            (&json!("CiliumIdentity"), &json!("65792")),
        ]
    );
    let labels = &objects[1]["security-labels"];
    assert_eq!(labels["k8s:io.cilium.k8s.policy.cluster"], "cluster1");
    assert_eq!(labels["k8s:io.kubernetes.pod.namespace"], "default");
}
