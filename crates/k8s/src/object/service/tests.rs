//! What a service and its slices are for the nodes of their own cluster.

use std::sync::Arc;

use serde_json::{Value, json};
use tombolo_model::service::{Affinity, Definition, Naming, Protocol, Sources, State};

use super::{
    super::{EndpointSlice, Service, form::Tree},
    HEADLESS_LABEL, PROXY_LABEL, RANGES_ANNOTATION,
};

fn definition(spec: Value, metadata: Value, status: Value) -> Definition {
    let object = json!({"spec": spec, "metadata": metadata, "status": status});
    Service::read(&Tree(&object))
        .expect("a service")
        .definition()
}

fn sources(ranges: &[&str]) -> Option<Sources> {
    let ranges = ranges.iter().map(|range| range.parse().expect("a range"));
    Some(Sources::new(ranges))
}

fn words(ips: &[std::net::IpAddr]) -> Vec<String> {
    ips.iter().map(ToString::to_string).collect()
}

#[test]
fn all_addresses_and_ports_lead_to_a_service() {
    let spec = json!({
        "type": "LoadBalancer",
        "clusterIP": "172.20.0.9",
        "clusterIPs": ["172.20.0.9", "fd00:96::9"],
        "externalIPs": ["198.51.100.9", "nowhere"],
        "internalTrafficPolicy": "Local",
        "sessionAffinity": "ClientIP",
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 31009,
        "loadBalancerSourceRanges": ["0.0.0.0/0", "198.51.100.0/24"],
        "ports": [
            {"name": "http", "port": 80, "nodePort": 30080},
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "signal", "port": 5060, "protocol": "SCTP"},
        ],
    });
    let metadata = json!({"annotations": {
        "io.cilium/global-service": "true",
        "service.cilium.io/affinity": "local",
    }});
    let status = json!({"loadBalancer": {"ingress": [
        {"ip": "203.0.113.9", "ipMode": "VIP"},
        {"ip": "203.0.113.10", "ipMode": "Proxy"},
        {"hostname": "balancer.example"},
    ]}});
    let read = definition(spec, metadata, status);
    assert_eq!(words(&read.cluster_ips), ["172.20.0.9", "fd00:96::9"]);
    assert_eq!(words(&read.external_ips), ["198.51.100.9"]);
    assert_eq!(words(&read.balancer_ips), ["203.0.113.9"]);
    let ports = read.ports.iter();
    let ports: Vec<_> = ports
        .map(|port| (port.name.as_str(), port.protocol, port.port, port.node_port))
        .collect();
    assert_eq!(
        ports,
        [
            ("http", Protocol::Tcp, 80, Some(30080)),
            ("dns", Protocol::Udp, 53, None),
        ]
    );
    assert!(read.sharing.global && read.sharing.shared && read.node_only);
    assert!(read.outside_node_only);
    assert_eq!(read.balancer_sources, sources(&["0.0.0.0/0"]));
    assert_eq!(read.check_port, Some(31_009));
    assert_eq!(read.sharing.affinity, Affinity::Local);
    assert_eq!(read.affinity_s, 10_800);
    assert_eq!(
        read.problems,
        [
            "spec.externalIPs: `nowhere` is not an address: it does not lead here",
            "port 5060/SCTP is led to nothing: only TCP and UDP are",
        ]
    );
}

#[test]
fn ranges_that_cannot_be_read_admit_nobody() {
    let none: &[&str] = &[];
    for (ranges, annotation, read, problems) in [
        (json!(null), None, None, 0),
        (json!([]), Some(" "), None, 0),
        (
            json!(["10.1.2.3/8", " ::/0 "]),
            None,
            Some(&["10.0.0.0/8", "::/0"][..]),
            0,
        ),
        (
            json!(["10.0.0.0/8", "nonsense"]),
            None,
            Some(&["10.0.0.0/8"]),
            1,
        ),
        (json!(["10.0.0.1", ""]), None, Some(none), 2),
        (
            json!(null),
            Some("10.0.0.0/8, 198.51.100.0/24"),
            Some(&["10.0.0.0/8", "198.51.100.0/24"]),
            0,
        ),
        (json!(null), Some("10.0.0.0/40"), Some(none), 1),
        (
            json!(["198.51.100.0/24"]),
            Some("nonsense"),
            Some(&["198.51.100.0/24"]),
            0,
        ),
    ] {
        let spec = json!({"clusterIP": "172.20.0.9", "loadBalancerSourceRanges": ranges});
        let annotations = match annotation {
            Some(text) => json!({RANGES_ANNOTATION: text}),
            None => json!({}),
        };
        let found = definition(spec, json!({"annotations": annotations}), json!({}));
        assert_eq!(
            found.balancer_sources,
            read.and_then(sources),
            "{ranges} {annotation:?}"
        );
        assert_eq!(found.problems.len(), problems, "{:?}", found.problems);
    }
}

#[test]
fn balancers_ask_only_where_nodes_differ() {
    for (kind, policy, port, found) in [
        ("LoadBalancer", "Local", 31_009, Some(31_009)),
        ("LoadBalancer", "Local", 0, None),
        ("LoadBalancer", "Cluster", 31_009, None),
        ("NodePort", "Local", 31_009, None),
    ] {
        let spec = json!({
            "type": kind,
            "clusterIP": "172.20.0.9",
            "externalTrafficPolicy": policy,
            "healthCheckNodePort": port,
        });
        let read = definition(spec.clone(), json!({}), json!({}));
        assert_eq!(read.check_port, found, "{spec}");
    }
}

#[test]
fn what_is_not_for_us_to_lead_has_no_address() {
    let plain = json!({});
    for (spec, labels) in [
        (
            json!({"clusterIP": "None", "ports": [{"port": 80}]}),
            json!({}),
        ),
        (
            json!({"type": "ExternalName", "externalName": "a.example"}),
            json!({}),
        ),
        (
            json!({"clusterIP": "172.20.0.9", "ports": [{"port": 80}]}),
            json!({"service.kubernetes.io/headless": ""}),
        ),
        (
            json!({"clusterIP": "172.20.0.9", "ports": [{"port": 80}]}),
            json!({"service.kubernetes.io/service-proxy-name": "another"}),
        ),
    ] {
        let read = definition(spec.clone(), json!({"labels": labels}), plain.clone());
        assert_eq!(words(&read.cluster_ips), [""; 0], "{spec} {labels}");
        assert_eq!(read.ports.len(), 0);
    }
    let spec = json!({
        "clusterIP": "172.20.0.9",
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
    });
    assert_eq!(definition(spec, plain.clone(), plain).affinity_s, 60);
}

#[test]
fn what_names_stand_for_is_known_or_left_to_others() {
    let named =
        |spec: Value, labels: Value| definition(spec, json!({"labels": labels}), json!({})).naming;
    let tcp = json!([{"port": 80}]);
    let none = json!({});
    let cases = [
        (
            json!({"clusterIP": "10.96.0.1", "ports": tcp}),
            none.clone(),
            Naming::Addresses,
        ),
        (
            json!({"clusterIP": "None", "ports": tcp}),
            none.clone(),
            Naming::Endpoints,
        ),
        (
            json!({"clusterIP": "None"}),
            none.clone(),
            Naming::Endpoints,
        ),
        (
            json!({"type": "ExternalName", "externalName": "a.b"}),
            none.clone(),
            Naming::Elsewhere,
        ),
        (
            json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80, "protocol": "SCTP"}]}),
            none,
            Naming::Elsewhere,
        ),
        (
            json!({"clusterIP": "10.96.0.1", "ports": tcp}),
            json!({PROXY_LABEL: "other"}),
            Naming::Elsewhere,
        ),
        (
            json!({"clusterIP": "10.96.0.1", "ports": tcp}),
            json!({HEADLESS_LABEL: ""}),
            Naming::Elsewhere,
        ),
    ];
    for (spec, labels, expected) in cases {
        assert_eq!(
            named(spec.clone(), labels.clone()),
            expected,
            "{spec} {labels}"
        );
    }
}

#[test]
fn a_slice_offers_its_endpoints_as_they_are() {
    let object = json!({
        "metadata": {
            "labels": {"kubernetes.io/service-name": "web"},
            "annotations": {"service.cilium.io/weight": "plenty"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"port": 53, "protocol": "UDP"}, {"name": "all"}],
        "endpoints": [
            {"addresses": ["10.1.0.1"], "nodeName": "n1", "hostname": "web-0"},
            {"addresses": ["10.1.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["10.1.0.3"], "conditions": {"ready": false, "serving": false, "terminating": true}},
            {"addresses": ["10.1.0.4"], "conditions": {"ready": false}},
        ],
    });
    let cluster: Arc<str> = "c1".into();
    let slice = EndpointSlice::read(&Tree(&object)).expect("a slice");
    let offer = slice.offer("shop", &cluster).expect("it is of a service");
    assert_eq!(
        (
            offer.service.namespace.as_str(),
            offer.service.name.as_str()
        ),
        ("shop", "web")
    );
    let hosts: Vec<_> = offer
        .endpoints
        .values()
        .map(|it| it.hostname.as_deref())
        .collect();
    assert_eq!(hosts, [Some("web-0"), None, None, None]);
    let states: Vec<State> = offer.endpoints.values().map(|it| it.state).collect();
    assert_eq!(
        states,
        [
            State::Active,
            State::Terminating,
            State::Ending,
            State::NotReady
        ]
    );
    let first = offer.endpoints.values().next().expect("an endpoint");
    assert_eq!(first.node.as_deref(), Some("n1"));
    let ports: Vec<_> = first
        .ports
        .iter()
        .map(|it| (it.name.as_str(), it.protocol, it.port))
        .collect();
    assert_eq!(
        ports,
        [("http", Protocol::Tcp, 8080), ("", Protocol::Udp, 53)]
    );
    assert_eq!(offer.weight, 100);
    assert_eq!(offer.problems.len(), 1, "{:?}", offer.problems);
}
