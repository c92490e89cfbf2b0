use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tombolo_kvstore::{Keys, Memory};
use tombolo_model::record::Resource;

use super::{Kvstoremesh, Step};
use crate::{
    Random, Scope,
    drive::{self, Shared, Wish, lock},
    reader::{Options, Reader},
    testing::*,
};

mod faults;

const EXPORTED: &str = include_str!("../../../model/tests/golden/exported.jsonl");
const MIRRORED: &str = include_str!("../../../model/tests/golden/mirrored.jsonl");

/// What `export` tells of.
const EXPORTED_KINDS: [Resource; 4] = [
    Resource::Nodes,
    Resource::Addresses,
    Resource::Identities,
    Resource::Services,
];

/// Reads a peer's place for a copier.
fn copy(
    cluster: &'static str,
    place: &Place,
    mesh: &Written<Kvstoremesh>,
    shared: &Arc<Shared>,
) -> (watch::Sender<Wish>, JoinSet<()>) {
    copy_scope(cluster, Scope::All, place, mesh, shared)
}

fn copy_scope(
    cluster: &'static str,
    scope: Scope,
    place: &Place,
    mesh: &Written<Kvstoremesh>,
    shared: &Arc<Shared>,
) -> (watch::Sender<Wish>, JoinSet<()>) {
    let mut options: Options = options(cluster);
    options.scope = scope;
    options.own = tombolo_model::id::ClusterId(9);
    options.resources = Resource::ALL.to_vec();
    let reader = Reader::new(options, Random::new(5), shared.start.elapsed());
    let (wish, wishes) = watch::channel(Wish::Read);
    let (out, told) = mpsc::channel(4);
    let mut tasks = JoinSet::new();
    let (place, shared) = (place.clone(), shared.clone());
    tasks.spawn(async move {
        drive::read(&Mutex::new(reader), &shared, &place, wishes, out).await;
    });
    let (mesh, signals, anew) = (mesh.writer.clone(), mesh.signals.clone(), wish.clone());
    tasks.spawn(async move { drive::copy(cluster, told, &mesh, &signals, &anew).await });
    (wish, tasks)
}

fn mesh(seed: u64) -> Kvstoremesh {
    Kvstoremesh::new(replica("a"), Random::new(seed))
}

async fn of_peer(memory: &Memory, peer: &str) -> Vec<String> {
    let all = contents(memory, Keys::prefix("cilium/")).await;
    all.into_keys()
        .filter(|key| key.split('/').any(|part| part == peer))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_copy_of_the_golden_export_is_the_golden_copy() {
    let (peer, own, shared) = (memory(1), memory(2), shared());
    for (key, value) in golden(EXPORTED) {
        put(&peer, key, value).await;
    }
    let mesh = Written::start(mesh(1), &Place::new(own.clone()), &shared);
    assert!(mesh.with(|mesh| mesh.add("cluster1")));
    let _copy = copy("cluster1", &Place::new(peer), &mesh, &shared);
    pass(5, &shared, &[&own]).await;
    let mut copied = written(&own).await;
    assert!(copied.remove("cilium/.heartbeat").is_some());
    assert_eq!(copied, golden(MIRRORED));
}

#[tokio::test(start_paused = true)]
async fn only_what_is_in_scope_is_copied() {
    let (peer, own, shared) = (memory(1), memory(2), shared());
    for (key, value) in golden(EXPORTED) {
        put(&peer, key, value).await;
    }
    let mesh = Written::start(mesh(1), &Place::new(own.clone()), &shared);
    mesh.with(|mesh| mesh.add("cluster1"));
    let scope = Scope::Namespaces(["shop".to_owned()].into());
    let _copy = copy_scope("cluster1", scope, &Place::new(peer), &mesh, &shared);
    pass(5, &shared, &[&own]).await;
    let mut copied = written(&own).await;
    copied.remove("cilium/.heartbeat");
    let mut expected = golden(MIRRORED);
    let before = expected.len();
    expected.retain(|key, value| {
        !key.contains("/private/") && !String::from_utf8_lossy(value).contains("private")
    });
    assert!(expected.len() < before);
    assert_eq!(copied, expected);
}

#[tokio::test(start_paused = true)]
async fn a_removed_peer_is_drained_in_steps_and_may_come_back_after() {
    let (peer, own, shared) = (memory(1), memory(2), shared());
    for (key, value) in golden(EXPORTED) {
        put(&peer, key, value).await;
    }
    put(&peer, "cilium/state/ip/v1/default/not-an-address", "{}").await;
    let place = Place::new(peer);
    let mesh = Written::start(mesh(1), &Place::new(own.clone()), &shared);
    mesh.with(|mesh| mesh.add("cluster1"));
    let (wish, _tasks) = copy("cluster1", &place, &mesh, &shared);
    pass(5, &shared, &[&own]).await;
    let before = of_peer(&own, "cluster1").await;
    assert_eq!(before.len(), 17);
    let rejects = mesh
        .with(|mesh| mesh.rejects("cluster1").cloned())
        .unwrap_or_default();
    assert_eq!(rejects[&Resource::Addresses].count(), 1);

    wish.send_replace(Wish::Remove);
    mesh.with(|mesh| mesh.remove("cluster1"));
    pass(170, &shared, &[&own]).await;
    let after = of_peer(&own, "cluster1").await;
    assert_eq!(after.len(), before.len() - 1, "only the config has gone");
    assert!(!after.contains(&config_key("cluster1").to_string()));
    assert!(matches!(
        lock(&mesh.writer).step("cluster1"),
        Some(Step::Grace { .. })
    ));
    pass(20, &shared, &[&own]).await;
    assert_eq!(of_peer(&own, "cluster1").await, Vec::<String>::new());
    assert!(mesh.with(|mesh| mesh.add("cluster1")));
    let _copy = copy("cluster1", &place, &mesh, &shared);
    pass(5, &shared, &[&own]).await;
    assert_eq!(of_peer(&own, "cluster1").await, before);
}

/// Whoever waits for a copy would take nothing for all of it.
#[tokio::test(start_paused = true)]
async fn a_peer_is_copied_once_all_of_it_is_in_the_store() {
    let (peer, own, shared) = (memory(1), memory(2), shared());
    export(&peer, &[1, 2]).await;
    let home = Place::new(own.clone());
    home.set(None);
    let mesh = Written::start(mesh(1), &home, &shared);
    mesh.with(|mesh| mesh.add("c2"));
    let _copy = copy("c2", &Place::new(peer), &mesh, &shared);
    pass(5, &shared, &[]).await;
    let is_copied = || lock(&mesh.writer).has_copied("c2", EXPORTED_KINDS);
    assert!(!is_copied(), "the store is out of reach");
    home.set(Some(own.clone()));
    for _ in 0..60_000 {
        if is_copied() {
            assert_eq!(of_peer(&own, "c2").await.len(), 7);
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it is never called copied");
}

/// Agents are connected to the copy and would not know.
#[tokio::test(start_paused = true)]
async fn the_copy_says_so_while_nobody_hears_the_peer() {
    const UNHEARD: &str = "cilium/synced/c2/tombolo/unheard";
    let (peer, own, shared) = (memory(1), memory(2), shared());
    export(&peer, &[1, 2]).await;
    let place = Place::new(peer.clone());
    let mesh = Written::start(mesh(1), &Place::new(own.clone()), &shared);
    mesh.with(|mesh| mesh.add("c2"));
    let (wish, _copy) = copy("c2", &place, &mesh, &shared);
    for (is_reached, seconds) in [(true, 5), (false, 5), (true, 90), (false, 5)] {
        place.set(is_reached.then(|| peer.clone()));
        pass(seconds, &shared, &[&own]).await;
        let copied = of_peer(&own, "c2").await;
        let says = copied.iter().any(|key| key == UNHEARD);
        assert_eq!(says, !is_reached, "{copied:?}");
        assert_eq!(copied.len(), 7 + usize::from(says), "{copied:?}");
    }
    wish.send_replace(Wish::Remove);
    mesh.with(|mesh| mesh.remove("c2"));
    pass(5, &shared, &[&own]).await;
    let copied = of_peer(&own, "c2").await;
    assert!(!copied.iter().any(|key| key == UNHEARD), "{copied:?}");
}

/// Before its records go there is nothing to wait for; what it has lost meanwhile goes when it is known anew.
#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_back_before_its_records_go_waits_for_nothing() {
    for (away, number) in [(0, 2), (1, 2), (170, 2), (170, 7)] {
        let (peer, own, shared) = (memory(1), memory(2), shared());
        export(&peer, &[1, 2]).await;
        let place = Place::new(peer.clone());
        let mesh = Written::start(mesh(1), &Place::new(own.clone()), &shared);
        mesh.with(|mesh| mesh.add("c2"));
        let (wish, _first) = copy("c2", &place, &mesh, &shared);
        pass(5, &shared, &[&own]).await;
        wish.send_replace(Wish::Remove);
        mesh.with(|mesh| mesh.remove("c2"));
        pass(away, &shared, &[&own]).await;
        delete(&peer, address(2, 2).0).await;
        put(&peer, config_key("c2"), config(number).encode()).await;
        let (key, value) = address(number, 1);
        put(&peer, address(2, 1).0, &value).await;
        assert!(mesh.with(|mesh| mesh.add("c2")), "after {away} s");
        let _again = copy("c2", &place, &mesh, &shared);
        pass(5, &shared, &[&own]).await;
        assert_eq!(copied(&own, 1).await, Some(value), "{key:?}");
        assert_eq!(copied(&own, 2).await, None, "it went while it was away");
        // Nor does what had begun go on.
        pass(400, &shared, &[&own]).await;
        assert_eq!(of_peer(&own, "c2").await.len(), 6, "after {away} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copier_that_starts_anew_keeps_what_an_unreachable_peer_had() {
    let (peer, own, shared) = (memory(1), memory(2), shared());
    for (key, value) in golden(EXPORTED) {
        put(&peer, key, value).await;
    }
    let (place, home) = (Place::new(peer), Place::new(own.clone()));
    let mut first = Written::start(mesh(1), &home, &shared);
    first.with(|mesh| mesh.add("cluster1"));
    let (_wish, mut tasks) = copy("cluster1", &place, &first, &shared);
    pass(5, &shared, &[&own]).await;
    let before = of_peer(&own, "cluster1").await;
    first.tasks.shutdown().await;
    tasks.shutdown().await;
    place.set(None);

    let second = Written::start(mesh(2), &home, &shared);
    second.with(|mesh| mesh.add("cluster1"));
    let _copy = copy("cluster1", &place, &second, &shared);
    pass(3000, &shared, &[&own]).await;
    let mut copied = of_peer(&own, "cluster1").await;
    assert_eq!(
        copied.pop(),
        Some("cilium/synced/cluster1/tombolo/unheard".into())
    );
    assert_eq!(copied, before);
}

/// An address of the peer as it stands in our own store.
async fn copied(own: &Memory, host: u8) -> Option<Vec<u8>> {
    let key = format!("cilium/cache/ip/v1/c2/10.2.0.{host}");
    let all = contents(own, Keys::prefix("cilium/cache/ip/v1/c2/")).await;
    all.get(&key).cloned()
}

async fn export(peer: &Memory, hosts: &[u8]) {
    put(peer, config_key("c2"), config(2).encode()).await;
    for host in hosts {
        let (key, value) = address(2, *host);
        put(peer, key, value).await;
    }
    for resource in Resource::ALL {
        put(peer, canary("c2", resource), "").await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_believes_the_store_rather_than_what_he_heard_before() {
    let (peer, own, shared) = (memory(1), memory(2), shared());
    export(&peer, &[1, 2]).await;
    let places = [Place::new(peer.clone()), Place::new(peer.clone())];
    let home = Place::new(own.clone());
    let mut meshes = places.clone().map(|place| {
        let written = Written::start(mesh(1), &home, &shared);
        written.with(|mesh| mesh.add("c2"));
        let copy = copy("c2", &place, &written, &shared);
        (written, copy)
    });
    pass(30, &shared, &[&own]).await;
    let leads = meshes[0].0.with(|mesh| mesh.status().leads);
    let (first, second) = if leads { (0, 1) } else { (1, 0) };
    // One that stands by does not reach the peer, where things change.
    places[second].set(None);
    pass(1, &shared, &[&own]).await;
    let (_, changed) = address(3, 1);
    put(&peer, address(2, 1).0, &changed).await;
    put(&peer, address(2, 3).0, address(2, 3).1).await;
    delete(&peer, address(2, 2).0).await;
    pass(1, &shared, &[&own]).await;
    let now = [copied(&own, 1), copied(&own, 2), copied(&own, 3)];
    let now = futures_util::future::join_all(now).await;
    assert_eq!(now, [Some(changed), None, Some(address(2, 3).1)]);

    let is_copied = |mesh: &Kvstoremesh| mesh.has_copied("c2", EXPORTED_KINDS);
    assert!(meshes[second].0.with(|mesh| is_copied(mesh)), "by another");
    meshes[first].0.tasks.shutdown().await;
    pass(60, &shared, &[&own]).await;
    assert!(meshes[second].0.with(|mesh| mesh.status().leads));
    assert!(!meshes[second].0.with(|mesh| is_copied(mesh)), "not by it");
    let after = [copied(&own, 1), copied(&own, 2), copied(&own, 3)];
    assert_eq!(futures_util::future::join_all(after).await, now);
    // Once it reaches the peer it goes by what is there.
    delete(&peer, address(2, 1).0).await;
    places[second].set(Some(peer));
    pass(60, &shared, &[&own]).await;
    assert_eq!(copied(&own, 1).await, None);
    assert_eq!(copied(&own, 3).await, now[2]);
    assert!(meshes[second].0.with(|mesh| is_copied(mesh)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_came_back_is_not_drained_by_who_takes_over() {
    let (peer, own, shared) = (memory(1), memory(2), shared());
    export(&peer, &[1]).await;
    let (place, home) = (Place::new(peer), Place::new(own.clone()));
    let mut first = Written::start(mesh(1), &home, &shared);
    first.with(|mesh| mesh.add("c2"));
    let _first = copy("c2", &place, &first, &shared);
    pass(5, &shared, &[&own]).await;
    let second = Written::start(mesh(2), &home, &shared);
    second.with(|mesh| {
        mesh.add("c2");
        mesh.remove("c2");
        assert!(mesh.add("c2"), "nothing of it is to be put away here");
    });
    let _second = copy("c2", &place, &second, &shared);
    pass(5, &shared, &[&own]).await;
    let before = of_peer(&own, "c2").await;
    first.tasks.shutdown().await;
    pass(400, &shared, &[&own]).await;
    assert!(second.with(|mesh| mesh.status().leads));
    assert_eq!(of_peer(&own, "c2").await, before);
}

/// What a copier knew before may be a past that another copier's readers have left.
#[tokio::test(start_paused = true)]
async fn a_store_that_was_wiped_is_filled_when_the_peer_is_heard_again() {
    let (peer, own, shared) = (memory(1), memory(2), shared());
    export(&peer, &[1, 2]).await;
    let (place, home) = (Place::new(peer.clone()), Place::new(own.clone()));
    let written = Written::start(mesh(1), &home, &shared);
    written.with(|mesh| mesh.add("c2"));
    let _copy = copy("c2", &place, &written, &shared);
    pass(5, &shared, &[&own]).await;
    let before = of_peer(&own, "c2").await;
    assert_eq!(before.len(), 7);
    place.set(None);
    let wiped = memory(3);
    home.set(Some(wiped.clone()));
    pass(60, &shared, &[&wiped]).await;
    assert!(written.with(|mesh| mesh.status().leads));
    // All that is known of it.
    let unheard = "cilium/synced/c2/tombolo/unheard";
    assert_eq!(of_peer(&wiped, "c2").await, [unheard]);
    place.set(Some(peer));
    pass(60, &shared, &[&wiped]).await;
    assert_eq!(of_peer(&wiped, "c2").await, before);
}
