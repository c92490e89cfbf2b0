//! Files, real stores and the world that hears of them, without a kernel.

use super::*;
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tombolo_kvstore::{Limits, Memory, Put, Server, Store as _, server};
use tombolo_model::{
    World,
    config::Config,
    drive::{Recorder, step},
    net::RoutingMode,
    world::Recovery,
};

const PATIENCE: Duration = Duration::from_secs(30);

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tombolo-clusters-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("peers")).unwrap();
        Scratch(path)
    }

    fn peer(&self, name: &str, store: SocketAddr) {
        self.write(&format!("peers/{name}"), store);
    }

    fn write(&self, file: &str, store: SocketAddr) {
        fs::write(self.0.join(file), format!("endpoints: [http://{store}]\n")).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A store over the network, which ends with this.
struct Store {
    memory: Memory,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
    _task: JoinSet<()>,
}

impl Store {
    async fn start(address: &str) -> Store {
        let config = server::Config {
            listen: address.parse().unwrap(),
            tls: None,
            vouchers: None,
            access: None,
            name: "store".into(),
            limits: Limits::default(),
        };
        let server = Server::bind(config).await.unwrap();
        let (memory, address) = (server.store(), server.address());
        let (stop, stopped) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(server.run(async { drop(stopped.await) }));
        Store {
            memory,
            address,
            _stop: stop,
            _task: task,
        }
    }

    async fn put(&self, key: &str, value: String) {
        self.memory.put(Put::new(key, value)).await.unwrap();
    }

    /// A node and two pods of it, as a cluster's own export writes them.
    async fn fill(&self, id: u16) {
        let config = r#""capabilities":{"syncedCanaries":true,"maxConnectedClusters":255}"#;
        self.put(
            &format!("cilium/cluster-config/c{id}"),
            format!(r#"{{"id":{id},{config}}}"#),
        )
        .await;
        self.put(
            &format!("cilium/state/nodes/v1/c{id}/n1"),
            format!(
                r#"{{"Name":"n1","Cluster":"c{id}","ClusterID":{id},"IPv4AllocCIDR":"10.{id}.1.0/24",
                "IPAddresses":[{{"Type":"InternalIP","IP":"198.18.{id}.1"}}]}}"#
            ),
        )
        .await;
        for pod in [5, 6] {
            self.put(
                &format!("cilium/state/ip/v1/default/10.{id}.1.{pod}"),
                format!(
                    r#"{{"IP":"10.{id}.1.{pod}","HostIP":"198.18.{id}.1","ID":{}}}"#,
                    (u32::from(id) << 16) | 0x100
                ),
            )
            .await;
        }
        for kind in ["nodes", "ip"] {
            let key = format!("cilium/synced/c{id}/cilium/state/{kind}/v1");
            self.put(&key, "2026-01-01T00:00:00Z".into()).await;
        }
    }
}

/// An agent without a kernel.
struct Node {
    world: World,
    kernel: Recorder,
    clusters: Clusters,
    facts: mpsc::Receiver<Vec<Fact>>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), anyhow::Error>>,
}

impl Node {
    fn start(scratch: &Scratch, own_store: bool, recorder: Recorder) -> Node {
        let own_store = own_store.then(|| scratch.0.join("own.yaml"));
        let own = own_store.iter().map(|_| Source::Cluster(ClusterId(1)));
        let config = Config {
            cluster: "c1".into(),
            cluster_id: ClusterId(1),
            clusters_max: 255,
            node: "n9".into(),
            addresses: vec!["192.0.2.9".parse().unwrap()],
            pod_ranges: vec!["10.1.9.0/24".parse().unwrap()],
            routing: RoutingMode::Tunnel,
            prefer_ipv6: false,
            pod_mtu: 1450,
            sources: own.collect(),
            reads_clusters: true,
            zone: None,
            default_global_namespace: true,
            name_service: None,
            balancing: Default::default(),
        };
        let reader = Reader {
            cluster: "c1".into(),
            cluster_id: ClusterId(1),
            clusters_max: 255,
            services: false,
        };
        let options = MeshOptions {
            clustermesh_config: Some(scratch.0.join("peers")),
            own_store,
            ..MeshOptions::default()
        };
        let (sender, facts) = mpsc::channel(4);
        let numbers = scratch.0.join("numbers");
        let start = Instant::now();
        let clusters = Clusters::new(&options, &reader, numbers, &sender, start);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for peers in clusters.own.iter().chain(&clusters.others) {
            tasks.spawn(Arc::clone(peers).follow(stop.clone()));
        }
        let mut world = World::new(config).unwrap();
        let recovery = Recovery {
            tables: recorder.tables.clone(),
            records: Vec::new(),
        };
        world.recover(recovery);
        Node {
            world,
            kernel: recorder,
            clusters,
            facts,
            stop,
            tasks,
        }
    }

    /// Hears facts until it is as expected.
    async fn until(&mut self, what: &str, expected: impl Fn(&Node) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !expected(self) {
            let status = || (self.world.status(), self.clusters.statuses());
            assert!(
                Instant::now() < deadline,
                "waiting for {what}: {:?}",
                status()
            );
            let facts = tokio::time::timeout(Duration::from_millis(20), self.facts.recv());
            for fact in facts.await.ok().flatten().unwrap_or_default() {
                let now = Duration::ZERO;
                let step = step(&mut self.world, &mut self.kernel, fact, now);
                assert_eq!(step.refused, []);
            }
        }
    }

    /// How many of a cluster's pods the kernel holds.
    fn pods(&self, id: u16) -> usize {
        let addresses = self.kernel.tables.addresses.keys();
        let prefix = format!("10.{id}.1.");
        let mut pods: Vec<String> = addresses.map(|prefix| prefix.to_string()).collect();
        pods.retain(|pod| {
            pod.starts_with(&prefix) && (pod.ends_with(".5/32") || pod.ends_with(".6/32"))
        });
        pods.len()
    }

    /// Ends as an agent does; what the kernel holds stays.
    async fn end(mut self) -> Recorder {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
        self.kernel
    }

    fn status(&self, cluster: &str) -> PeerStatus {
        let mut all = self.clusters.statuses().into_iter();
        all.find(|status| status.cluster == cluster).unwrap()
    }
}

fn numbers(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.0.join("numbers")).unwrap_or_default()
}

#[tokio::test]
async fn what_stores_tell_is_in_the_kernel_and_goes_with_their_files() {
    let scratch = Scratch::new();
    let (two, three) = (
        Store::start("127.0.0.1:0").await,
        Store::start("127.0.0.1:0").await,
    );
    two.fill(2).await;
    scratch.peer("c2", two.address);
    let mut node = Node::start(&scratch, false, Recorder::default());
    node.until("c2", |node| node.world.synced() && node.pods(2) == 2)
        .await;
    assert_eq!(numbers(&scratch), r#"{"c2":2}"#);
    let status = node.status("c2");
    assert!(status.ready, "{status:?}");
    assert_eq!(
        status.records,
        [("ip".to_owned(), 2), ("nodes".to_owned(), 1)].into()
    );

    // One that comes later is waited for, and heard.
    three.fill(3).await;
    scratch.peer("c3", three.address);
    node.until("c3", |node| node.world.synced() && node.pods(3) == 2)
        .await;
    assert_eq!(numbers(&scratch), r#"{"c2":2,"c3":3}"#);

    fs::remove_file(scratch.0.join("peers/c2")).unwrap();
    node.until("the end of c2", |node| node.pods(2) == 0).await;
    assert_eq!(numbers(&scratch), r#"{"c3":3}"#);
    assert_eq!((node.pods(3), node.world.nodes().len()), (2, 2));
    node.end().await;
}

#[tokio::test]
async fn a_start_keeps_what_is_known_of_those_that_cannot_be_reached() {
    let scratch = Scratch::new();
    let mut stores = Vec::new();
    for id in 2..=4 {
        let store = Store::start("127.0.0.1:0").await;
        store.fill(id).await;
        scratch.peer(&format!("c{id}"), store.address);
        stores.push(store);
    }
    let mut node = Node::start(&scratch, false, Recorder::default());
    node.until("all", |node| {
        node.world.synced() && node.kernel.tables.nodes.len() == 3
    })
    .await;
    let kernel = node.end().await;

    // While no agent runs, c2's store is lost, c3 changes, c4 is taken out of the mesh.
    let address = stores[0].address;
    drop(stores.remove(0));
    let gone = "cilium/state/ip/v1/default/10.3.1.6".to_owned();
    let delete = tombolo_kvstore::Delete::new(tombolo_kvstore::Keys::one(gone));
    stores[0].memory.delete(delete).await.unwrap();
    fs::remove_file(scratch.0.join("peers/c4")).unwrap();

    let mut node = Node::start(&scratch, false, kernel);
    node.until("what is stale to go", |node| {
        node.pods(3) == 1 && node.pods(4) == 0
    })
    .await;
    node.until("c2 to be tried", |node| {
        node.status("c2").failures > 0 && node.world.status().awaited == ["c2"]
    })
    .await;
    assert_eq!(node.pods(2), 2);
    let status = node.world.status();
    assert!(!status.synced);
    assert!(node.world.synced_but_for_clusters());
    assert!(status.kept > 2, "{}", status.kept);

    // It comes back with less.
    let two = Store::start(&address.to_string()).await;
    two.fill(2).await;
    let gone = "cilium/state/ip/v1/default/10.2.1.5".to_owned();
    let delete = tombolo_kvstore::Delete::new(tombolo_kvstore::Keys::one(gone));
    two.memory.delete(delete).await.unwrap();
    node.until("c2", |node| node.world.synced()).await;
    assert_eq!((node.pods(2), node.world.status().kept), (1, 0));
    assert_eq!(node.kernel.tables, node.world.desired());
    node.end().await;
}

#[tokio::test]
async fn a_file_that_is_no_use_does_not_take_a_cluster_out() {
    let scratch = Scratch::new();
    let store = Store::start("127.0.0.1:0").await;
    store.fill(2).await;
    scratch.peer("c2", store.address);
    let mut node = Node::start(&scratch, false, Recorder::default());
    node.until("c2", |node| node.world.synced()).await;
    let kernel = node.end().await;
    fs::write(scratch.0.join("peers/c2"), "endpoints: [2379]\n").unwrap();
    let mut node = Node::start(&scratch, false, kernel);
    node.until("the refusal", |node| {
        node.clusters.statuses().len() == 1 && node.world.status().awaited == ["c2"]
    })
    .await;
    assert_eq!(node.pods(2), 2);
    let status = node.status("c2");
    let trouble = status.trouble.unwrap();
    assert!(trouble.starts_with("its file names no peer: "), "{trouble}");
    assert!(status.hint.ends_with("/peers/c2"), "{}", status.hint);
    scratch.peer("c2", store.address);
    node.until("c2 again", |node| node.world.synced()).await;
    node.end().await;
}

#[tokio::test]
async fn the_own_cluster_is_read_from_its_own_store() {
    let scratch = Scratch::new();
    let store = Store::start("127.0.0.1:0").await;
    store.fill(1).await;
    // Its file is not there yet.
    let mut node = Node::start(&scratch, true, Recorder::default());
    node.until("the complaint", |node| !node.clusters.statuses().is_empty())
        .await;
    let status = node.status("c1");
    let trouble = status.trouble.unwrap();
    assert!(trouble.contains("No such file"), "{trouble}");
    assert!(status.hint.ends_with("/own.yaml"), "{}", status.hint);
    assert_eq!(node.world.status().awaited, ["c1"]);

    scratch.write("own.yaml", store.address);
    node.until("the own cluster", |node| {
        node.world.synced() && node.pods(1) == 2
    })
    .await;
    let status = node.status("c1");
    assert_eq!(
        (status.ready, status.cluster_id),
        (true, Some(ClusterId(1)))
    );
    assert_eq!(numbers(&scratch), "", "its number is ours to choose");
    // What is said of this node itself changes nothing; what stands in the file's place is no peer's.
    fs::write(scratch.0.join("own.yaml"), "certificates: []\n").unwrap();
    node.until("the refusal", |node| node.status("c1").trouble.is_some())
        .await;
    assert!(node.status("c1").ready);
    assert_eq!(node.pods(1), 2);
    node.end().await;
}

#[test]
fn numbers_outlive_the_agent_and_not_the_membership() {
    let scratch = Scratch::new();
    let file = || scratch.0.join("numbers");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut known = Known::load(file());
    known.number("c2", ClusterId(2));
    assert_eq!(
        known.awaited(),
        [].into(),
        "whom no file names is not waited for"
    );
    known.name(&names(&["c2", "c3"]));
    known.number("c2", ClusterId(2));
    assert!(known.hear("c2") && !known.hear("c2"));
    assert_eq!(known.awaited(), [("c3".into(), None)].into());

    let mut known = Known::load(file());
    known.name(&names(&["c2", "c3"]));
    let expected = [("c2".into(), Some(ClusterId(2))), ("c3".into(), None)];
    assert_eq!(known.awaited(), expected.into());
    known.name(&names(&["c3"]));
    let mut known = Known::load(file());
    known.name(&names(&["c2"]));
    assert_eq!(known.awaited(), [("c2".into(), None)].into());

    for damage in ["", "{", "[1]", r#"{"c2":70000}"#] {
        fs::write(file(), damage).unwrap();
        let mut known = Known::load(file());
        known.name(&names(&["c2"]));
        assert_eq!(known.awaited(), [("c2".into(), None)].into(), "{damage}");
        known.number("c2", ClusterId(2));
        assert_eq!(fs::read_to_string(file()).unwrap(), r#"{"c2":2}"#);
    }
    // Nowhere to write is no reason to end.
    let mut known = Known::load(Path::new("/nowhere/numbers").to_owned());
    known.name(&names(&["c2"]));
    known.number("c2", ClusterId(2));
    assert_eq!(known.awaited(), [("c2".into(), Some(ClusterId(2)))].into());
}
