use std::time::Duration;

use tombolo_kvstore::{Keys, Memory, Query, Store};
use tombolo_model::{
    event::Event,
    fact::Fact,
    id::ClusterId,
    record::{Address, AddressName, ClusterConfig, Key, Name, Peer, Record, Resource},
};

use super::Export;
use crate::{Random, drive::lock, remote::Told, testing::*, writer};

const GOLDEN: &str = include_str!("../../../model/tests/golden/exported.jsonl");

fn export(name: &'static str, resources: &[Resource]) -> Export {
    let config = config(2);
    Export::new("c2", config, resources, replica(name), Random::new(3))
}

fn record(host: u16) -> (Name, Record) {
    record_at(2, host, 0)
}

/// An address of cluster `id`, one of several identities'.
pub(crate) fn record_at(id: u32, host: u16, identity: u32) -> (Name, Record) {
    let ip = format!("10.{id}.{}.{}", host / 256, host % 256);
    let name = AddressName {
        ip: ip.parse().expect("an address"),
        length: None,
    };
    let record = Address {
        name,
        host: Some(format!("192.0.2.{id}").parse().expect("an address")),
        identity: (id << 16) + 1000 + identity,
        encryption_key: 0,
        metadata: String::new(),
        namespace: String::new(),
        pod: String::new(),
        service_account: String::new(),
        ports: Vec::new(),
    };
    (Name::Address(name), Record::Address(Box::new(record)))
}

fn tell(export: &mut Export, hosts: impl IntoIterator<Item = u16>) {
    export.handle(Resource::Addresses, Event::Restart);
    for host in hosts {
        let (name, record) = record(host);
        export.handle(Resource::Addresses, Event::Upsert(name, record));
    }
    export.handle(Resource::Addresses, Event::Synced);
}

async fn addresses(memory: &Memory) -> usize {
    contents(memory, Keys::prefix("cilium/state/ip/v1/default/"))
        .await
        .len()
}

async fn has_canary(memory: &Memory) -> bool {
    let key = canary("c2", Resource::Addresses).to_string();
    memory
        .get(key.as_bytes())
        .await
        .expect("memory answers")
        .is_some()
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_the_golden_objects_is_what_cilium_writes() {
    let golden = golden(GOLDEN);
    let peer = Peer {
        cluster: "cluster1".to_owned(),
        id: ClusterId(1),
        clusters_max: 255,
    };
    let kinds = Resource::ALL
        .into_iter()
        .filter(|kind| *kind != Resource::EndpointSlices);
    let kinds: Vec<_> = kinds.collect();
    let config = &golden["cilium/cluster-config/cluster1"];
    let config = ClusterConfig::decode(config).expect("a config");
    let mut export = Export::new("cluster1", config, &kinds, replica("a"), Random::new(1));
    kinds
        .iter()
        .for_each(|kind| export.handle(*kind, Event::Restart));
    for (key, value) in &golden {
        if let Ok(Key::Record(key)) = key.parse() {
            let record = peer.read(&key, value).expect("a record");
            export.handle(
                key.name().resource(),
                Event::Upsert(key.name().clone(), record),
            );
        }
    }
    kinds
        .iter()
        .for_each(|kind| export.handle(*kind, Event::Synced));
    let (memory, shared) = (memory(1), shared());
    let _written = Written::start(export, &Place::new(memory.clone()), &shared);
    pass(2, &shared, &[&memory]).await;
    assert_eq!(written(&memory).await, golden);
    let page = memory
        .query(Query::new(Keys::all()))
        .await
        .expect("memory answers");
    assert!(page.records.iter().all(|record| record.lease.is_some()));
}

#[tokio::test(start_paused = true)]
async fn canaries_follow_the_last_key_and_leases_have_a_thousand_keys() {
    let (memory, shared) = (memory(1), shared());
    let place = Place::new(memory.clone());
    let written = Written::start(export("a", &[Resource::Addresses]), &place, &shared);
    written.with(|export| tell(export, 0..2500));
    let mut before = 0;
    while !has_canary(&memory).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
        before = addresses(&memory).await;
    }
    assert_eq!(before, 2500, "nothing is missing when the canary comes");
    pass(1, &shared, &[&memory]).await;
    assert_eq!(lock(&written.writer).status().leases, 4);

    let revision = memory
        .query(Query::new(Keys::all()))
        .await
        .expect("memory answers")
        .revision;
    written.with(|export| tell(export, 0..2500));
    pass(1, &shared, &[&memory]).await;
    let again = memory
        .query(Query::new(Keys::all()))
        .await
        .expect("memory answers")
        .revision;
    assert_eq!(again, revision, "what is there is not written again");

    written.with(|export| tell(export, 0..10));
    pass(1, &shared, &[&memory]).await;
    assert_eq!(addresses(&memory).await, 10);
    // Leases are kept alive, far beyond their time.
    pass(3000, &shared, &[&memory]).await;
    assert_eq!(addresses(&memory).await, 10);
    assert!(has_canary(&memory).await);
}

#[tokio::test(start_paused = true)]
async fn one_replica_writes_and_the_other_takes_over_without_deleting() {
    let (memory, shared) = (memory(1), shared());
    let place = Place::new(memory.clone());
    let kinds = [Resource::Addresses];
    let mut first = Written::start(export("a", &kinds), &place, &shared);
    first.with(|export| tell(export, 0..300));
    pass(2, &shared, &[&memory]).await;
    let second = Written::start(export("b", &kinds), &place, &shared);
    pass(60, &shared, &[&memory]).await;
    assert!(lock(&first.writer).status().leads && !lock(&second.writer).status().leads);

    first.tasks.shutdown().await;
    pass(30, &shared, &[&memory]).await;
    assert!(lock(&second.writer).status().leads);
    // Its source is late, for longer than the first one's leases last.
    pass(2000, &shared, &[&memory]).await;
    assert_eq!(addresses(&memory).await, 300);
    second.with(|export| tell(export, 100..200));
    pass(1, &shared, &[&memory]).await;
    assert_eq!(addresses(&memory).await, 100);
    assert!(has_canary(&memory).await);
}

#[tokio::test(start_paused = true)]
async fn a_wiped_store_and_lost_leases_are_filled_again() {
    let (one, shared) = (memory(1), shared());
    let place = Place::new(one.clone());
    let written = Written::start(export("a", &[Resource::Addresses]), &place, &shared);
    written.with(|export| tell(export, 0..300));
    pass(2, &shared, &[&one]).await;
    let two = memory(2);
    place.set(Some(two.clone()));
    pass(90, &shared, &[&two]).await;
    assert_eq!(addresses(&two).await, 300);
    assert!(has_canary(&two).await);

    for lease in two.with(|mvcc, _| mvcc.leases()) {
        two.revoke(lease).await.expect("it is there");
    }
    assert_eq!(addresses(&two).await, 0);
    pass(writer::LEASE.as_secs() / 3 + 60, &shared, &[&two]).await;
    assert_eq!(addresses(&two).await, 300);
    assert!(has_canary(&two).await);
}

#[tokio::test(start_paused = true)]
async fn readers_lose_the_config_of_a_dead_exporter_before_its_records() {
    let (memory, shared) = (memory(1), shared());
    let place = Place::new(memory.clone());
    let mut written = Written::start(export("a", &[Resource::Addresses]), &place, &shared);
    written.with(|export| tell(export, 0..300));
    pass(2, &shared, &[&memory]).await;
    let mut options = options("c2");
    options.resources = vec![Resource::Addresses];
    let mut reading = Reading::start(options, &place, &shared);
    reading.all(Duration::from_secs(1)).await;
    written.tasks.shutdown().await;
    let mut view = View::default();
    for _ in 0..2000 {
        pass(1, &shared, &[&memory]).await;
        while let Ok(told) = reading.told.try_recv() {
            for told in told {
                if let Told::Fact(Fact::Address(_, event)) = told {
                    view.take(event);
                }
            }
        }
    }
    assert_eq!((view.now().len(), view.deletions), (300, 0));
    assert_eq!(addresses(&memory).await, 0);
    assert!(reading.status().reader.stale_for > Some(Duration::from_secs(1000)));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_the_store_refuses_holds_up_no_other() {
    let (memory, shared) = (memory(1), shared());
    let place = Place::new(memory.clone());
    let written = Written::start(export("a", &[Resource::Addresses]), &place, &shared);
    written.with(|export| {
        tell(export, 0..50);
        let (name, record) = record(7);
        let Record::Address(mut address) = record else {
            panic!("an address")
        };
        address.metadata = "x".repeat(2 << 20);
        export.handle(
            Resource::Addresses,
            Event::Upsert(name, Record::Address(address)),
        );
    });
    pass(5, &shared, &[&memory]).await;
    assert_eq!(addresses(&memory).await, 49);
    assert!(has_canary(&memory).await);
    assert_eq!(lock(&written.writer).status().refused.len(), 1);
    let (name, record) = record(7);
    written.with(|export| export.handle(Resource::Addresses, Event::Upsert(name, record)));
    pass(1, &shared, &[&memory]).await;
    assert_eq!(addresses(&memory).await, 50);
    assert!(lock(&written.writer).status().refused.is_empty());
}
