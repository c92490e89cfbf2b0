//! Three clusters' facts on their way from exporter by copier to agent, while links break, stores are wiped and
//! compacted, and replicas die: what an agent knows becomes the truth, and never loses what is true.

use std::collections::BTreeMap;

use tombolo_kvstore::{Query, Store};
use tombolo_model::{
    event::Event,
    fact::{Fact, Source},
    id::ClusterId,
    record::{Name, Record, Resource},
};

use super::*;
use crate::{
    export::{Export, tests::record_at},
    remote::Told,
};

const SEEDS: u64 = 24;
const STEPS: u64 = 60;

/// A cluster of which we know the truth.
struct Cluster {
    name: &'static str,
    truth: BTreeMap<Name, Record>,
    /// Where readers find its store, and where its exporter does.
    place: Place,
    desk: Place,
    store: Memory,
    written: Written<Export>,
}

impl Cluster {
    fn new(name: &'static str, id: u32, shared: &Shared) -> Cluster {
        let store = memory(u64::from(id));
        let place = Place::new(store.clone());
        let desk = Place::new(store.clone());
        let written = Written::start(exporter(name, id, 0), &desk, shared);
        let mut cluster = Cluster {
            name,
            truth: BTreeMap::new(),
            place,
            desk,
            store,
            written,
        };
        cluster.tell_all();
        cluster
    }

    /// A snapshot, as after a restart of what watches the cluster.
    fn tell_all(&mut self) {
        let truth = self.truth.clone();
        self.written.with(|export| {
            export.handle(Resource::Addresses, Event::Restart);
            for (name, record) in truth {
                export.handle(Resource::Addresses, Event::Upsert(name, record));
            }
            export.handle(Resource::Addresses, Event::Synced);
        });
    }

    fn change(&mut self, id: u32, random: &mut Random) {
        let (name, record) = record_at(id, random.below(40) as u16, random.below(3) as u32);
        let event = if random.below(3) > 0 {
            self.truth.insert(name.clone(), record.clone());
            Event::Upsert(name, record)
        } else {
            self.truth.remove(&name);
            Event::Delete(name)
        };
        self.written
            .with(|export| export.handle(Resource::Addresses, event));
    }
}

fn exporter(name: &'static str, id: u32, seed: u64) -> Export {
    let random = Random::new(seed);
    Export::new(
        name,
        config(id),
        &[Resource::Addresses],
        replica("a"),
        random,
    )
}

/// What the agent knows, beside all that was ever true.
#[derive(Default)]
struct Known {
    views: BTreeMap<Source, View<String, u32>>,
}

impl Known {
    fn take(&mut self, told: Told) {
        let Told::Fact(Fact::Address(source, event)) = told else {
            return;
        };
        let event = match event {
            Event::Restart => Event::Restart,
            Event::Synced => Event::Synced,
            Event::Delete(key) => Event::Delete(key.prefix.addr().to_string()),
            Event::Upsert(key, value) => {
                Event::Upsert(key.prefix.addr().to_string(), value.identity.0)
            }
        };
        self.views.entry(source).or_default().take(event);
    }

    fn of(&self, id: u32) -> BTreeMap<String, u32> {
        let view = self.views.get(&Source::Cluster(ClusterId(id as u16)));
        view.map(View::now).unwrap_or_default()
    }
}

fn as_known(truth: &BTreeMap<Name, Record>) -> BTreeMap<String, u32> {
    let known = truth.iter().map(|(name, record)| match record {
        Record::Address(address) => (name.to_string(), address.identity),
        record => panic!("not told: {record:?}"),
    });
    known.collect()
}

#[tokio::test(start_paused = true)]
async fn whatever_breaks_agents_come_to_know_the_truth_and_keep_what_is_true() {
    for seed in 0..SEEDS {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let (mut random, shared) = (Random::new(seed), shared());
    let names = [("c2", 2), ("c3", 3)];
    let mut clusters = names.map(|(name, id)| Cluster::new(name, id, &shared));
    // Never changed nor deleted: it must be known from the first time to the end.
    let lasting = names.map(|(_, id)| record_at(id, 200, 0));
    for (cluster, (name, record)) in clusters.iter_mut().zip(lasting) {
        cluster.truth.insert(name, record);
        cluster.tell_all();
    }
    let mut own = memory(100);
    let (home, desk) = (Place::new(own.clone()), Place::new(own.clone()));
    let mut mesh = start_mesh(seed, &desk, &shared, &clusters);
    let mut known = Known::default();
    let mut readings = names.map(|(name, _)| {
        let mut options = options(name);
        options.resources = vec![Resource::Addresses];
        Reading::start(options, &home, &shared)
    });
    let mut once = [false; 2];
    let mut wiped = 1000;
    for step in 0..STEPS {
        let (which, id) = match random.below(2) {
            0 => (0, 2),
            _ => (1, 3),
        };
        let fault = random.below(14);
        if fault == 8 {
            mesh.0.tasks.shutdown().await;
            mesh = start_mesh(seed + step, &desk, &shared, &clusters);
        }
        let cluster = &mut clusters[which];
        match fault {
            0 => cluster.place.set(None),
            1 => cluster.place.set(Some(cluster.store.clone())),
            2 => home.set(None),
            3 => home.set(Some(own.clone())),
            // The new store has a config, but nothing else before its writer finds it.
            4 => {
                wiped += 1;
                cluster.store = memory(wiped);
                put(
                    &cluster.store,
                    config_key(cluster.name),
                    config(id).encode(),
                )
                .await;
                cluster.place.set(Some(cluster.store.clone()));
                cluster.desk.set(None);
            }
            5 => {
                wiped += 1;
                own = memory(wiped);
                for (name, id) in names {
                    put(&own, config_key(name), config(id).mirrored().encode()).await;
                }
                home.set(Some(own.clone()));
                desk.set(None);
            }
            10 | 11 => {
                cluster.desk.set(Some(cluster.store.clone()));
                desk.set(Some(own.clone()));
            }
            6 => compact(&cluster.store).await,
            7 => compact(&own).await,
            9 => {
                cluster.written.tasks.shutdown().await;
                let export = exporter(cluster.name, id, step);
                cluster.written = Written::start(export, &cluster.desk, &shared);
                cluster.tell_all();
            }
            _ => {}
        }
        for _ in 0..random.below(20) {
            cluster.change(id, &mut random);
        }
        let stores = [&clusters[0].store, &clusters[1].store, &own];
        for _ in 0..random.below(30) {
            pass(1, &shared, &stores).await;
            drain(&mut readings, &mut known);
        }
        for (which, (_, id)) in names.iter().enumerate() {
            let knows = known.of(*id).contains_key(&format!("10.{id}.0.200"));
            assert!(
                knows || !once[which],
                "seed {seed}, step {step}: {id} lost what is true"
            );
            once[which] = knows;
        }
    }
    home.set(Some(own.clone()));
    desk.set(Some(own.clone()));
    for cluster in &clusters {
        cluster.desk.set(Some(cluster.store.clone()));
        cluster.place.set(Some(cluster.store.clone()));
    }
    let stores = [&clusters[0].store, &clusters[1].store, &own];
    for _ in 0..400 {
        pass(1, &shared, &stores).await;
        drain(&mut readings, &mut known);
    }
    for (cluster, (_, id)) in clusters.iter().zip(names) {
        assert_eq!(
            known.of(id),
            as_known(&cluster.truth),
            "seed {seed}, cluster {id}"
        );
    }
}

type Mesh = (
    Written<Kvstoremesh>,
    Vec<(watch::Sender<Wish>, JoinSet<()>)>,
);

fn start_mesh(seed: u64, home: &Place, shared: &Arc<Shared>, clusters: &[Cluster]) -> Mesh {
    // Another process, with numbers of its own.
    let apart = Arc::new(Shared::new(shared.start));
    *lock(&apart.ids) = crate::Ids::default();
    let written = Written::start(mesh(seed), home, shared);
    let copies = clusters.iter().map(|cluster| {
        written.with(|mesh| mesh.add(cluster.name));
        copy(cluster.name, &cluster.place, &written, &apart)
    });
    let copies = copies.collect();
    (written, copies)
}

async fn compact(store: &Memory) {
    let page = store
        .query(Query::new(Keys::one("any")))
        .await
        .expect("memory answers");
    // It may have been compacted there already.
    let _ = store.compact(page.revision).await;
}

fn drain(readings: &mut [Reading], known: &mut Known) {
    for reading in readings {
        while let Ok(told) = reading.told.try_recv() {
            told.into_iter().for_each(|told| known.take(told));
        }
    }
}
