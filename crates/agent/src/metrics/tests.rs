use super::*;
use tombolo_model::local::{BackendsStatus, NamesStatus, PathStatus, PeerStatus};

#[test]
fn every_line_is_what_prometheus_reads() {
    let status = Status {
        node: "quo\"te".into(),
        drops: [("policy-denied".to_owned(), 3), ("no-route".to_owned(), 1)].into(),
        endpoints: 2,
        peers: vec![PeerStatus {
            cluster: "c2".into(),
            ready: true,
            records: [("ip".to_owned(), 7)].into(),
            certificate_days: Some(-3),
            path: Some(PathStatus {
                nodes: 3,
                answering: 2,
                silent: 1,
                backends: BackendsStatus {
                    answering: 4,
                    ..BackendsStatus::default()
                },
                ..PathStatus::default()
            }),
            ..PeerStatus::default()
        }],
        names: Some(NamesStatus {
            answered: 5,
            servers: 2,
            ..NamesStatus::default()
        }),
        ..Status::default()
    };
    let page = render(&status, Counts::default());
    assert!(
        page.contains("tombolo_agent_info{version=\"\",cluster=\"\",node=\"quo\\\"te\"} 1\n"),
        "{page}"
    );
    assert!(page.contains("tombolo_dropped_packets_total{reason=\"policy-denied\"} 3\n"));
    for line in [
        "readiness_status{target_cluster=\"c2\"} 1\n",
        "endpoints{target_cluster=\"c2\"} 7\n",
        "certificate_days{target_cluster=\"c2\"} 0\n",
        "records{target_cluster=\"c2\",kind=\"ip\"} 7\n",
    ] {
        let line = format!("tombolo_clustermesh_remote_cluster_{line}");
        assert!(page.contains(&line), "{page}");
    }
    assert!(
        page.contains("tombolo_remote_cluster_nodes{target_cluster=\"c2\",state=\"silent\"} 1\n")
    );
    let backends = "tombolo_remote_cluster_backends{target_cluster=\"c2\",state=\"answering\"} 4\n";
    assert!(page.contains(backends), "{page}");
    assert!(page.contains("# TYPE tombolo_endpoints gauge\ntombolo_endpoints 2\n"));
    assert!(page.contains("tombolo_names_questions_total{outcome=\"answered\"} 5\n"));
    assert!(page.contains("tombolo_names_servers 2\n"));
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            name.starts_with("tombolo_") && value.parse::<u64>().is_ok(),
            "{line}"
        );
        let family = name.split('{').next().unwrap();
        assert!(page.contains(&format!("# TYPE {family} ")), "{line}");
        assert_eq!(
            family.ends_with("_total"),
            page.contains(&format!("# TYPE {family} counter")),
            "{line}"
        );
    }
}
