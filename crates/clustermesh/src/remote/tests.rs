use std::{collections::BTreeMap, time::Duration};

use tombolo_kvstore::{Memory, Revision, Store};
use tombolo_model::{
    fact::{Address, AddressKey, Fact, Node, NodeKey, Source},
    id::ClusterId,
    record::{Key, Resource, Tree},
};

use super::Told;
use crate::{
    Scope,
    drive::{Wish, lock},
    reader::{Options, Phase},
    testing::*,
};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct World {
    nodes: BTreeMap<Source, View<NodeKey, Node>>,
    addresses: BTreeMap<Source, View<AddressKey, Address>>,
    malformed: usize,
    /// As it was told, in order.
    stale: Vec<bool>,
}

impl World {
    fn take(&mut self, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Fact(Fact::Node(source, event)) => {
                    self.nodes.entry(source).or_default().take(event);
                }
                Told::Fact(Fact::Address(source, event)) => {
                    self.addresses.entry(source).or_default().take(event);
                }
                Told::Fact(Fact::Malformed { .. }) => self.malformed += 1,
                Told::Fact(Fact::Stale(_, is_stale)) => self.stale.push(is_stale),
                told => panic!("not asked for: {told:?}"),
            }
        }
    }

    /// The addresses of a cluster, as text.
    fn addresses(&self, id: u16) -> Vec<String> {
        let view = self.addresses.get(&Source::Cluster(ClusterId(id)));
        let view = view.map(View::now).unwrap_or_default();
        view.keys()
            .map(|key| key.prefix.addr().to_string())
            .collect()
    }

    fn nodes(&self, id: u16) -> usize {
        let view = self.nodes.get(&Source::Cluster(ClusterId(id)));
        view.map_or(0, |view| view.now().len())
    }

    fn deletions(&self) -> usize {
        let nodes = self.nodes.values().map(|view| view.deletions);
        nodes
            .chain(self.addresses.values().map(|view| view.deletions))
            .sum()
    }
}

async fn fill(memory: &Memory, id: u32, hosts: &[u8]) {
    put(memory, config_key("c2"), config(id).encode()).await;
    let (key, value) = node("c2", id, "n1", Some("10.2.0.250"));
    put(memory, key, value).await;
    for host in hosts {
        let (key, value) = address(id, *host);
        put(memory, key, value).await;
    }
    put(memory, canary("c2", Resource::Nodes), "now").await;
    put(memory, canary("c2", Resource::Addresses), "now").await;
}

async fn peer(hosts: &[u8]) -> (Memory, Place, Reading, World) {
    let memory = memory(1);
    fill(&memory, 2, hosts).await;
    let place = Place::new(memory.clone());
    let mut reading = Reading::start(options("c2"), &place, &shared());
    let mut world = World::default();
    world.take(reading.all(SECOND).await);
    (memory, place, reading, world)
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_listed_and_what_comes_is_followed() {
    let (memory, _place, mut reading, mut world) = peer(&[1, 2, 3, 4, 5, 6, 7]).await;
    let mut expected: Vec<String> = (1..=7).map(|host| format!("10.2.0.{host}")).collect();
    expected.push("10.2.0.250".to_owned());
    assert_eq!(world.addresses(2), expected);
    assert_eq!(world.nodes(2), 1);
    let status = reading.status();
    assert_eq!(
        (status.reader.phase, status.reader.stale_for),
        (Phase::Ready, None)
    );

    delete(&memory, address(2, 3).0).await;
    let (key, value) = address(2, 9);
    put(&memory, key, value).await;
    let (key, value) = node("c2", 2, "n1", Some("10.2.0.251"));
    put(&memory, key, value).await;
    world.take(reading.all(SECOND).await);
    let expected = [1, 2, 4, 5, 6, 7, 9, 251].map(|host| format!("10.2.0.{host}"));
    assert_eq!(world.addresses(2), expected);
    let kinds = reading.status().reader.kinds;
    assert_eq!(
        kinds.iter().map(|kind| kind.records).collect::<Vec<_>>(),
        [1, 7]
    );
}

#[tokio::test(start_paused = true)]
async fn whether_what_is_known_may_be_out_of_date_is_told_when_it_changes() {
    let (memory, place, mut reading, mut world) = peer(&[1]).await;
    assert_eq!(world.stale, [false]);
    let (key, value) = address(2, 2);
    put(&memory, key, value).await;
    world.take(reading.all(SECOND).await);
    assert_eq!(world.stale, [false]);
    place.set(None);
    world.take(reading.all(SECOND).await);
    assert_eq!(world.stale, [false, true]);
    place.set(Some(memory.clone()));
    world.take(reading.all(SECOND * 90).await);
    assert_eq!(world.stale, [false, true, false]);
    // What there is of it stays, but who writes it starts over or is dead.
    delete(&memory, canary("c2", Resource::Addresses)).await;
    world.take(reading.all(SECOND).await);
    assert_eq!(world.stale, [false, true, false, true]);
    reading.wish.send_replace(Wish::Remove);
    world.take(reading.all(SECOND).await);
    assert_eq!(world.stale, [false, true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn of_a_copy_it_is_told_by_whoever_copies() {
    let unheard = Key::Unheard {
        cluster: "c2".into(),
    };
    let memory = memory(1);
    let mut config = config(2);
    config.capabilities.cached = true;
    put(&memory, config_key("c2"), config.encode()).await;
    for resource in [Resource::Nodes, Resource::Addresses] {
        let canary = Key::Synced {
            cluster: "c2".into(),
            tree: Tree::Cache,
            resource,
        };
        put(&memory, canary, "now").await;
    }
    put(&memory, &unheard, "unheard").await;
    let mut reading = Reading::start(options("c2"), &Place::new(memory.clone()), &shared());
    let mut world = World::default();
    world.take(reading.all(SECOND).await);
    assert_eq!(world.stale, [true]);
    assert_eq!(reading.status().reader.phase, Phase::Ready);
    // Since when is not known, but since the start it is.
    world.take(reading.all(SECOND * 20).await);
    let behind = |reading: &Reading| reading.status().reader.stale_for;
    assert!(behind(&reading).is_some_and(|it| it >= SECOND * 20 && it < SECOND * 22));
    delete(&memory, &unheard).await;
    world.take(reading.all(SECOND * 60).await);
    assert_eq!(world.stale, [true, false]);
    assert_eq!(behind(&reading), None);
    put(&memory, &unheard, "unheard").await;
    world.take(reading.all(SECOND * 10).await);
    assert_eq!(world.stale, [true, false, true]);
    assert!(behind(&reading).is_some_and(|it| it >= SECOND * 9 && it <= SECOND * 10));
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_canary_is_not_listed_until_it_has_one() {
    let memory = memory(1);
    fill(&memory, 2, &[1]).await;
    delete(&memory, canary("c2", Resource::Addresses)).await;
    let mut reading = Reading::start(options("c2"), &Place::new(memory.clone()), &shared());
    let mut world = World::default();
    world.take(reading.all(SECOND).await);
    assert_eq!(
        (world.nodes(2), world.addresses(2).len()),
        (1, 1),
        "the node's own only"
    );
    assert_eq!(reading.status().reader.phase, Phase::Reading);
    put(&memory, canary("c2", Resource::Addresses), "now").await;
    world.take(reading.all(SECOND).await);
    assert_eq!(world.addresses(2).len(), 2);
    assert_eq!(reading.status().reader.phase, Phase::Ready);
}

/// Who writes a kind may start over many times without a change of what there is.
#[tokio::test(start_paused = true)]
async fn a_kind_whose_canary_goes_is_not_watched_meanwhile() {
    let (memory, _place, mut reading, mut world) = peer(&[1]).await;
    let watches = || memory.with(|store, _| store.watches());
    let before = watches();
    for _ in 0..3 {
        delete(&memory, canary("c2", Resource::Addresses)).await;
        world.take(reading.all(SECOND).await);
        assert_eq!(watches(), before - 1);
        put(&memory, canary("c2", Resource::Addresses), "now").await;
        world.take(reading.all(SECOND).await);
        assert_eq!(watches(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn peers_that_cannot_be_meshed_are_refused_with_a_reason() {
    let table: [(&[u8], &str); 8] = [
        (br#"{"id":0,"capabilities":{}}"#, "has no number"),
        (br#"{"capabilities":{}}"#, "has no number"),
        (br#"{"id":1,"capabilities":{}}"#, "is our own"),
        (br#"{"id":256,"capabilities":{}}"#, "is above 255"),
        (br#"{"id":4000000000,"capabilities":{}}"#, "is above 255"),
        (
            br#"{"id":2,"capabilities":{"maxConnectedClusters":511}}"#,
            "a mesh of 511 clusters",
        ),
        (
            br#"{"id":2,"capabilities":{"endpointSlicesExportMode":"by-post"}}"#,
            "unknown way `by-post`",
        ),
        (b"{", "config can't be read"),
    ];
    for (value, reason) in table {
        let memory = memory(1);
        fill(&memory, 2, &[1]).await;
        put(&memory, config_key("c2"), value).await;
        let mut reading = Reading::start(options("c2"), &Place::new(memory), &shared());
        assert_eq!(reading.all(SECOND).await, [], "{reason}");
        let trouble = reading.status().reader.trouble.unwrap_or_default();
        assert!(
            trouble.contains(reason),
            "{trouble:?} should say {reason:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_cluster_is_read_if_it_has_our_number() {
    let ours = |own| Options {
        own: ClusterId(own),
        ours: true,
        ..options("c2")
    };
    let memory = memory(1);
    fill(&memory, 2, &[1]).await;
    let place = Place::new(memory.clone());
    let shared = shared();
    let mut other = Reading::start(ours(1), &place, &shared);
    assert_eq!(other.all(SECOND).await, []);
    let trouble = other.status().reader.trouble.unwrap_or_default();
    assert!(
        trouble.contains("number is 2, but here it is 1"),
        "{trouble}"
    );

    let mut reading = Reading::start(ours(2), &place, &shared);
    let mut world = World::default();
    world.take(reading.all(SECOND).await);
    assert_eq!(reading.status().reader.phase, Phase::Ready);
    assert_eq!(
        world.addresses(2),
        ["10.2.0.1", "10.2.0.250"].map(str::to_owned)
    );
    put(&memory, address(2, 2).0, address(3, 2).1).await;
    world.take(reading.all(SECOND).await);
    let rejects = &reading.status().rejects[&Resource::Addresses];
    assert_eq!(rejects.count(), 1, "of another cluster's range");

    // A peer that says it is us is refused as ever, and does not disturb what is ours.
    let mut liar = Reading::start(
        Options {
            own: ClusterId(2),
            ..options("c2")
        },
        &place,
        &shared,
    );
    assert_eq!(liar.all(SECOND).await, []);
    let trouble = liar.status().reader.trouble.unwrap_or_default();
    assert!(trouble.contains("is our own"), "{trouble}");
    assert_eq!(lock(&shared.ids).holder(ClusterId(2)), Some("c2"));
    reading.wish.send_replace(Wish::Remove);
    world.take(reading.all(SECOND).await);
    assert_eq!((world.nodes(2), world.addresses(2).len()), (0, 0));
    assert_eq!(lock(&shared.ids).holder(ClusterId(2)), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_scope_is_as_if_it_were_not_there() {
    let of = |host, namespace| address_of(2, host, namespace);
    let memory = memory(1);
    fill(&memory, 2, &[]).await;
    for (host, namespace) in [(1, "shop"), (2, "private"), (3, "shop"), (4, "")] {
        put(&memory, of(host, namespace).0, of(host, namespace).1).await;
    }
    let scope = |name: &str| Scope::Namespaces([name.to_owned()].into());
    let options = Options {
        scope: scope("shop"),
        ..options("c2")
    };
    let mut reading = Reading::start(options, &Place::new(memory.clone()), &shared());
    let mut world = World::default();
    world.take(reading.all(SECOND).await);
    let hosts = |hosts: &[u8]| {
        let hosts = hosts.iter().map(|host| format!("10.2.0.{host}"));
        hosts.collect::<Vec<_>>()
    };
    assert_eq!(world.addresses(2), hosts(&[1, 3, 4, 250]));

    // One address changes hands and leaves the scope, another comes into it, a third comes and is out of it.
    for (host, namespace) in [(1, "private"), (2, "shop"), (5, "private")] {
        put(&memory, of(host, namespace).0, of(host, namespace).1).await;
    }
    world.take(reading.all(SECOND).await);
    assert_eq!(world.addresses(2), hosts(&[2, 3, 4, 250]));
    delete(&memory, of(5, "").0).await;
    world.take(reading.all(SECOND).await);
    assert!(reading.status().rejects.is_empty());

    lock(&reading.remote).set_scope(scope("private"));
    reading.wish.send_replace(Wish::Anew);
    world.take(reading.all(SECOND).await);
    assert_eq!(world.addresses(2), hosts(&[1, 4, 250]));
    lock(&reading.remote).set_scope(Scope::All);
    reading.wish.send_replace(Wish::Anew);
    world.take(reading.all(SECOND).await);
    assert_eq!(world.addresses(2), hosts(&[1, 2, 3, 4, 250]));
    assert_eq!(world.nodes(2), 1);
}

#[tokio::test(start_paused = true)]
async fn one_number_is_one_peers_until_it_is_removed() {
    let (_, _place, mut first, mut world) = peer(&[1]).await;
    let other = memory(2);
    put(&other, config_key("c3"), config(2).encode()).await;
    let mut second = Reading::start(options("c3"), &Place::new(other), &first.shared);
    assert_eq!(second.all(SECOND).await, []);
    let trouble = second.status().reader.trouble.unwrap_or_default();
    assert!(
        trouble.contains("number 2 is that of `c2` too"),
        "{trouble}"
    );

    first.wish.send_replace(Wish::Remove);
    world.take(first.all(SECOND).await);
    assert_eq!((world.nodes(2), world.addresses(2).len()), (0, 0));
    assert!(first.tasks.join_next().await.is_some_and(|end| end.is_ok()));
    second.all(90 * SECOND).await;
    assert_eq!(second.status().reader.id, Some(ClusterId(2)));
}

/// Whoever has it next is heard by another way, and must not be heard before.
#[tokio::test(start_paused = true)]
async fn a_number_is_taken_until_its_end_was_heard() {
    let (_, _place, mut first, mut world) = peer(&[1]).await;
    let shared = first.shared.clone();
    let holder = || lock(&shared.ids).holder(ClusterId(2)).map(str::to_owned);
    first.wish.send_replace(Wish::Remove);
    tokio::time::sleep(SECOND).await;
    assert_eq!(holder().as_deref(), Some("c2"), "nobody has listened");
    let gone = first.told.recv().await.expect("its end is told");
    tokio::time::sleep(SECOND).await;
    assert_eq!(holder().as_deref(), Some("c2"), "it is being worked off");
    world.take(gone);
    world.take(first.all(SECOND).await);
    assert_eq!((world.nodes(2), world.addresses(2).len()), (0, 0));
    assert_eq!(holder(), None);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_while_a_peer_is_away_or_half_filled() {
    let (_, place, mut reading, mut world) = peer(&[1, 2]).await;
    let before = (world.nodes(2), world.addresses(2));
    place.set(None);
    world.take(reading.all(100 * SECOND).await);
    let stale = reading.status().reader.stale_for.unwrap_or_default();
    assert!(stale >= 100 * SECOND && stale < 110 * SECOND, "{stale:?}");
    let counts = |reading: &Reading| {
        let kinds = reading.status().reader.kinds;
        let counts = kinds.iter().map(|kind| (kind.records, kind.synced));
        counts.collect::<Vec<_>>()
    };
    assert_eq!(counts(&reading), [(1, false), (2, false)]);

    // A new store, which its writer has not filled yet.
    let wiped = memory(2);
    put(&wiped, config_key("c2"), config(2).encode()).await;
    place.set(Some(wiped.clone()));
    world.take(reading.all(100 * SECOND).await);
    assert_eq!((world.nodes(2), world.addresses(2)), before);
    assert_eq!(world.deletions(), 0);
    assert_eq!(counts(&reading), [(1, false), (2, false)]);

    fill(&wiped, 2, &[2, 3]).await;
    world.take(reading.all(SECOND).await);
    assert_eq!(
        world.addresses(2),
        ["10.2.0.2", "10.2.0.3", "10.2.0.250"].map(str::to_owned)
    );
    assert_eq!(counts(&reading), [(1, true), (2, true)]);
    assert_eq!(reading.status().reader.stale_for, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_by_compaction_is_swept() {
    let (memory, _place, mut reading, mut world) = peer(&[1, 2, 3]).await;
    delete(&memory, address(2, 1).0).await;
    delete(&memory, address(2, 2).0).await;
    put(&memory, "elsewhere", "").await;
    memory
        .compact(Revision(10))
        .await
        .expect("there are that many");
    world.take(reading.all(SECOND).await);
    assert_eq!(
        world.addresses(2),
        ["10.2.0.3", "10.2.0.250"].map(str::to_owned)
    );
    assert_eq!(reading.status().reader.failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_heartbeat_is_stale_but_kept() {
    let (memory, _place, mut reading, mut world) = peer(&[1]).await;
    for _ in 0..10 {
        put(&memory, Key::Heartbeat, "now").await;
        world.take(reading.all(60 * SECOND).await);
    }
    assert_eq!(reading.status().reader.failures, 0);
    world.take(reading.all(61 * SECOND).await);
    let status = reading.status().reader;
    assert_eq!(status.failures, 1);
    assert_eq!(world.deletions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_changed_its_number_is_drained_first() {
    let (memory, _place, mut reading, mut world) = peer(&[1]).await;
    delete(&memory, address(2, 1).0).await;
    fill(&memory, 3, &[5]).await;
    world.take(reading.all(5 * SECOND).await);
    assert_eq!((world.nodes(2), world.addresses(2).len()), (0, 0));
    assert_eq!((world.nodes(3), world.addresses(3).len()), (1, 2));
    assert_eq!(lock(&reading.shared.ids).holder(ClusterId(2)), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_has_not_written_yet_is_told() {
    let memory = memory(1);
    let mut reading = Reading::start(options("c2"), &Place::new(memory.clone()), &shared());
    let told = |reading: &Reading, expected: &str| {
        let status = reading.status().reader;
        let trouble = status.trouble.unwrap_or_default();
        assert!(trouble.contains(expected), "{trouble}");
        assert!(
            expected.is_empty() == status.hint.is_empty(),
            "{}",
            status.hint
        );
        (status.phase, status.failures)
    };
    for _ in 0..2 {
        put(&memory, Key::Heartbeat, "now").await;
        reading.all(89 * SECOND).await;
    }
    let absent = "no cilium/cluster-config/c2";
    assert_eq!(told(&reading, absent), (Phase::Reading, 0));
    // It is asked again by a new connection after three minutes.
    reading.all(5 * SECOND).await;
    assert_eq!(told(&reading, absent).1, 1);

    put(&memory, config_key("c2"), config(2).encode()).await;
    reading.all(SECOND).await;
    let phase = told(&reading, "that all of its nodes, ip are in its store").0;
    assert_eq!(phase, Phase::Reading);
    put(&memory, canary("c2", Resource::Nodes), "now").await;
    reading.all(SECOND).await;
    told(&reading, "that all of its ip are in its store");
    put(&memory, canary("c2", Resource::Addresses), "now").await;
    reading.all(SECOND).await;
    assert_eq!(told(&reading, "").0, Phase::Ready);
}

#[tokio::test(start_paused = true)]
async fn bad_records_reject_only_themselves_until_they_are_mended() {
    let (memory, _place, mut reading, mut world) = peer(&[1, 2]).await;
    let key = |host| address(2, host).0;
    put(&memory, key(1), "{").await;
    put(&memory, key(3), address(3, 3).1).await;
    let foreign = String::from_utf8(address(3, 4).1)
        .expect("JSON")
        .replace("10.3.", "10.2.");
    put(&memory, key(4), foreign).await;
    put(
        &memory,
        key(5),
        vec![b' '; 2 << 20].get(..1 << 20).unwrap_or_default(),
    )
    .await;
    put(&memory, "cilium/state/ip/v1/default/not-an-address", "{}").await;
    world.take(reading.all(SECOND).await);
    assert_eq!(
        world.addresses(2),
        ["10.2.0.2", "10.2.0.250"].map(str::to_owned)
    );
    let rejects = &reading.status().rejects[&Resource::Addresses];
    let reasons = [
        "identity-out-of-range",
        "key",
        "key-disagrees",
        "malformed",
        "too-long",
    ];
    let expected: BTreeMap<_, _> = reasons.map(|label| (label, 1)).into();
    assert_eq!(rejects.by_reason(), expected);
    assert_eq!(world.malformed, 5);

    for host in [1, 3, 4, 5] {
        put(&memory, key(host), address(2, host).1).await;
    }
    delete(&memory, "cilium/state/ip/v1/default/not-an-address").await;
    world.take(reading.all(SECOND).await);
    assert_eq!(world.addresses(2).len(), 6);
    assert!(reading.status().rejects.is_empty());
}
