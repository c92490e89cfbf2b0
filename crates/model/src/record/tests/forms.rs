//! The many forms in which the same is written.

use super::*;

fn node(fields: &str) -> Node {
    let text = format!(r#"{{"Name":"n1","Cluster":"c1",{fields}}}"#);
    Node::decode(text.as_bytes()).unwrap()
}

#[test]
fn prefixes_are_read_in_both_forms() {
    let table = [
        (
            r#""IPv4AllocCIDR":{"IP":"10.1.0.0","Mask":"//8AAA=="}"#,
            Some("10.1.0.0/16"),
        ),
        (
            r#""IPv4AllocCIDR":{"IP":"10.1.0.0","Mask":"////////////////////AA=="}"#,
            Some("10.1.0.0/24"),
        ),
        (r#""IPv4AllocCIDR":"10.1.0.0/16""#, Some("10.1.0.0/16")),
        (
            r#""IPv4AllocCIDR":{"IP":"0.0.0.0","Mask":"AAAAAA=="}"#,
            Some("0.0.0.0/0"),
        ),
        (r#""IPv4AllocCIDR":{"IP":"","Mask":null}"#, None),
        (r#""IPv4AllocCIDR":null"#, None),
        (r#""IPv4AllocCIDR":"""#, None),
        (r#""Unknown":[{"a":{}}]"#, None),
    ];
    for (field, expected) in table {
        let range = node(field).range_v4.map(|range| range.to_string());
        assert_eq!(range.as_deref(), expected, "{field}");
    }
    let ranges = node(
        r#""IPv4AllocCIDR":"10.1.0.0/24","IPv4SecondaryAllocCIDRs":[null,"10.2.0.0/24","10.1.0.0/24"],"IPv6SecondaryAllocCIDRs":null"#,
    );
    let ranges: Vec<_> = ranges
        .pod_ranges()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ranges, ["10.1.0.0/24", "10.2.0.0/24"]);
}

#[test]
fn prefixes_that_are_none_are_refused() {
    for range in [
        r#""10.1.0.0""#,
        r#""10.1.0.0/33""#,
        r#"7"#,
        r#"{"IP":"10.1.0.0","Mask":"/w8AAA=="}"#,
        r#"{"IP":"10.1.0.0","Mask":"//8="}"#,
        r#"{"IP":"10.1.0.0","Mask":"?"}"#,
        r#"{"IP":"fd01::","Mask":"//8AAA=="}"#,
        r#"{"IP":"10.1.0.0","Mask":"AAAAAAAAAAAAAAAA////AA=="}"#,
    ] {
        let text = format!(r#"{{"IPv4AllocCIDR":{range}}}"#);
        assert_eq!(
            Node::decode(text.as_bytes()).unwrap_err().label(),
            "malformed",
            "{range}"
        );
    }
}

#[test]
fn null_and_empty_text_are_nothing() {
    let node = node(
        r#""IPAddresses":null,"IPv4HealthIP":null,"IPv6HealthIP":"","Labels":null,"ClusterID":null,"EncryptionKey":null"#,
    );
    let expected = Node {
        name: "n1".into(),
        cluster: "c1".into(),
        ..Node::default()
    };
    assert_eq!(node, expected);
    assert_eq!(Node::decode(&node.encode()).unwrap(), node);
    let address =
        Address::decode(br#"{"IP":"::ffff:10.1.1.1","HostIP":"","ID":7,"Mask":""}"#).unwrap();
    assert_eq!(address.name.to_string(), "10.1.1.1");
    assert_eq!(address.host, None);
}

#[test]
fn nodes_are_reached_by_internal_addresses_first() {
    let address = |kind: &str, ip: &str| NodeAddress {
        kind: kind.into(),
        ip: ip.parse().ok(),
    };
    let node = Node {
        addresses: vec![
            address("ExternalIP", "203.0.113.5"),
            address("InternalIP", "192.0.2.1"),
            address("InternalIP", "192.0.2.1"),
            address("CiliumInternalIP", "fd01::1"),
            address("ExternalIP", "2001:db8::5"),
            address("Hostname", ""),
        ],
        ..Node::default()
    };
    let reached: Vec<_> = node
        .underlay_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(reached, ["192.0.2.1", "2001:db8::5"]);
}

#[test]
fn prefixes_of_addresses_have_their_length_in_the_key() {
    let value =
        br#"{"IP":"10.1.2.3","Mask":"/wAAAA==","HostIP":"192.0.2.1","ID":2,"Key":0,"Metadata":""}"#;
    let Record::Address(address) = read(&peer(), "ip/v1/default/10.1.2.3/8", value).unwrap() else {
        panic!("not an address");
    };
    assert_eq!(address.name.prefix().to_string(), "10.0.0.0/8");
    assert_eq!(address.encode(), value);
    let error = read(&peer(), "ip/v1/default/10.1.2.3", value).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its key says `10.1.2.3`, its value `10.1.2.3/8`"
    );
}

#[test]
fn service_exports_may_have_their_labels_twice() {
    let table = [
        r#"{"annotations":{"a":"1"},"labels":{"l":"2"},"Annotations":{"a":"1"},"Labels":{"l":"2"}}"#,
        r#"{"annotations":{"a":"1"},"Labels":{"l":"2"},"labels":null}"#,
        r#"{"Annotations":{"a":"1"},"labels":{"l":"2"},"new":true}"#,
    ];
    for text in table {
        let export = ServiceExport::decode(text.as_bytes()).unwrap();
        assert_eq!(export.annotations["a"], "1", "{text}");
        assert_eq!(export.labels["l"], "2", "{text}");
        assert_eq!(ServiceExport::decode(&export.encode()).unwrap(), export);
    }
    let full = r#"{"cluster":"c","name":"n","namespace":"s","Annotations":null,"Labels":null,"exportCreationTimestamp":null,"ports":[{"appProtocol":"h2c","port":1}],"type":"Headless","sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":10800}},"ipFamilies":["IPv6"],"internalTrafficPolicy":"Local","trafficDistribution":"PreferClose"}"#;
    let export = ServiceExport::decode(full.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(export.encode()).unwrap(), full);
}

#[test]
fn services_may_have_zones() {
    let full = r#"{"cluster":"c","namespace":"s","name":"n","frontends":{},"backends":{"10.1.1.21":{},"10.1.1.3":{}},"hostnames":{},"zones":{"10.1.1.3":{"zone":"a","forZones":[{"name":"b"}]}},"labels":{},"selector":{},"includeExternal":true,"shared":false,"clusterID":3}"#;
    let service = Service::decode(full.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(service.encode()).unwrap(), full);
}

#[test]
fn labels_are_read_in_any_order_and_written_by_key() {
    let table = [
        ("k8s:b=2;k8s:a=1;", "k8s:a=1;k8s:b=2;"),
        ("reserved:host", "reserved:host=;"),
        ("plain=x", "unspec:plain=x;"),
        ("k8s:url=a:b=c;;", "k8s:url=a:b=c;"),
        ("a=b:c", "unspec:a=b:c;"),
        ("cidr:10.0.0.0/8=", "cidr:10.0.0.0/8=;"),
        ("", ""),
    ];
    for (text, written) in table {
        assert_eq!(
            text.parse::<Labels>().unwrap().to_string(),
            written,
            "{text}"
        );
    }
    let other: Labels = "any:io.cilium.k8s.policy.cluster=c1".parse().unwrap();
    assert_eq!(other.cluster(), None);
}

#[test]
fn config_keeps_what_is_unknown() {
    let text = r#"{"id":3,"capabilities":{"syncedCanaries":false,"endpointSlicesExportMode":"endpointslices-only","later":[1]},"also":"x"}"#;
    let mirrored = String::from_utf8(mirror_config(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(
        mirrored,
        r#"{"id":3,"capabilities":{"syncedCanaries":true,"cached":true,"endpointSlicesExportMode":"endpointslices-only","later":[1]},"also":"x"}"#
    );
    let empty = ClusterConfig::decode(b"{}").unwrap();
    assert_eq!(empty.encode(), br#"{"capabilities":{}}"#);
    assert_eq!(empty.capabilities.service_exports_enabled, None);
    let modes = [
        ExportMode::Services,
        ExportMode::Both,
        ExportMode::EndpointSlices,
    ];
    for mode in modes {
        let capabilities = Capabilities {
            export_mode: mode.word().into(),
            ..Capabilities::default()
        };
        assert_eq!(capabilities.export_mode(), Ok(mode));
    }
}

#[test]
fn moments_are_dates() {
    let table = [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_799, "2000-02-29T23:59:59Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (1_795_244_122, "2026-11-21T06:55:22Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (13_574_563_200, "2400-02-29T00:00:00Z"),
    ];
    for (seconds, text) in table {
        assert_eq!(Timestamp(seconds).to_string(), text);
    }
    // Whatever the clock says, there is an answer.
    assert!(Timestamp(u64::MAX).to_string().ends_with('Z'));
}
