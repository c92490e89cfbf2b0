use super::*;
use tombolo_model::local::FrontendView;

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
        reason: reason.into(),
    };
    let mut service = ServiceView {
        namespace: "shop".into(),
        name: "web".into(),
        global: true,
        shared: false,
        affinity: "local".into(),
        frontends: vec![FrontendView {
            kind: "ClusterIP".into(),
            address: "172.20.0.9:80".into(),
            protocol: "TCP".into(),
            port: "http".into(),
        }],
        conditions: vec!["ports disagree".into()],
        backends: vec![
            backend("cluster1", "10.1.1.5:8080", 100, 1.0, "ready"),
            backend("cluster2", "10.2.1.5:8080", 0, 0.0, "affinity local"),
        ],
    };
    assert_eq!(
        explain(&service),
        "\
shop/web: global, not shared, affinity local
  ClusterIP 172.20.0.9:80/TCP (http)
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
