use super::*;

fn shape() -> Shape {
    Shape {
        clusters: 2,
        nodes_per_cluster: 2,
        pods_per_node: 2,
        routing: RoutingMode::Tunnel,
        underlay: Underlay::Ipv4,
        fabric: Fabric::Router,
        mesh: Mesh::Kvstoremesh,
        masquerade: true,
        kubernetes: None,
    }
}

fn node(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn texts(nets: &[IpNet]) -> Vec<String> {
    nets.iter().map(IpNet::to_string).collect()
}

#[test]
fn addresses_read_like_their_numbers() {
    let shape = shape();
    assert_eq!(
        texts(&shape.node_addresses(node("c2-n1"))),
        ["172.30.2.11/24", "fd00:30:2::11/64"]
    );
    assert_eq!(
        texts(&shape.addresses(MachineId::Control(2))),
        ["172.30.2.2/24", "fd00:30:2::2/64"]
    );
    assert_eq!(
        texts(&shape.gateway_addresses(1)),
        ["172.30.1.1/24", "fd00:30:1::1/64"]
    );
    assert_eq!(
        texts(&pod_ranges(node("c2-n1"))),
        ["10.2.1.0/24", "fd00:10:2:1::/64"]
    );
    assert_eq!(
        texts(&cluster_pod_ranges(2)),
        ["10.2.0.0/16", "fd00:10:2::/48"]
    );
    assert_eq!(
        texts(&transit(3).gateway),
        ["172.31.3.2/24", "fd00:31:3::2/64"]
    );
    assert_eq!(
        texts(&world().gateway),
        ["198.51.100.2/24", "2001:db8::2/64"]
    );
}

#[test]
fn ipv6_underlay_has_no_ipv4_nodes() {
    let shape = Shape {
        underlay: Underlay::Ipv6,
        ..shape()
    };
    assert_eq!(
        texts(&shape.node_addresses(node("c1-n2"))),
        ["fd00:30:1::12/64"]
    );
}

#[test]
fn no_two_things_share_an_address_or_identity() {
    let shape = Shape {
        clusters: 3,
        nodes_per_cluster: NODES_MAX,
        ..shape()
    };
    let mut seen = std::collections::BTreeSet::new();
    for cluster in shape.clusters() {
        for net in shape.gateway_addresses(cluster) {
            assert!(seen.insert(net.addr()), "{net}");
        }
    }
    let mut identities = std::collections::BTreeSet::new();
    for machine in shape.machines() {
        for net in shape.addresses(machine) {
            assert!(
                subnets(machine.cluster())
                    .iter()
                    .any(|s| s.contains(&net.addr()))
            );
            assert!(seen.insert(net.addr()), "{net}");
        }
    }
    for node in shape.nodes() {
        let cluster = cluster_pod_ranges(node.cluster);
        assert!(
            pod_ranges(node)
                .iter()
                .all(|range| cluster.iter().any(|all| all.contains(range)))
        );
        for number in 1..=PODS_MAX {
            let identity = identity(node.cluster, PodId { node, number });
            assert_eq!(identity >> 16, u32::from(node.cluster));
            assert!(identity & 0xffff >= 256);
            assert!(identities.insert(identity), "{node} {number}");
        }
    }
}

#[test]
fn impossible_shapes_are_refused_with_a_way_out() {
    let direct = |clusters, nodes_per_cluster| Shape {
        fabric: Fabric::Direct,
        mesh: Mesh::Facts,
        clusters,
        nodes_per_cluster,
        ..shape()
    };
    let native_v6 = Shape {
        routing: RoutingMode::Native,
        underlay: Underlay::Ipv6,
        ..shape()
    };
    let cases = [
        (shape(), Ok(())),
        (direct(2, 1), Ok(())),
        (direct(1, 2), Ok(())),
        (direct(2, 2), Err(PlanError::Direct)),
        (
            Shape {
                mesh: Mesh::Direct,
                ..direct(2, 1)
            },
            Err(PlanError::DirectMesh),
        ),
        (native_v6, Err(PlanError::NativeIpv6)),
        (
            Shape {
                pods_per_node: 0,
                ..shape()
            },
            Ok(()),
        ),
        (
            Shape {
                clusters: 0,
                ..shape()
            },
            Err(PlanError::Count {
                what: "clusters",
                count: 0,
                max: 255,
            }),
        ),
        (
            Shape {
                pods_per_node: 251,
                ..shape()
            },
            Err(PlanError::Count {
                what: "pods per node",
                count: 251,
                max: PODS_MAX,
            }),
        ),
    ];
    for (shape, expected) in cases {
        assert_eq!(shape.check(), expected, "{shape:?}");
    }
}

#[test]
fn names_are_read_back_and_have_one_spelling() {
    for good in ["c1-n1", "c12-n240"] {
        assert_eq!(node(good).to_string(), good);
    }
    for bad in [
        "", "c1", "c0-n1", "c1-n0", "c01-n1", "c1-n+1", "c1-n1-p1", "c256-n1", "c1-n1 ",
    ] {
        assert!(bad.parse::<NodeId>().is_err(), "{bad:?}");
    }
    assert_eq!("c1-n2-p3".parse::<PodId>().unwrap().to_string(), "c1-n2-p3");
    let targets = [
        ("c1-n2", Some(Target::Machine(node("c1-n2").into()))),
        ("c2-control", Some(Target::Machine(MachineId::Control(2)))),
        ("c0-control", None),
        ("cluster3", Some(Target::Cluster(3))),
        ("c3", Some(Target::Cluster(3))),
        ("cluster2:cluster1", Some(Target::Pair(1, 2))),
        ("cluster1:cluster1", None),
        ("node1", None),
    ];
    for (text, expected) in targets {
        assert_eq!(text.parse::<Target>().ok(), expected, "{text}");
    }
}

#[test]
fn one_lab_never_takes_a_namespace_of_another() {
    let all = [
        Namespace::Router,
        Namespace::World,
        Namespace::Gateway(1),
        Namespace::Machine(MachineId::Control(1)),
        Namespace::Machine(node("c1-n1").into()),
    ];
    let labs = [
        "lab",
        "lab-c1",
        "lab-c1-n1",
        "lab-c1-control",
        "la",
        "b-lab",
    ];
    for owner in labs {
        for namespace in all {
            let name = namespace.name(owner);
            for lab in labs {
                let expected = (lab == owner).then_some(namespace);
                assert_eq!(Namespace::parse(lab, &name), expected, "{name} in {lab}");
            }
        }
        for machine in [node("c1-n1").into(), MachineId::Control(1)] {
            let cgroup = machine.cgroup(owner);
            for lab in labs {
                let expected = (lab == owner).then_some(machine);
                assert_eq!(MachineId::from_cgroup(lab, &cgroup), expected);
            }
        }
    }
}

#[test]
fn lab_names_fit_namespaces_and_folders() {
    for good in ["lab", "a", "lab-2"] {
        assert_eq!(check_name(good), Ok(()));
    }
    for bad in [
        "",
        "Lab",
        "2lab",
        "a/b",
        "a b",
        "..",
        "a-very-long-name-of-a-lab-indeed",
    ] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
}
