use super::*;
use tombolo_model::local::{CheckView, FrontendView};

#[test]
fn services_are_listed_with_what_is_used() {
    let service = ServiceSummary {
        namespace: "shop".into(),
        name: "web".into(),
        addresses: vec!["172.20.0.9".parse().expect("an address")],
        ports: vec!["80/TCP".into(), "53/UDP".into()],
        global: true,
        shared: true,
        affinity: "local".into(),
        backends: 5,
        used: 3,
        used_remote: 1,
        conditions: vec!["something".into()],
    };
    let headless = ServiceSummary {
        name: "db".into(),
        addresses: Vec::new(),
        ports: Vec::new(),
        global: false,
        affinity: "none".into(),
        used_remote: 0,
        conditions: Vec::new(),
        ..service.clone()
    };
    assert_eq!(
        list(&[headless, service]),
        "\
SERVICE   ADDRESS     PORTS          SCOPE    AFFINITY  BACKENDS  USED          TROUBLE
shop/db   none        -              cluster  none      5         3             -
shop/web  172.20.0.9  80/TCP,53/UDP  global   local     5         3 (1 remote)  1: see `explain`
"
    );
}

#[test]
fn a_service_is_explained_backend_by_backend() {
    let backend = |cluster: &str, address: &str, weight, share, reason: &str| BackendView {
        cluster: cluster.into(),
        remote: cluster != "cluster1",
        node: (cluster == "cluster1").then(|| "c1-n1".into()),
        address: address.into(),
        port: "http".into(),
        protocol: "TCP".into(),
        state: "active".into(),
        weight,
        share,
        silent_seconds: None,
        reason: reason.into(),
    };
    let frontend = |kind: &str, address: &str, sources: Option<&[&str]>| FrontendView {
        kind: kind.into(),
        address: address.into(),
        protocol: "TCP".into(),
        port: "http".into(),
        sources: sources.map(|ranges| {
            let ranges = ranges.iter();
            ranges
                .map(|range| range.parse().expect("a range"))
                .collect()
        }),
    };
    let mut service = ServiceView {
        namespace: "shop".into(),
        name: "web".into(),
        global: true,
        shared: false,
        affinity: "local".into(),
        grades: "weights cluster2=50; spill-over below 70 %".into(),
        algorithm: "maglev".into(),
        frontends: vec![
            frontend("ClusterIP", "172.20.0.9:80", None),
            frontend("LoadBalancer", "203.0.113.7:80", Some(&["198.51.100.0/24"])),
            frontend("LoadBalancer", "[2001:db8::7]:80", Some(&[])),
        ],
        health_check: Some(CheckView {
            port: 31_000,
            endpoints: 2,
        }),
        conditions: vec!["ports disagree".into()],
        backends: vec![
            backend("cluster1", "10.1.1.5:8080", 100, 1.0, "ready"),
            backend("cluster2", "10.2.1.5:8080", 0, 0.0, "affinity local"),
        ],
    };
    assert_eq!(
        explain(&service),
        "\
shop/web: global, not shared, affinity local; weights cluster2=50; spill-over below 70 %; from outside by maglev
  ClusterIP 172.20.0.9:80/TCP (http)
  LoadBalancer 203.0.113.7:80/TCP (http), for 198.51.100.0/24 alone
  LoadBalancer [2001:db8::7]:80/TCP (http), closed to all
  health checks at port 31000: 2 ready on this node
! ports disagree
PORT      CLUSTER   NODE   ADDRESS        STATE   WEIGHT  SHARE    REASON
http/TCP  cluster1  c1-n1  10.1.1.5:8080  active  100     100.0 %  ready
http/TCP  cluster2  -      10.2.1.5:8080  active  0       0.0 %    affinity local
"
    );
    service.backends.clear();
    let text = explain(&service);
    assert!(
        text.ends_with("no backend: whoever calls it is refused\n"),
        "{text}"
    );
}
