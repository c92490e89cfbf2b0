//! What a real exporter and a real mirror wrote.

use super::*;
use crate::{
    event::Event,
    fact::{AddressKey, Fact, NodeKey, Source},
    id::Identity,
};

pub(super) const EXPORTED: &str = include_str!("../../../tests/golden/exported.jsonl");
const MIRRORED: &str = include_str!("../../../tests/golden/mirrored.jsonl");

pub(super) fn pairs(lines: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| line[field].as_str().unwrap().to_owned();
        (text("key"), text("value"))
    };
    lines.lines().map(pair).collect()
}

pub(super) fn encode(record: &Record) -> Vec<u8> {
    match record {
        Record::Node(node) => node.encode(),
        Record::Identity(_, labels) => labels.encode(),
        Record::Address(address) => address.encode(),
        Record::Service(service) => service.encode(),
        Record::EndpointSlice(slice) => slice.encode(),
        Record::ServiceExport(export) => export.encode(),
    }
}

#[test]
fn what_is_read_is_written_the_same() {
    let mut kinds = std::collections::BTreeSet::new();
    for (key, value) in pairs(EXPORTED).into_iter().chain(pairs(MIRRORED)) {
        let read: Key = key.parse().unwrap();
        assert_eq!(read.to_string(), key);
        let written = match read {
            Key::Record(record_key) => {
                kinds.insert(record_key.name().resource());
                encode(&peer().read(&record_key, value.as_bytes()).unwrap())
            }
            Key::ClusterConfig { .. } => ClusterConfig::decode(value.as_bytes()).unwrap().encode(),
            Key::Heartbeat | Key::Synced { .. } | Key::Unheard { .. } => continue,
        };
        assert_eq!(String::from_utf8(written).unwrap(), value, "{key}");
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn mirror_writes_what_was_mirrored() {
    let mut ours = Vec::new();
    for (key, value) in pairs(EXPORTED) {
        let key: Key = key.parse().unwrap();
        let Some(mirrored) = mirror_key(&key, "cluster1") else {
            assert_eq!(key, Key::Heartbeat);
            continue;
        };
        let value = match key {
            Key::ClusterConfig { .. } => {
                String::from_utf8(mirror_config(value.as_bytes()).unwrap()).unwrap()
            }
            Key::Synced { .. } => String::new(),
            _ => value,
        };
        ours.push((mirrored.to_string(), value));
    }
    let mut theirs = pairs(MIRRORED);
    for (key, value) in &mut theirs {
        if key.starts_with("cilium/synced/") {
            value.clear();
        }
    }
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
}

#[test]
fn records_lie_below_the_prefix_of_their_kind() {
    for (tree, lines) in [(Tree::State, EXPORTED), (Tree::Cache, MIRRORED)] {
        for (key, _) in pairs(lines) {
            if let Ok(Key::Record(record)) = key.parse() {
                let prefix = record.name().resource().prefix(tree, "cluster1");
                assert_eq!(key, format!("{prefix}{}", record.name()));
            }
        }
    }
}

#[test]
fn nodes_and_addresses_become_facts() {
    let mut facts = Vec::new();
    let mut reserved = Vec::new();
    for (key, value) in pairs(EXPORTED) {
        let Ok(Key::Record(key)) = key.parse() else {
            continue;
        };
        let record = peer().read(&key, value.as_bytes()).unwrap();
        if let Record::Node(node) = &record {
            reserved = peer().reserved_addresses(node);
        }
        let fact = peer().upsert(&record);
        let gone = peer().delete(key.name());
        match (&fact, gone) {
            (
                Some(Fact::Node(source, Event::Upsert(told, _))),
                Some(Fact::Node(from, Event::Delete(gone))),
            ) => assert_eq!((source, told), (&from, &gone)),
            (
                Some(Fact::Address(source, Event::Upsert(told, _))),
                Some(Fact::Address(from, Event::Delete(gone))),
            ) => assert_eq!((source, told), (&from, &gone)),
            (None, None) => continue,
            other => panic!("{other:?}"),
        }
        facts.extend(fact);
    }
    let source = Source::Cluster(ClusterId(1));
    let address = |ip: &str, identity| {
        let key = AddressKey {
            prefix: ip.parse::<std::net::IpAddr>().unwrap().into(),
            owner: "cluster1".into(),
        };
        let address = crate::fact::Address {
            identity: Identity(identity),
            host: "10.20.1.11".parse().unwrap(),
        };
        Fact::Address(source, Event::Upsert(key, address))
    };
    let node = crate::fact::Node {
        cluster_id: ClusterId(1),
        addresses: vec!["10.20.1.11".parse().unwrap(), "fd20:1::11".parse().unwrap()],
        pod_ranges: vec![
            "10.1.1.0/24".parse().unwrap(),
            "fd01:1::/64".parse().unwrap(),
        ],
    };
    let key = NodeKey {
        cluster: "cluster1".into(),
        name: "c1n1".into(),
    };
    let expected = [
        address("10.1.1.7", 70001),
        address("10.1.1.8", 70002),
        address("fd01:1::7", 70001),
        Fact::Node(source, Event::Upsert(key, node)),
    ];
    assert_eq!(facts, expected);
    let reserved: Vec<_> = reserved
        .iter()
        .map(|(key, address)| {
            format!(
                "{} {} {}",
                key.prefix.addr(),
                address.identity,
                address.host
            )
        })
        .collect();
    assert_eq!(
        reserved,
        [
            "10.1.1.250 health 10.20.1.11",
            "fd01:1::250 health 10.20.1.11",
            "10.1.1.251 ingress 10.20.1.11",
            "fd01:1::251 ingress 10.20.1.11",
        ]
    );
}
