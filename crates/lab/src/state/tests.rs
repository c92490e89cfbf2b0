use super::*;
use crate::plan::{Fabric, Mesh, NodeId, Underlay};
use tombolo_model::net::RoutingMode;

fn state() -> State {
    let node: NodeId = "c1-n1".parse().unwrap();
    let shape = Shape {
        clusters: 2,
        nodes_per_cluster: 1,
        pods_per_node: 1,
        routing: RoutingMode::Native,
        underlay: Underlay::Ipv4,
        fabric: Fabric::Router,
        mesh: Mesh::Direct,
        masquerade: true,
        kubernetes: None,
    };
    State {
        made: true,
        machines: BTreeMap::from([(
            node.into(),
            Machine {
                processes: BTreeMap::from([(
                    Role::Agent,
                    Process {
                        pid: 7,
                        start_time: 9,
                    },
                )]),
                faults: Faults {
                    loss_percent: Some(0.5),
                    ..Faults::default()
                },
            },
        )]),
        pods: BTreeMap::from([(
            PodId { node, number: 1 },
            Pod {
                container: String::new(),
                identity: 65792,
                addresses: PodAddresses {
                    v4: Some([10, 1, 1, 2].into()),
                    v6: None,
                },
            },
        )]),
        clusters: BTreeMap::from([(
            2,
            Faults {
                cut: true,
                ..Faults::default()
            },
        )]),
        cuts: BTreeSet::from([(1, 2)]),
        numbers: BTreeMap::from([(2, 7)]),
        strangers: BTreeSet::from([(1, 2)]),
        ..State::new("lab", shape)
    }
}

#[test]
fn state_survives_being_written_and_read() {
    let text = serde_json::to_string(&state()).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state());
}

#[test]
fn unknown_parts_are_named_together_with_the_known() {
    let state = state();
    let machine = |name: &str| state.machine(name.parse::<MachineId>().unwrap());
    let said = machine("c1-n9").unwrap_err().to_string();
    assert_eq!(said, "lab has no node named c1-n9; it has c1-n1");
    let said = machine("c2-control").unwrap_err().to_string();
    assert_eq!(
        said,
        "lab has no control machine named c2-control; it has none"
    );
    let said = state
        .pod("c1-n1-p2".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(said, "lab has no pod named c1-n1-p2; it has c1-n1-p1");
    assert!(state.check_target(Target::Cluster(3)).is_err());
    assert!(state.check_target(Target::Pair(1, 2)).is_ok());
}

#[test]
fn a_process_that_ended_is_not_running() {
    let node: NodeId = "c1-n1".parse().unwrap();
    let mut state = state();
    // No process started at tick 9 of the machine has the pid of this one.
    let mine = Process {
        pid: std::process::id(),
        start_time: 9,
    };
    state
        .machines
        .get_mut(&node.into())
        .unwrap()
        .processes
        .insert(Role::Agent, mine);
    assert!(matches!(
        state.process(node, Role::Agent),
        Err(Error::NotRunning { .. })
    ));
}
