//! Stores in memory behind links that tests cut, and a world that keeps what it is told.

mod link;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tombolo_kvstore::{Delete, Keys, Limits, Memory, Put, Query, Store};
use tombolo_model::{
    event::Event,
    id::ClusterId,
    record::{
        Address, AddressName, Capabilities, ClusterConfig, Key, Name, Node, NodeAddress, RecordKey,
        Resource, Tree,
    },
};

use crate::{
    Random, Scope,
    drive::{self, Shared, Signals, Wish, Writing, lock},
    export::Lock,
    reader::Options,
    remote::{Remote, Told},
};
pub(crate) use link::Place;

pub(crate) fn memory(seed: u64) -> Memory {
    Memory::new(Limits::default(), seed)
}

/// Writes what a test says, without leases.
pub(crate) async fn put(memory: &Memory, key: impl ToString, value: impl AsRef<[u8]>) {
    let put = Put::new(key.to_string(), value);
    memory.put(put).await.expect("memory takes it");
}

pub(crate) async fn delete(memory: &Memory, key: impl ToString) {
    let delete = Delete::new(Keys::one(key.to_string()));
    memory.delete(delete).await.expect("memory takes it");
}

pub(crate) async fn contents(memory: &Memory, keys: Keys) -> BTreeMap<String, Vec<u8>> {
    let page = memory
        .query(Query::new(keys))
        .await
        .expect("memory answers");
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    page.records
        .iter()
        .map(|record| (text(&record.key), record.value.to_vec()))
        .collect()
}

/// Keys and values as a file of the wire format's examples has them, without moments that differ in each run.
pub(crate) fn golden(text: &str) -> BTreeMap<String, Vec<u8>> {
    let lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |field: &str| line[field].as_str().expect("text").to_owned();
        (text("key"), text("value").into_bytes())
    });
    lines.map(timeless).collect()
}

/// The same of what a store holds, but for locks.
pub(crate) async fn written(memory: &Memory) -> BTreeMap<String, Vec<u8>> {
    let all = contents(memory, Keys::prefix("cilium/")).await;
    let all = all.into_iter().filter(|(key, _)| !key.ends_with("-lock"));
    all.map(timeless).collect()
}

fn timeless((key, value): (String, Vec<u8>)) -> (String, Vec<u8>) {
    let moment = key == "cilium/.heartbeat" || key.starts_with("cilium/synced/");
    (key, if moment { Vec::new() } else { value })
}

/// Lets so many seconds pass, for tasks and stores.
pub(crate) async fn pass(seconds: u64, shared: &Shared, stores: &[&Memory]) {
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for store in stores {
            store.handle_timeout(shared.start.elapsed());
        }
    }
}

/// A writer at work.
pub(crate) struct Written<W> {
    pub(crate) writer: Arc<Mutex<W>>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) tasks: JoinSet<()>,
}

impl<W: Writing + 'static> Written<W> {
    pub(crate) fn start(writer: W, place: &Place, shared: &Shared) -> Written<W> {
        let (writer, signals) = (Arc::new(Mutex::new(writer)), Arc::new(Signals::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (writer, signals) = (writer.clone(), signals.clone());
            let (place, start) = (place.clone(), shared.start);
            async move { drive::write(&*writer, start, &place, &signals).await }
        });
        Written {
            writer,
            signals,
            tasks,
        }
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut W) -> T) -> T {
        let answer = change(&mut lock(&self.writer));
        self.signals.work.notify_one();
        answer
    }
}

pub(crate) fn replica(name: &'static str) -> Lock {
    Lock {
        holder: name.into(),
        epoch: 1_790_000_000,
    }
}

pub(crate) fn config(id: u32) -> ClusterConfig {
    ClusterConfig {
        id,
        capabilities: Capabilities {
            synced_canaries: true,
            max_connected_clusters: 255,
            ..Capabilities::default()
        },
        ..ClusterConfig::default()
    }
}

pub(crate) fn config_key(cluster: &str) -> Key {
    Key::ClusterConfig {
        cluster: cluster.to_owned(),
    }
}

pub(crate) fn canary(cluster: &str, resource: Resource) -> Key {
    Key::Synced {
        cluster: cluster.to_owned(),
        tree: Tree::State,
        resource,
    }
}

pub(crate) fn address(cluster: u32, host: u8) -> (Key, Vec<u8>) {
    address_of(cluster, host, "")
}

pub(crate) fn address_of(cluster: u32, host: u8, namespace: &str) -> (Key, Vec<u8>) {
    let ip = format!("10.{cluster}.0.{host}")
        .parse()
        .expect("an address");
    let name = AddressName { ip, length: None };
    let address = Address {
        name,
        host: Some(format!("192.0.2.{cluster}").parse().expect("an address")),
        identity: (cluster << 16) + 1000 + u32::from(host),
        encryption_key: 0,
        metadata: String::new(),
        namespace: namespace.to_owned(),
        pod: String::new(),
        service_account: String::new(),
        ports: Vec::new(),
    };
    let key = RecordKey::new(Tree::State, "", Name::Address(name));
    (Key::Record(key), address.encode())
}

pub(crate) fn node(cluster: &str, id: u32, name: &str, health: Option<&str>) -> (Key, Vec<u8>) {
    let node = Node {
        name: name.to_owned(),
        cluster: cluster.to_owned(),
        cluster_id: id,
        addresses: vec![NodeAddress {
            kind: NodeAddress::INTERNAL.to_owned(),
            ip: Some(format!("192.0.2.{id}").parse().expect("an address")),
        }],
        health_v4: health.map(|ip| ip.parse().expect("an address")),
        ..Node::default()
    };
    let key = RecordKey::new(Tree::State, cluster, Name::Node(name.to_owned()));
    (Key::Record(key), node.encode())
}

pub(crate) fn options(cluster: &str) -> Options {
    Options {
        cluster: cluster.to_owned(),
        own: ClusterId(1),
        ours: false,
        clusters_max: 255,
        resources: vec![Resource::Nodes, Resource::Addresses],
        scope: Scope::All,
    }
}

/// Keeps sets as a world does: what a snapshot does not repeat is swept.
#[derive(Debug)]
pub(crate) struct View<K, V> {
    generation: u64,
    entries: BTreeMap<K, (u64, V)>,
    pub(crate) deletions: usize,
}

impl<K: Ord, V> Default for View<K, V> {
    fn default() -> Self {
        View {
            generation: 0,
            entries: BTreeMap::new(),
            deletions: 0,
        }
    }
}

impl<K: Ord + Clone, V: Clone> View<K, V> {
    pub(crate) fn take(&mut self, event: Event<K, V>) {
        let before = self.entries.len();
        match event {
            Event::Restart => self.generation += 1,
            Event::Upsert(key, value) => {
                self.entries.insert(key, (self.generation, value));
                return;
            }
            Event::Delete(key) => {
                self.entries.remove(&key);
            }
            Event::Synced => {
                let now = self.generation;
                self.entries.retain(|_, (generation, _)| *generation == now);
            }
        }
        self.deletions += before - self.entries.len();
    }

    pub(crate) fn now(&self) -> BTreeMap<K, V> {
        let entries = self.entries.iter();
        entries
            .map(|(key, (_, value))| (key.clone(), value.clone()))
            .collect()
    }
}

/// A remote that reads a place, and all that it told.
pub(crate) struct Reading {
    pub(crate) remote: Arc<Mutex<Remote>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) wish: watch::Sender<Wish>,
    pub(crate) told: mpsc::Receiver<Vec<Told>>,
    pub(crate) tasks: JoinSet<()>,
}

pub(crate) fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Instant::now()))
}

impl Reading {
    pub(crate) fn start(options: Options, place: &Place, shared: &Arc<Shared>) -> Reading {
        let now = shared.start.elapsed();
        let remote = Remote::new(options, Random::new(7), now);
        let remote = Arc::new(Mutex::new(remote));
        let wish = watch::Sender::new(Wish::Read);
        let (out, told) = mpsc::channel(4);
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (remote, shared, place) = (remote.clone(), shared.clone(), place.clone());
            let wish = wish.subscribe();
            async move { drive::read(&*remote, &shared, &place, wish, out).await }
        });
        Reading {
            remote,
            shared: shared.clone(),
            wish,
            told,
            tasks,
        }
    }

    pub(crate) fn status(&self) -> crate::remote::Status {
        lock(&self.remote).status(self.shared.start.elapsed())
    }

    /// All that is told before nothing happens for so long.
    pub(crate) async fn all(&mut self, quiet: Duration) -> Vec<Told> {
        let mut all = Vec::new();
        while let Ok(Some(told)) = tokio::time::timeout(quiet, self.told.recv()).await {
            all.extend(told);
        }
        all
    }
}
