//! What Cilium's exporter wrote for the same objects, key by key and field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tombolo_model::record::{Key, Peer, RecordKey, Tree};

use super::*;
use crate::{Snapshot, manifest};

const OBJECTS: &str = include_str!("../../../../model/tests/golden/objects.yaml");
const EXPORTED: &str = include_str!("../../../../model/tests/golden/exported.jsonl");
const FILLED: &str = include_str!("../../../tests/golden/filled.yaml");
const PAGE: &str = include_str!("../../../../../docs/wire-format.md");

type Written = BTreeMap<String, Vec<u8>>;

#[test]
fn differences_are_those_of_the_page() {
    let found = differences(&theirs(), &ours(&objects()));
    assert_eq!(
        found.iter().collect::<Vec<_>>(),
        page().iter().collect::<Vec<_>>()
    );
}

/// The version that wrote theirs knows no scope yet.
#[test]
fn where_all_is_global_we_write_everything_that_they_do() {
    let mut objects = objects();
    for object in &mut objects {
        if object["kind"] == "Namespace" {
            object["metadata"]["annotations"] = json!({"clustermesh.cilium.io/global": "true"});
        }
    }
    let found = differences(&theirs(), &ours(&objects));
    let mut added = page();
    added.retain(|line| line.starts_with('+'));
    assert_eq!(found, added);
}

#[test]
fn readers_believe_everything() {
    let peer = Peer {
        cluster: "cluster1".to_owned(),
        id: ClusterId(1),
        clusters_max: 255,
    };
    for (key, value) in ours(&objects()) {
        let Ok(Key::Record(record)) = key.parse() else {
            panic!("{key} is no key of a record");
        };
        peer.read(&record, &value)
            .unwrap_or_else(|error| panic!("{key}: {error}"));
    }
}

/// The list in the documentation.
fn page() -> BTreeSet<String> {
    let (_, after) = PAGE.split_once("```diff\n").expect("the list");
    let (list, _) = after.split_once("```").expect("its end");
    list.lines().map(str::to_owned).collect()
}

/// As they were when the export was captured.
fn objects() -> Vec<Value> {
    let read = |text| {
        let documents = manifest::documents(text).into_iter();
        let read = |(_, document)| manifest::read_yaml(document).expect("YAML");
        documents.map(read).collect::<Vec<Value>>()
    };
    let mut objects = read(OBJECTS);
    for filled in read(FILLED) {
        let same = |object: &&mut Value| {
            object["kind"] == filled["kind"]
                && object["metadata"]["namespace"] == filled["metadata"]["namespace"]
                && object["metadata"]["name"] == filled["metadata"]["name"]
        };
        lay_over(objects.iter_mut().find(same).expect("an object"), &filled);
    }
    objects
}

fn lay_over(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                lay_over(below.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}

fn ours(objects: &[Value]) -> Written {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let manifest = manifest::parse("golden.json", list.to_string().as_bytes());
    let mut snapshot = Snapshot::default();
    snapshot.add("golden.json", manifest);
    let mut translator = Translator::new(options());
    assert_eq!(snapshot.tell(&mut translator), []);
    let mut written = Written::new();
    for (_, event) in drain(&mut translator) {
        if let Event::Upsert(name, record) = event {
            let key = RecordKey::new(Tree::State, "cluster1", name).to_string();
            let before = written.insert(key, encode(&record));
            assert_eq!(before, None, "each record is made once");
        }
    }
    written
}

fn theirs() -> Written {
    let mut written = Written::new();
    for line in EXPORTED.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = |field: &str| line[field].as_str().expect("text").to_owned();
        if let Ok(Key::Record(key)) = text("key").parse() {
            written.insert(key.to_string(), text("value").into_bytes());
        }
    }
    written
}

fn encode(record: &Record) -> Vec<u8> {
    match record {
        Record::Node(node) => node.encode(),
        Record::Identity(_, labels) => labels.encode(),
        Record::Address(address) => address.encode(),
        Record::Service(service) => service.encode(),
        Record::EndpointSlice(slice) => slice.encode(),
        Record::ServiceExport(export) => export.encode(),
    }
}

/// `-` for what only they write, `+` for what only we write, `~` for what both write differently.
fn differences(theirs: &Written, ours: &Written) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let keys: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
    for key in keys {
        match (theirs.get(key), ours.get(key)) {
            (Some(theirs), Some(ours)) if theirs == ours => {}
            (Some(theirs), Some(ours)) => found.extend(fields(key, theirs, ours)),
            (theirs, _) => found.extend([format!("{} {key}", sign(theirs.is_some()))]),
        }
    }
    found
}

fn fields(key: &str, theirs: &[u8], ours: &[u8]) -> Vec<String> {
    let read = |text| serde_json::from_slice::<BTreeMap<String, Value>>(text).expect("an object");
    let (theirs, ours) = (read(theirs), read(ours));
    let names: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        match (theirs.get(name), ours.get(name)) {
            (Some(theirs), Some(ours)) if theirs == ours => {}
            (Some(_), Some(_)) => found.push(format!("~ {key} {name}")),
            (theirs, _) => found.push(format!("{} {key} {name}", sign(theirs.is_some()))),
        }
    }
    assert!(
        !found.is_empty(),
        "{key} differs in the order of its fields"
    );
    found
}

fn sign(theirs: bool) -> char {
    if theirs { '-' } else { '+' }
}
