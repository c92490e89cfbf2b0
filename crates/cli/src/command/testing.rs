//! Answers of an agent, for tests of how they are shown.

use tombolo_model::{
    id::{ClusterId, EndpointId, Identity},
    local::{
        AddressView, Attachment, Endpoint, EndpointState, NodeView, PodName, Status, TableUse,
    },
    net::{Mac, PodAddresses, RoutingMode},
};

pub fn endpoints() -> Vec<Endpoint> {
    let ready = Endpoint {
        id: EndpointId(3),
        attachment: Attachment {
            container: "c1".into(),
            interface: "eth0".into(),
        },
        pod: PodName {
            namespace: "shop".into(),
            name: "web-0".into(),
        },
        identity: Identity(65801),
        addresses: PodAddresses {
            v4: Some("10.1.1.5".parse().unwrap()),
            v6: Some("fd00::5".parse().unwrap()),
        },
        host_interface: "tmb3".into(),
        state: EndpointState::Ready,
        ifindex: 12,
        mac: Some(Mac([2, 0, 0, 0, 0, 7])),
        rules: 2,
    };
    let mut reserved = ready.clone();
    reserved.id = EndpointId(4);
    reserved.attachment.container = "c2".into();
    reserved.pod = PodName::default();
    reserved.identity = Identity::INIT;
    reserved.addresses = PodAddresses {
        v4: Some("10.1.1.6".parse().unwrap()),
        v6: None,
    };
    reserved.host_interface = "tmb4".into();
    reserved.state = EndpointState::Reserved;
    reserved.ifindex = 0;
    reserved.mac = None;
    reserved.rules = 0;
    vec![ready, reserved]
}

pub fn nodes() -> Vec<NodeView> {
    let own = NodeView {
        cluster: "cluster1".into(),
        cluster_id: ClusterId(1),
        name: "n1".into(),
        addresses: vec![
            "172.30.1.11".parse().unwrap(),
            "fd00:30::11".parse().unwrap(),
        ],
        pod_ranges: vec!["10.1.1.0/24".parse().unwrap()],
        tunnel: None,
        source: "self".into(),
    };
    let other = NodeView {
        cluster: "cluster2".into(),
        cluster_id: ClusterId(2),
        name: "n1".into(),
        addresses: vec!["172.30.2.11".parse().unwrap()],
        pod_ranges: vec!["10.2.1.0/24".parse().unwrap()],
        tunnel: Some("172.30.2.11".parse().unwrap()),
        source: "file".into(),
    };
    vec![own, other]
}

pub fn addresses() -> Vec<AddressView> {
    let address = |prefix: &str, identity, place: &str, source: &str| AddressView {
        prefix: prefix.parse().unwrap(),
        identity: Identity(identity),
        place: place.into(),
        source: source.into(),
    };
    vec![
        address("10.1.1.5/32", 65801, "local 3", "agent"),
        address("10.1.1.6/32", 65801, "local 4", "agent"),
        address("10.2.1.5/32", 131_329, "remote cluster2/n1", "file"),
        address("10.1.1.0/24", 0, "nowhere", "pod range"),
        address("0.0.0.0/0", 2, "world", ""),
    ]
}

pub fn status() -> Status {
    let counts = |pairs: &[(&str, u64)]| {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    Status {
        version: "0.1.0".into(),
        cluster: "cluster1".into(),
        cluster_id: ClusterId(1),
        node: "n1".into(),
        routing: RoutingMode::Tunnel,
        pod_ranges: vec![
            "10.1.1.0/24".parse().unwrap(),
            "fd00:10:1:1::/64".parse().unwrap(),
        ],
        pod_mtu: 1450,
        uptime_seconds: 3725,
        synced: true,
        awaited: Vec::new(),
        kept: 0,
        endpoints: 2,
        nodes: 3,
        addresses: 12,
        pending: 0,
        flows: TableUse {
            used: 7,
            size: 131_072,
        },
        free_addresses: counts(&[("ipv4", 251), ("ipv6", u64::MAX)]),
        drops: counts(&[("policy-denied", 4)]),
        events_lost: 0,
        uplinks: vec!["eth0".into()],
        names: None,
        warnings: Vec::new(),
        rejected: counts(&[]),
        peers: Vec::new(),
    }
}
