//! What Cilium's exporter wrote for the same objects.

use super::*;
use crate::{Snapshot, manifest};

const OBJECTS: &str = include_str!("../../../../model/tests/golden/objects.yaml");

#[test]
fn what_is_in_a_private_namespace_is_not_told() {
    let mut translator = Translator::new(options());
    let mut snapshot = Snapshot::default();
    let manifest = manifest::parse("objects.yaml", OBJECTS.as_bytes());
    snapshot.add("objects.yaml", manifest);
    assert_eq!(snapshot.tell(&mut translator), []);
    let events = drain(&mut translator);
    let count = |resource| translator.records(resource);
    let counts = Resource::ALL.map(count);
    assert_eq!(counts, [1, 1, 2, 3, 3, 1], "{events:?}");
}
