use super::*;
use crate::testing::golden;

const EXPORTED: &str = include_str!("../../../model/tests/golden/exported.jsonl");

fn told(scope: &Scope, snapshot: bool, events: &Events) -> Vec<String> {
    let mut told = Vec::new();
    for event in events.clone() {
        let resource = match &event {
            Event::Upsert(key, _) => match String::from_utf8_lossy(key).parse() {
                Ok(Key::Record(key)) => key.name().resource(),
                _ => continue,
            },
            _ => Resource::Addresses,
        };
        let events = scope.narrow(resource, snapshot, vec![event]);
        told.extend(events.into_iter().map(|event| match event {
            Event::Upsert(key, _) => String::from_utf8_lossy(&key).into_owned(),
            Event::Delete(key) => format!("gone {}", String::from_utf8_lossy(&key)),
            Event::Restart | Event::Synced => "frame".to_owned(),
        }));
    }
    told
}

#[test]
fn every_kind_of_record_is_narrowed_to_its_namespace() {
    let records = golden(EXPORTED).into_iter();
    let mut events: Events = records
        .map(|(key, value)| Event::Upsert(key.into(), value.into()))
        .collect();
    events.push(Event::Synced);
    let all = told(&Scope::All, true, &events);
    let shop = told(&Scope::Namespaces(["shop".into()].into()), true, &events);
    let none = told(&Scope::Namespaces(BTreeSet::new()), true, &events);
    let kinds = |told: &[String]| {
        Resource::ALL.map(|kind| {
            let word = format!("/{}/", kind.word());
            told.iter().filter(|key| key.contains(&word)).count()
        })
    };
    assert_eq!(kinds(&all), [1, 2, 3, 4, 0, 1], "the example has changed");
    assert_eq!(kinds(&shop), [1, 1, 2, 3, 0, 1]);
    // What is left is of no namespace.
    assert_eq!(kinds(&none), [1, 0, 0, 0, 0, 0]);
    for told in [&all, &shop, &none] {
        assert_eq!(told.last().map(String::as_str), Some("frame"));
    }
    // A snapshot is silent about what is out of scope, a change is not.
    let changed = told(&Scope::Namespaces(BTreeSet::new()), false, &events);
    let gone = changed.iter().filter(|key| key.starts_with("gone "));
    assert_eq!(gone.count(), all.len() - none.len());
}

#[test]
fn what_cannot_be_understood_is_left_to_be_rejected() {
    let scope = Scope::Namespaces(BTreeSet::new());
    for (resource, key, value) in [
        (
            Resource::Addresses,
            "cilium/state/ip/v1/default/10.2.0.1",
            "{",
        ),
        (Resource::Services, "cilium/state/services/v1/c2", "{}"),
        (Resource::Identities, "cilium/state/identities/v1/id/1", "="),
    ] {
        let events = vec![Event::Upsert(Bytes::from(key), Bytes::from(value))];
        assert_eq!(scope.narrow(resource, true, events.clone()), events);
    }
}
