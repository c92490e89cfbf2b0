//! The programs of a cluster as users start them: real processes, real certificates, over loopback.

mod agent;
mod etcd;
mod kubernetes;
mod place;
mod refusals;

use place::{Cluster, OBJECTS, Place, wait_for};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const EXPORTED: &str = include_str!("../../../model/tests/golden/exported.jsonl");

/// Keys that Cilium 1.18 wrote for the golden objects and we don't, with the reason in docs/wire-format.md.
const NOT_TOLD: [&str; 4] = [
    "cilium/state/identities/v1/id/70002",
    "cilium/state/ip/v1/default/10.1.1.8",
    "cilium/state/serviceexports/v1/cluster1/shop/web",
    "cilium/state/services/v1/cluster1/private/hidden",
];

/// The keys that Cilium wrote.
fn golden() -> BTreeSet<String> {
    let lines = EXPORTED.lines().filter(|line| !line.is_empty());
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line["key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn objects_reach_the_store_of_another_cluster_byte_for_byte() {
    let place = Place::new();
    let one = Cluster::start(&place, 1);
    let two = Cluster::start(&place, 2);
    one.write_objects("golden.yaml", OBJECTS);
    let _exporter = one.apiserver();
    two.connect(&one);
    let mirror = two.kvstoremesh();
    wait_for("the mirror to be ready", || {
        let peers = mirror.status()["peers"].clone();
        peers[0]["ready"] == true && mirror.status()["store"]["pending"] == 0
    });
    let state = one.contents("cilium/state/");
    let expected: BTreeSet<_> = golden()
        .into_iter()
        .filter(|key| key.starts_with("cilium/state/") && !NOT_TOLD.contains(&key.as_str()))
        .collect();
    let told: BTreeSet<_> = state
        .keys()
        .filter(|key| !key.starts_with("cilium/state/endpointslices/"))
        .cloned()
        .collect();
    assert_eq!(told, expected);
    let mirrored: BTreeMap<_, _> = two
        .contents("cilium/cache/")
        .into_iter()
        .map(|(key, value)| {
            let key = key.replace("cilium/cache/", "cilium/state/");
            let key = key.replace("/identities/v1/cluster1/id/", "/identities/v1/id/");
            (key.replace("/ip/v1/cluster1/", "/ip/v1/default/"), value)
        })
        .collect();
    assert_eq!(mirrored, state);
    assert!(
        two.contents("cilium/cluster-config/")
            .contains_key("cilium/cluster-config/cluster1")
    );
}

#[test]
fn changes_follow_and_a_store_that_was_wiped_is_filled_again() {
    let place = Place::new();
    let mut one = Cluster::start(&place, 1);
    let mut two = Cluster::start(&place, 2);
    one.write_objects("golden.yaml", OBJECTS);
    let exporter = one.apiserver();
    two.connect(&one);
    let _mirror = two.kvstoremesh();
    let copied = |two: &Cluster| two.contents("cilium/cache/").len();
    wait_for("the first copy", || copied(&two) == 10);
    one.write_objects("golden.yaml", "");
    wait_for("the objects to go", || copied(&two) == 0);
    one.write_objects("golden.yaml", OBJECTS);
    wait_for("the objects to come back", || copied(&two) == 10);
    two.restart_store();
    wait_for("the copy to be made again", || copied(&two) == 10);
    one.restart_store();
    wait_for("the export to be made again", || {
        one.contents("cilium/state/").len() == 10
    });
    one.write_objects("golden.yaml", "kind: [");
    wait_for("the mistake to be told", || {
        exporter.status()["refused"] == 1
    });
    // What can't be read is not thereby gone.
    assert_eq!(copied(&two), 10);
}

#[test]
fn a_peer_that_goes_takes_its_records_with_it_and_may_come_back() {
    let place = Place::new();
    let one = Cluster::start(&place, 1);
    let two = Cluster::start(&place, 2);
    one.write_objects("golden.yaml", OBJECTS);
    let _exporter = one.apiserver();
    two.connect(&one);
    let mirror = two.kvstoremesh_with(&["--drain-grace", "1"]);
    let known = || {
        two.contents("cilium/")
            .into_keys()
            .filter(|key| key.contains("cluster1"))
            .count()
    };
    wait_for("the copy", || {
        mirror.status()["peers"][0]["ready"] == true && known() > 10
    });
    two.disconnect(&one);
    wait_for("the copy to go", || known() == 0);
    two.connect(&one);
    wait_for("the copy to come back", || known() > 10);
    assert_eq!(mirror.status()["leaving"], serde_json::json!({}));
}

#[test]
fn all_end_when_they_are_asked_to() {
    let place = Place::new();
    let mut one = Cluster::start(&place, 1);
    one.write_objects("golden.yaml", OBJECTS);
    let programs = [one.apiserver(), one.kvstoremesh()];
    for program in &programs {
        wait_for("it to lead", || program.status()["store"]["leads"] == true);
    }
    for mut program in programs {
        assert_eq!(program.terminate(), Some(0));
    }
    assert_eq!(one.store.terminate(), Some(0));
}
