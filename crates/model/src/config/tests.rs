use super::*;

pub(crate) fn config() -> Config {
    Config {
        cluster: "c1".into(),
        cluster_id: ClusterId(1),
        clusters_max: 255,
        node: "n1".into(),
        addresses: vec!["192.0.2.1".parse().unwrap(), "fd00:2::1".parse().unwrap()],
        pod_ranges: vec![
            "10.1.1.0/24".parse().unwrap(),
            "fd00:10:1:1::/64".parse().unwrap(),
        ],
        routing: RoutingMode::Tunnel,
        prefer_ipv6: false,
        pod_mtu: 1450,
        sources: vec![Source::File],
        reads_clusters: false,
        zone: None,
        default_global_namespace: true,
        name_service: None,
        balancing: Default::default(),
    }
}

type Spoil = fn(&mut Config);

#[test]
fn bad_configurations_are_refused_with_advice() {
    let cases: [(Spoil, &str); 16] = [
        (|c| c.cluster = "Upper".into(), "cluster name `Upper`"),
        (|c| c.cluster = "-c".into(), "cluster name `-c`"),
        (|c| c.cluster = "c".repeat(33), "1 to 32"),
        (|c| c.cluster = String::new(), "cluster name ``"),
        (|c| c.cluster = "default".into(), "reserved"),
        (|c| c.cluster_id = ClusterId(256), "1 to 255"),
        (|c| c.clusters_max = 300, "255 or 511"),
        (|c| c.node = "a b".into(), "node name"),
        (|c| c.addresses.clear(), "--node-ip"),
        (
            |c| c.addresses.push("192.0.2.9".parse().unwrap()),
            "two IPv4",
        ),
        (
            |c| c.addresses[0] = "127.0.0.1".parse().unwrap(),
            "can't be a node's",
        ),
        (|c| c.pod_ranges.clear(), "--pod-range"),
        (
            |c| c.pod_ranges.push("10.1.1.0/25".parse().unwrap()),
            "two IPv4",
        ),
        (
            |c| c.pod_ranges[0] = "10.1.1.0/31".parse().unwrap(),
            "no room",
        ),
        (
            |c| c.pod_ranges[0] = "192.0.2.0/24".parse().unwrap(),
            "contains the node's address",
        ),
        (|c| c.pod_mtu = 1279, "too small"),
    ];
    for (spoil, text) in cases {
        let mut config = config();
        spoil(&mut config);
        let error = config.check().expect_err(text).to_string();
        assert!(error.contains(text) && !error.contains('\n'), "{error}");
    }
    assert_eq!(config().check(), Ok(()));
    let unmeshed = Config {
        cluster: "default".into(),
        cluster_id: ClusterId(0),
        ..config()
    };
    assert_eq!(unmeshed.check(), Ok(()));
}

#[test]
fn underlay_is_ipv4_unless_told_or_forced() {
    let v4: IpAddr = "192.0.2.2".parse().unwrap();
    let v6: IpAddr = "fd00:2::2".parse().unwrap();
    let mut config = config();
    assert_eq!(config.underlay_to(&[v6, v4]), Some(v4));
    assert_eq!(config.underlay_to(&[v6]), Some(v6));
    config.prefer_ipv6 = true;
    assert_eq!(config.underlay_to(&[v4, v6]), Some(v6));
    assert!(config.underlay_is_ipv6());
    config.addresses.pop();
    assert_eq!(config.underlay_to(&[v4, v6]), Some(v4));
    assert_eq!(config.underlay_to(&[v6]), None);
    assert!(!config.underlay_is_ipv6());
}

#[test]
fn identities_are_of_the_own_cluster() {
    let config = config();
    let cases = [
        (5, true),
        (4, true),
        (200, true),
        (0, false),
        (1, false),
        (2, false),
        (6, false),
        (0x1_0100, true),
        (0x2_0100, false),
        (0x101_0100, false),
    ];
    for (identity, allowed) in cases {
        assert_eq!(
            config.may_give(Identity(identity)),
            allowed,
            "{identity:#x}"
        );
    }
}
