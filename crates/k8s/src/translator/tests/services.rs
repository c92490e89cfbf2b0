//! Services, their slices and their exports.

use std::net::IpAddr;

use tombolo_model::record::ExportKind;

use super::*;

fn ips<T>(map: &BTreeMap<IpAddr, T>) -> Vec<String> {
    map.keys().map(IpAddr::to_string).collect()
}

fn export_of(told: &Told) -> Option<&tombolo_model::record::ServiceExport> {
    match told
        .records
        .get(&(Resource::ServiceExports, "shop/web".to_owned()))?
    {
        Record::ServiceExport(export) => Some(export),
        other => panic!("{other:?}"),
    }
}

#[test]
fn annotations_say_what_is_shared() {
    let new = |global: &str| json!({"service.cilium.io/global": global});
    let cases = [
        (json!({}), false),
        (new("true"), true),
        (new("True"), true),
        (new("false"), false),
        (new("1"), false),
        (json!({"io.cilium/global-service": "true"}), true),
        (
            json!({"io.cilium/global-service": "true", "service.cilium.io/global": "false"}),
            false,
        ),
        (
            json!({"io.cilium/global-service": "false", "service.cilium.io/global": "true"}),
            true,
        ),
        (
            json!({"service.cilium.io/global": "true", "service.cilium.io/shared": "false"}),
            false,
        ),
        (
            json!({"service.cilium.io/global": "true", "io.cilium/shared-service": "false"}),
            false,
        ),
        (
            json!({"service.cilium.io/global": "true", "io.cilium/shared-service": "false", "service.cilium.io/shared": "true"}),
            true,
        ),
        (json!({"service.cilium.io/shared": "true"}), false),
    ];
    for (annotations, shared) in cases {
        let mut told = Told::shop();
        told.put(slice("shop", "web-1", "web", json!([])));
        told.put(service("shop", "web", annotations.clone(), json!({})));
        let expected: &[&str] = if shared {
            &["+services/shop/web", "+endpointslices/shop/web-1"]
        } else {
            &[]
        };
        assert_eq!(told.changes(), expected, "{annotations}");
        told.put(service("shop", "web", json!({}), json!({})));
        assert_eq!(told.changes().len(), expected.len(), "both go");
        assert_eq!(told.records.len(), 0);
    }
}

#[test]
fn conditions_say_what_answers() {
    let cases = [
        (json!(null), true),
        (json!({}), true),
        (json!({"ready": true}), true),
        (json!({"ready": false}), false),
        (json!({"ready": false, "serving": true}), true),
        (
            json!({"ready": false, "serving": true, "terminating": true}),
            true,
        ),
        (
            json!({"ready": false, "serving": false, "terminating": true}),
            false,
        ),
        (json!({"ready": true, "serving": false}), true),
        (json!({"serving": true}), true),
        (json!({"serving": false}), true),
        (
            json!({"ready": null, "serving": null, "terminating": true}),
            true,
        ),
    ];
    for (conditions, answers) in cases {
        let mut told = Told::shop();
        told.put(service("shop", "web", json!(null), json!({})));
        let endpoints = json!([{"addresses": ["10.0.0.1"], "conditions": conditions}]);
        told.put(slice("shop", "web-1", "web", endpoints));
        told.changes();
        assert_eq!(
            told.service("shop/web").backends.len(),
            usize::from(answers),
            "{conditions}"
        );
        let Record::EndpointSlice(slice) =
            &told.records[&(Resource::EndpointSlices, "shop/web-1".to_owned())]
        else {
            panic!("a slice");
        };
        assert_eq!(
            slice.endpoints.len(),
            1,
            "slices tell of all, with their conditions"
        );
    }
}

#[test]
fn frontends_are_cluster_addresses() {
    let ports =
        json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    let cases: [(Value, &[&str]); 6] = [
        (
            json!({"clusterIP": "10.91.0.1", "ports": ports}),
            &["10.91.0.1"],
        ),
        (
            json!({"clusterIP": "10.91.0.1", "clusterIPs": ["10.91.0.1", "fd91::1"], "ports": ports}),
            &["10.91.0.1", "fd91::1"],
        ),
        (
            json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": ports}),
            &[],
        ),
        (json!({"ports": ports}), &[]),
        (json!({"clusterIP": "", "clusterIPs": null}), &[]),
        (
            json!({"clusterIP": "10.91.0.1", "externalIPs": ["198.51.100.7"], "ports": ports}),
            &["10.91.0.1"],
        ),
    ];
    for (spec, frontends) in cases {
        let mut told = Told::shop();
        told.put(service("shop", "web", json!(null), spec.clone()));
        told.changes();
        assert_eq!(
            ips(&told.service("shop/web").frontends),
            frontends,
            "{spec}"
        );
        for ports in told.service("shop/web").frontends.values() {
            let ports: Vec<_> = ports
                .iter()
                .map(|(name, port)| (name.as_str(), port.protocol.as_str(), port.port))
                .collect();
            assert_eq!(ports, [("dns", "UDP", 53), ("http", "TCP", 80)]);
        }
    }
    let mut told = Told::shop();
    let mut labelled = service(
        "shop",
        "web",
        json!(null),
        json!({"clusterIP": "10.91.0.1", "ports": ports}),
    );
    labelled["metadata"]["labels"] = json!({"service.kubernetes.io/headless": ""});
    told.put(labelled);
    told.put(service(
        "shop",
        "away",
        json!(null),
        json!({"type": "ExternalName", "externalName": "example.org"}),
    ));
    assert_eq!(
        told.changes(),
        ["+services/shop/web"],
        "a name elsewhere is nothing to share"
    );
    assert_eq!(ips(&told.service("shop/web").frontends), [""; 0]);
}

#[test]
fn backends_are_those_of_all_slices() {
    let mut told = Told::shop();
    told.put(service("shop", "web", json!(null), json!({})));
    let zoned = json!({"addresses": ["10.0.0.1"], "zone": "a", "hostname": "web-0", "hints": {"forZones": [{"name": "a"}, {"name": "b"}]}});
    told.put(slice("shop", "web-1", "web", json!([zoned, {"addresses": ["10.0.0.2"], "deprecatedTopology": {"topology.kubernetes.io/zone": "b"}}])));
    let mut other = slice(
        "shop",
        "web-2",
        "web",
        json!([{"addresses": ["10.0.0.1", "10.0.0.3"], "hostname": "other", "zone": ""}]),
    );
    other["ports"] = json!([{"name": "metrics", "port": 9090, "protocol": null}, {"name": "any", "port": null}, {"name": "odd", "port": 1, "protocol": "ICMP"}]);
    told.put(other);
    let mut six = slice("shop", "web-6", "web", json!([{"addresses": ["fd01::1"]}]));
    six["addressType"] = json!("IPv6");
    told.put(six);
    let mut names = slice(
        "shop",
        "web-n",
        "web",
        json!([{"addresses": ["example.org"]}]),
    );
    names["addressType"] = json!("FQDN");
    told.put(names);
    told.put(slice(
        "shop",
        "orphan",
        "",
        json!([{"addresses": ["10.0.0.9"]}]),
    ));
    told.put(slice(
        "bar",
        "web-1",
        "web",
        json!([{"addresses": ["10.0.0.9"]}]),
    ));
    let slices = [
        "+services/shop/web",
        "+endpointslices/shop/web-1",
        "+endpointslices/shop/web-2",
        "+endpointslices/shop/web-6",
    ];
    assert_eq!(told.changes(), slices);
    let service = told.service("shop/web");
    assert_eq!(
        ips(&service.backends),
        ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd01::1"]
    );
    let ports = |ip: &str| {
        service.backends[&ip.parse().unwrap()]
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(ports("10.0.0.1"), ["http", "metrics"]);
    assert_eq!(ports("10.0.0.3"), ["metrics"]);
    let hostnames: Vec<_> = service.hostnames.values().collect();
    assert_eq!(hostnames, ["web-0", "other"]);
    let zones: Vec<_> = service
        .zones
        .values()
        .map(|zone| (zone.zone.as_str(), zone.for_zones.len()))
        .collect();
    assert_eq!(zones, [("a", 2), ("b", 0)]);
}

#[test]
fn slices_move_between_services() {
    let mut told = Told::shop();
    for name in ["one", "two"] {
        told.put(service("shop", name, json!(null), json!({})));
    }
    let at = |service| slice("shop", "s", service, json!([{"addresses": ["10.0.0.1"]}]));
    told.put(at("one"));
    told.changes();
    told.put(at("two"));
    assert_eq!(
        told.changes(),
        [
            "+services/shop/one",
            "+services/shop/two",
            "+endpointslices/shop/s"
        ]
    );
    let backends = |told: &Told, name| told.service(name).backends.len();
    assert_eq!(
        (backends(&told, "shop/one"), backends(&told, "shop/two")),
        (0, 1)
    );
    told.put(at("three"));
    assert_eq!(
        told.changes(),
        ["+services/shop/two", "-endpointslices/shop/s"]
    );
    told.put(service("shop", "three", json!(null), json!({})));
    assert_eq!(
        told.changes(),
        ["+services/shop/three", "+endpointslices/shop/s"]
    );
    told.delete(service("shop", "three", json!(null), json!({})));
    assert_eq!(
        told.changes(),
        ["-services/shop/three", "-endpointslices/shop/s"]
    );
    told.delete(at("three"));
    assert_eq!(told.changes(), [""; 0]);
}

#[test]
fn a_service_that_becomes_a_name_elsewhere_takes_its_slices_along() {
    let mut told = Told::shop();
    told.put(service("shop", "web", json!(null), json!({})));
    told.put(slice("shop", "web-1", "web", json!([])));
    told.changes();
    let elsewhere = json!({"type": "ExternalName"});
    told.put(service("shop", "web", json!(null), elsewhere));
    let gone = ["-services/shop/web", "-endpointslices/shop/web-1"];
    assert_eq!(told.changes(), gone);
}

#[test]
fn exports_need_their_service_and_nothing_else() {
    let mut told = Told::shop();
    let mut export = service_export("shop", "web");
    export["spec"] = json!({"exportedLabels": {"a": "b"}, "exportedAnnotations": {"c": "d"}});
    told.put(export);
    assert_eq!(told.changes(), [""; 0]);
    let spec = json!({"clusterIP": "10.91.0.1", "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
        "ipFamilies": ["IPv4"], "internalTrafficPolicy": "Local", "trafficDistribution": "PreferClose",
        "ports": [{"name": "http", "port": 80, "appProtocol": "http2", "targetPort": "x"}]});
    told.put(service("shop", "web", json!({}), spec));
    assert_eq!(
        told.changes(),
        ["+serviceexports/shop/web"],
        "it need not be global"
    );
    let written = String::from_utf8(export_of(&told).expect("told").encode()).expect("text");
    let expected = r#"{"cluster":"cluster1","name":"web","namespace":"shop","Annotations":{"c":"d"},"Labels":{"a":"b"},"exportCreationTimestamp":"2026-11-21T06:54:22Z","ports":[{"name":"http","protocol":"TCP","appProtocol":"http2","port":80}],"type":"ClusterSetIP","sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":600}},"ipFamilies":["IPv4"],"internalTrafficPolicy":"Local","trafficDistribution":"PreferClose"}"#;
    assert_eq!(written, expected);
    let cases = [
        (json!({"clusterIP": "None"}), Some(ExportKind::Headless)),
        (json!({"type": "ExternalName"}), None),
        (
            json!({"clusterIP": "10.91.0.1"}),
            Some(ExportKind::ClusterSetIP),
        ),
    ];
    for (spec, kind) in cases {
        told.put(service("shop", "web", json!({}), spec.clone()));
        told.changes();
        assert_eq!(export_of(&told).map(|export| export.kind), kind, "{spec}");
    }
    told.delete(service_export("shop", "web"));
    assert_eq!(told.changes(), ["-serviceexports/shop/web"]);
}

#[test]
fn nodes_have_one_range_of_each_family_and_more() {
    let mut told = Told::shop();
    let mut object = node("a");
    object["metadata"]["annotations"] = json!({"io.cilium.network.wg-pub-key": "key"});
    object["spec"] = json!({
        "addresses": [{"type": "InternalIP", "ip": "192.0.2.1"}, {"type": "Hostname", "ip": "a.example"}, {"type": "Hostname", "ip": "192.0.2.9"}],
        "ipam": {"podCIDRs": ["10.1.0.0/24", "fd01::/64"], "pools": {"allocated": [{"pool": "p", "cidrs": ["10.2.0.0/24", "fd02::/64"]}]}},
    });
    told.put(object);
    told.changes();
    let Record::Node(node) = &told.records[&(Resource::Nodes, "a".to_owned())] else {
        panic!("a node");
    };
    let addresses: Vec<_> = node
        .addresses
        .iter()
        .map(|address| address.kind.as_str())
        .collect();
    assert_eq!(addresses, ["InternalIP", "Hostname"]);
    assert_eq!(node.wireguard_key, "key");
    let text = |range: &ipnet::IpNet| range.to_string();
    assert_eq!(
        node.range_v4.as_ref().map(text).as_deref(),
        Some("10.1.0.0/24")
    );
    assert_eq!(
        node.range_v6.as_ref().map(text).as_deref(),
        Some("fd01::/64")
    );
    assert_eq!(
        node.ranges_v4_more.iter().map(text).collect::<Vec<_>>(),
        ["10.2.0.0/24"]
    );
    assert_eq!(
        node.ranges_v6_more.iter().map(text).collect::<Vec<_>>(),
        ["fd02::/64"]
    );
}
