mod bad;
mod forms;
mod golden;
mod offered;
mod slice;

use super::*;
use crate::id::ClusterId;

fn peer() -> Peer {
    Peer {
        cluster: "cluster1".into(),
        id: ClusterId(1),
        clusters_max: 255,
    }
}

/// The record at a key of its cluster's store.
fn read(peer: &Peer, key: &str, value: &[u8]) -> Result<Record, RecordError> {
    match format!("cilium/state/{key}").parse() {
        Ok(Key::Record(key)) => peer.read(&key, value),
        other => panic!("{key} is read as {other:?}"),
    }
}

fn endpoint_slice() -> EndpointSlice {
    let text = |text: &str| Some(text.to_owned());
    let endpoint = Endpoint {
        addresses: vec!["10.1.1.7".parse().unwrap(), "10.1.1.8".parse().unwrap()],
        conditions: Conditions {
            ready: Some(true),
            serving: Some(false),
            terminating: None,
        },
        hostname: text("web-0"),
        topology: [("zone".to_owned(), "a".to_owned())].into(),
        node: text("c1n1"),
        zone: text("zone-a"),
        hints: Some(vec!["zone-a".into(), "zone-b".into()]),
    };
    let port = EndpointPort {
        name: text("http"),
        protocol: text("TCP"),
        port: Some(8080),
        app_protocol: None,
    };
    EndpointSlice {
        cluster: "cluster1".into(),
        cluster_id: 1,
        namespace: "shop".into(),
        name: "web-1".into(),
        labels: [("kubernetes.io/service-name".to_owned(), "web".to_owned())].into(),
        annotations: Default::default(),
        family: Family::V4,
        endpoints: vec![endpoint, Endpoint::default()],
        ports: vec![port, EndpointPort::default()],
    }
}
