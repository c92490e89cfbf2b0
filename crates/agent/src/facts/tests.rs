use super::*;

const FILE: &str = r#"{
  "nodes": [
    {"cluster": "c2", "cluster_id": 2, "name": "n1", "addresses": ["192.0.2.2", "fd00::2"], "pod_ranges": ["10.2.1.0/24"]},
    {"cluster": "c2", "cluster_id": -1, "name": "n2", "addresses": ["192.0.2.3"]},
    "nonsense"
  ],
  "addresses": [
    {"address": "10.2.1.5", "identity": 131329, "host": "192.0.2.2"},
    {"address": "10.2.2.0/24", "identity": 131329, "host": "192.0.2.2"},
    {"address": "10.2.1", "identity": 131329, "host": "192.0.2.2"}
  ]
}"#;

#[test]
fn bad_records_reject_only_themselves() {
    let facts = parse(FILE.as_bytes()).unwrap();
    let malformed = |wanted: Set| {
        facts
            .iter()
            .filter(|fact| matches!(fact, Fact::Malformed { set, .. } if *set == wanted))
            .count()
    };
    assert_eq!((malformed(Set::Nodes), malformed(Set::Addresses)), (2, 1));
    let prefixes: Vec<String> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Address(_, Event::Upsert(key, _)) => Some(key.prefix.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(prefixes, ["10.2.1.5/32", "10.2.2.0/24"]);
    assert_eq!(
        facts.first(),
        Some(&Fact::Node(Source::File, Event::Restart))
    );
    assert_eq!(
        facts.last(),
        Some(&Fact::Address(Source::File, Event::Synced))
    );
}

#[test]
fn a_file_of_another_form_is_refused_whole() {
    for text in ["", "[]", "{\"node\": []}", "{\"nodes\": 3}"] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(parse(b"{}").unwrap().len(), 4);
}
