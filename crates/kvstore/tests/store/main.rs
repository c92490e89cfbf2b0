//! All stores behave alike: the one in memory, the same over the wire, and a real etcd.

mod certificates;
mod ends;
mod etcdctl;
mod faults;
mod follow;
mod linear;
mod real;
mod suite;
mod together;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::Instant};
use tombolo_kvstore::{Access, Etcd, EtcdConfig, Limits, Memory, Server, TlsFiles, server::Config};

use certificates::Certificates;
use real::Real;

/// Pages small enough that the suite's lists have several.
fn client(address: &str, tls: TlsFiles) -> Etcd {
    let config = EtcdConfig {
        page_size: 10,
        ..EtcdConfig::new(vec![format!("https://{address}")], Some(tls))
    };
    Etcd::new(config).unwrap()
}

/// An embedded server that ends with this.
struct Embedded {
    address: String,
    _tasks: JoinSet<()>,
}

impl Embedded {
    async fn start(tls: TlsFiles, access: Option<Access>) -> Embedded {
        let access = access.map(|access| watch::channel(Arc::new(access)).1);
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: Some(tls),
            vouchers: None,
            access,
            name: "test".to_owned(),
            limits: Limits::default(),
        };
        let server = Server::bind(config).await.unwrap();
        let address = server.address().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(std::future::pending()));
        Embedded {
            address,
            _tasks: tasks,
        }
    }
}

/// Memory whose time goes with the clock.
struct Ticking {
    store: Memory,
    _tasks: JoinSet<()>,
}

impl Ticking {
    fn start() -> Ticking {
        let store = Memory::new(Limits::default(), 1);
        let memory = store.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let start = Instant::now();
            loop {
                memory.handle_timeout(start.elapsed());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Ticking {
            store,
            _tasks: tasks,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms() {
    let memory = Ticking::start();
    together::equals_memory(&memory.store).await;
    suite::all(&memory.store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_server_conforms() {
    let certificates = Certificates::make();
    let server = Embedded::start(certificates.server(), None).await;
    let store = client(&server.address, certificates.of("root"));
    together::equals_memory(&store).await;
    suite::all(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_etcd_conforms() {
    let certificates = Certificates::make();
    let etcd = Real::start(&certificates);
    let store = client(&etcd.address, certificates.of("root"));
    together::equals_memory(&store).await;
    suite::all(&store).await;
}
