use super::*;
use tombolo_model::{
    id::ClusterId,
    local::{BackendsStatus, PathStatus, PeerStatus},
};

fn ready(name: &str, id: u16) -> PeerStatus {
    PeerStatus {
        cluster: name.into(),
        cluster_id: Some(ClusterId(id)),
        ready: true,
        phase: "ready".into(),
        records: [("ip".to_owned(), 120), ("nodes".to_owned(), 2)].into(),
        silent_seconds: Some(3),
        certificate_days: Some(364),
        ..PeerStatus::default()
    }
}

/// Of two nodes.
fn path(answering: usize, silent: usize) -> PathStatus {
    PathStatus {
        nodes: 2,
        answering,
        silent,
        unknown: 2 - answering - silent,
        ..PathStatus::default()
    }
}

fn peers() -> Vec<PeerStatus> {
    let away = PeerStatus {
        ready: false,
        phase: "waiting".into(),
        trouble: Some("cannot reach https://192.0.2.3:2379: connection refused".into()),
        hint: "see that its store runs".into(),
        failures: 7,
        stale_seconds: Some(303),
        silent_seconds: None,
        certificate_days: Some(5),
        path: Some(PathStatus {
            silent_seconds: Some(12.7),
            ..path(0, 2)
        }),
        ..ready("cluster3", 3)
    };
    let new = PeerStatus {
        ready: false,
        phase: "connecting".into(),
        ..PeerStatus {
            cluster: "cluster4".into(),
            ..PeerStatus::default()
        }
    };
    let mut liar = ready("cluster5", 5);
    liar.rejected = [("identity".to_owned(), 1), ("key".to_owned(), 2)].into();
    liar.last_rejected = Some("cilium/state/x: it is no key of a mesh".into());
    let leaving = PeerStatus {
        ready: false,
        phase: "leaving".into(),
        certificate_days: Some(-1),
        ..ready("cluster6", 6)
    };
    let mut mistaken = ready("cluster7", 7);
    mistaken.trouble = Some("its file names no peer: x".into());
    mistaken.hint = "mend /p/cluster7".into();
    liar.path = Some(path(0, 0));
    mistaken.path = Some(path(1, 1));
    let mut second = ready("cluster2", 2);
    second.path = Some(PathStatus {
        backends: BackendsStatus {
            asked: 9,
            answering: 5,
            suspect: 1,
            silent: 1,
            unknown: 2,
        },
        ..path(2, 0)
    });
    vec![
        ready("cluster1", 1),
        second,
        away,
        new,
        liar,
        leaving,
        mistaken,
    ]
}

#[test]
fn every_cluster_is_a_line_and_every_trouble_a_sentence_with_a_hint() {
    let agent = local::Status {
        peers: peers(),
        awaited: vec!["cluster3".into(), "cluster4".into()],
        kept: 11,
        ..testing::status()
    };
    let status = judged(agent);
    assert!(!status.healthy);
    let text = render(&status, Colour::Off);
    let (_, text) = text.split_once("refused facts  none\n").unwrap();
    assert_eq!(
        text,
        "\
CLUSTER         ID  PHASE       RECORDS          BEHIND     NODES            BACKENDS       REJECTED  CERTIFICATE
cluster1 (own)  1   ready       ip 120, nodes 2  0 s        -                -              -         364 d
cluster2        2   ready       ip 120, nodes 2  0 s        2 of 2 answer    6 of 7 answer  -         364 d
cluster3        3   waiting     ip 120, nodes 2  5 min 3 s  silent for 12 s  -              -         5 d
cluster4        -   connecting  -                -          -                -              -         -
cluster5        5   ready       ip 120, nodes 2  0 s        never answered   -              3         364 d
cluster6        6   leaving     ip 120, nodes 2  -          -                -              -         ended
cluster7        7   ready       ip 120, nodes 2  0 s        1 of 2 answer    -              -         364 d
warning: cluster cluster3 is not ready: cannot reach https://192.0.2.3:2379: connection refused
  hint: see that its store runs
warning: cluster cluster3: none of its nodes has answered for 12 s
  hint: their backends get no connections while there are others; see the network between the clusters, and `tombolo service explain`
warning: cluster cluster3: our certificate there ends in 5 days
  hint: have that cluster issue a new one: `tombolo certificates issue` there
warning: cluster cluster4 is not ready: connecting
warning: cluster cluster5 has records that are not believed (identity 1, key 2), the last: cilium/state/x: it is no key of a mesh
  hint: they are left out, all others are used; see what writes them into that cluster's store
warning: cluster cluster7: its file names no peer: x
  hint: mend /p/cluster7
warning: cluster cluster7: 1 of its 2 nodes that are asked do not answer
  hint: their backends get no connections while there are others; see the network between the clusters, and `tombolo service explain`
warning: 11 entries from before the agent's start are kept, not all of cluster3, cluster4 has been read since
  hint: traffic goes on by them; they are renewed or go when those clusters are read
"
    );
}

#[test]
fn clusters_that_are_ready_leave_a_node_healthy() {
    let agent = local::Status {
        peers: vec![ready("cluster1", 1), ready("cluster2", 2)],
        ..testing::status()
    };
    assert_eq!(problems(&agent), []);
}

#[test]
fn json_has_all_of_it() {
    let agent = local::Status {
        peers: peers(),
        ..testing::status()
    };
    let json = serde_json::to_value(judged(agent)).unwrap();
    assert_eq!(json["healthy"], false);
    assert_eq!(json["peers"][2]["stale_seconds"], 303);
    assert_eq!(json["peers"][2]["hint"], "see that its store runs");
    let first = json["problems"][0].as_str().unwrap();
    assert!(
        first.starts_with("cluster cluster3 is not ready: "),
        "{first}"
    );
    assert_eq!(json["peers"][4]["rejected"]["key"], 2);
}
