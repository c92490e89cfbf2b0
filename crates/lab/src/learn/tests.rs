use super::*;
use crate::{
    plan::{Fabric, Shape, Underlay},
    state::Pod,
};
use tombolo_model::net::{PodAddresses, RoutingMode};

fn state() -> State {
    let shape = Shape {
        clusters: 3,
        nodes_per_cluster: 1,
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
            identity: u32::from(node.cluster) << 16 | 256,
            addresses: PodAddresses {
                v4: Some([10, node.cluster, 1, 2].into()),
                v6: None,
            },
        };
        (crate::plan::PodId { node, number: 1 }, pod)
    });
    State {
        pods: pods.collect(),
        ..State::new("lab", shape)
    }
}

#[test]
fn pods_of_strangers_are_not_expected() {
    let mut state = state();
    let node = "c1-n1".parse().unwrap();
    let prefixes = |state: &State| -> Vec<String> {
        expected(state, node)
            .iter()
            .map(|(prefix, identity, place)| format!("{prefix} {identity} {place}"))
            .collect()
    };
    let of_2 = "10.2.1.2/32 131328 remote cluster2/c2-n1";
    let of_3 = "10.3.1.2/32 196864 remote cluster3/c3-n1";
    assert_eq!(prefixes(&state), [of_2, of_3]);
    state.strangers.insert((1, 3));
    assert_eq!(prefixes(&state), [of_2]);
    state.strangers.insert((2, 3));
    assert_eq!(prefixes(&state), [of_2]);
}

#[test]
fn what_is_missing_is_said_before_what_is_stale() {
    let place = |prefix: &str, node: &str| (prefix.parse().unwrap(), 256, node.to_owned());
    let (a, b) = (
        place("10.1.1.2/32", "remote cluster1/c1-n1"),
        place("10.2.1.2/32", "remote cluster2/c2-n1"),
    );
    let set = |places: &[&Place]| {
        places
            .iter()
            .map(|place| (*place).clone())
            .collect::<BTreeSet<_>>()
    };
    let cases = [
        (set(&[&a, &b]), set(&[&a, &b]), "knows all"),
        (
            set(&[&a]),
            set(&[&b]),
            "does not know 10.1.1.2/32 at remote cluster1/c1-n1",
        ),
        (
            set(&[&a]),
            set(&[&a, &b]),
            "still knows 10.2.1.2/32 at remote cluster2/c2-n1",
        ),
    ];
    for (expected, shown, words) in cases {
        assert_eq!(difference(&expected, &shown), words);
    }
}
