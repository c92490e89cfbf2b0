use super::{render::render, *};

fn peer(cluster: &str, ready: bool) -> PeerStatus {
    PeerStatus {
        cluster: cluster.into(),
        ready,
        phase: if ready { "ready" } else { "connecting" }.into(),
        trouble: (!ready).then(|| "nobody answers at https://192.0.2.1:2379".into()),
        certificate_days: Some(364),
        stale_seconds: (!ready).then_some(7),
        records: [("services".to_owned(), 3), ("ip".to_owned(), 9)].into(),
        ..PeerStatus::default()
    }
}

fn asked(name: &str, peers: &[PeerStatus]) -> Asked {
    Asked {
        name: name.into(),
        silent_node: None,
        peers: Ok(peers.to_vec()),
    }
}

fn wanted(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn judged(wanted: &BTreeSet<String>, agents: &[Asked]) -> Vec<Problem> {
    let mut errors = Vec::new();
    judge(
        "agent",
        " --context c1",
        "kube-system",
        wanted,
        agents,
        &mut errors,
    );
    errors
}

#[test]
fn clusters_are_counted_over_all_who_read_them() {
    let agents = [
        asked("a", &[peer("c2", true), peer("c3", true)]),
        asked("b", &[peer("c2", false)]),
        Asked {
            name: "c".into(),
            silent_node: None,
            peers: Err("nothing came".into()),
        },
    ];
    let counts = count(&wanted(&["c2", "c3", "c4"]), &agents);
    let of = |name: &str| {
        let count = &counts[name];
        (
            count.configured,
            count.connected,
            count.seconds_behind,
            count.certificate_days,
            count.global_services,
        )
    };
    assert_eq!(of("c2"), (2, 1, 7, Some(364), 3));
    assert_eq!(of("c3"), (1, 1, 0, Some(364), 3));
    assert_eq!(of("c4"), (0, 0, 0, None, 0));
}

#[test]
fn whoever_is_not_connected_is_named_with_what_to_do() {
    let mut ending = peer("c2", true);
    ending.certificate_days = Some(3);
    let table = [
        (asked("a", &[peer("c2", true)]), None),
        (asked("a", &[]), Some("a has not been told of c2 yet")),
        (
            asked("a", &[peer("c2", false)]),
            Some("a is not connected to c2: nobody answers at https://192.0.2.1:2379"),
        ),
        (
            asked("a", &[ending]),
            Some("the certificate of a for c2 ends in 3 days"),
        ),
        (
            Asked {
                name: "a".into(),
                silent_node: None,
                peers: Err("nothing came for 30 s".into()),
            },
            Some("a does not say how it stands: nothing came for 30 s"),
        ),
    ];
    for (agent, expected) in table {
        let errors = judged(&wanted(&["c2"]), &[agent]);
        match expected {
            None => assert_eq!(errors, []),
            Some(part) => {
                assert!(errors[0].sentence.contains(part), "{errors:?}");
                assert!(
                    errors[0]
                        .hint
                        .contains("kubectl --context c1 -n kube-system logs a -c agent"),
                    "{errors:?}"
                );
            }
        }
    }
}

#[test]
fn a_machine_that_is_gone_is_named_with_what_has_it_forgotten() {
    let gone = Asked {
        silent_node: Some("n3".into()),
        peers: Err("nothing came for 5 s".into()),
        ..asked("a", &[])
    };
    let errors = judged(&wanted(&["c2", "c3"]), &[gone]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].sentence.contains("node n3 is silent"),
        "{errors:?}"
    );
    assert!(
        errors[0]
            .hint
            .contains("`kubectl --context c1 delete node n3`"),
        "{errors:?}"
    );
    // What answers is heard, whatever its kubelet does.
    let lives = Asked {
        silent_node: Some("n3".into()),
        ..asked("a", &[peer("c2", true)])
    };
    assert_eq!(judged(&wanted(&["c2"]), &[lives]), []);
}

#[test]
fn the_word_success_stands_only_where_all_is_well() {
    let mut status = Status {
        success: true,
        access_information: Access {
            service_type: "NodePort".into(),
            endpoints: vec!["https://192.0.2.10:32379".into()],
            cluster_name: "cluster1".into(),
            cluster_id: 1,
            max_connected_clusters: 255,
            ready: true,
        },
        connectivity: Connectivity {
            connected: Spread {
                min: 1,
                avg: 1.0,
                max: 1,
            },
            clusters: count(
                &wanted(&["cluster2"]),
                &[
                    asked("a", &[peer("cluster2", true)]),
                    asked("b", &[peer("cluster2", true)]),
                ],
            ),
            total: 2,
            not_ready: 0,
        },
        kvstoremesh: Mirror {
            enabled: true,
            total: 1,
            clusters: count(
                &wanted(&["cluster2"]),
                &[asked("m", &[peer("cluster2", true)])],
            ),
        },
        errors: Vec::new(),
    };
    assert_eq!(
        render(&status, Colour::Off),
        "\
Cluster cluster1, id 1
✓ Service clustermesh-apiserver of type NodePort found
✓ Access information is available: https://192.0.2.10:32379
✓ Deployment clustermesh-apiserver is ready
✓ All 2 nodes are connected to all clusters [min:1 / avg:1.0 / max:1]
Cluster connections:
  cluster2: 2/2 configured, 2/2 connected, 0 s behind, certificate 364 days; kvstoremesh: 1/1 configured, 1/1 connected, 0 s behind, certificate 364 days
Global services: 3 of cluster2
Success
"
    );
    status.success = false;
    status.connectivity.not_ready = 1;
    status.errors = vec![problem("n1 is cut off".into(), "mend it\nthen wait".into())];
    let text = render(&status, Colour::Off);
    assert!(
        text.contains("✗ 1 of 2 nodes are not connected to all clusters"),
        "{text}"
    );
    assert!(
        text.ends_with("error: n1 is cut off\n  hint: mend it\n        then wait\n"),
        "{text}"
    );
}
