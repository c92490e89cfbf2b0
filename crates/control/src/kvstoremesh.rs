//! `tombolo kvstoremesh`: copies the stores of a cluster's peers into its own, so that agents read one store only.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tombolo_clustermesh::{
    Scope,
    drive::{self, Signals, Wish},
    kvstoremesh::{GRACE, Kvstoremesh},
    reader::{self, Reader, Told},
};
use tombolo_model::{local::PeerStatus, record::Resource};

use crate::{
    Answer, Found, KubernetesOptions, Page, Pages, Peers, Role, Server, Supervisor,
    handed::HandedOptions,
    options::{ClusterOptions, random, replica},
    render_peers,
    rest::between_rounds,
    start_log,
    writing::{WriterStatus, render_writer},
};

#[derive(Args, Clone, Debug)]
pub struct KvstoremeshOptions {
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// Folder of the peers' files, one for each, by its name
    #[arg(
        long,
        env = "TOMBOLO_CLUSTERMESH_CONFIG",
        value_name = "DIRECTORY",
        default_value = "/var/lib/cilium/clustermesh"
    )]
    pub clustermesh_config: PathBuf,
    #[command(flatten)]
    pub handed: HandedOptions,
    #[command(flatten)]
    pub kubernetes: KubernetesOptions,
    /// Seconds that agents have to leave a peer which was taken out, before its records go from the store
    #[arg(
        long,
        env = "TOMBOLO_DRAIN_GRACE",
        value_name = "SECONDS",
        default_value_t = GRACE.as_secs(),
        value_parser = clap::value_parser!(u64).range(..=86_400)
    )]
    pub drain_grace: u64,
    /// Where /healthz, /readyz, /metrics and /status are served
    #[arg(
        long,
        env = "TOMBOLO_HEALTH_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9964"
    )]
    pub health_listen: SocketAddr,
}

/// Copies until it is asked to end. What was copied stays, until its leases end.
pub fn run(options: KvstoremeshOptions) -> Result<()> {
    start_log(options.cluster.log_format);
    options.cluster.check()?;
    let start = Instant::now();
    let peers = Arc::new(peers(&options, start));
    let looked_at = Arc::clone(&peers);
    let is_pressed = move || looked_at.is_listing() || looked_at.role.mirror.lock().is_pressed();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(between_rounds(is_pressed))
        .build();
    runtime
        .context("starting the runtime")?
        .block_on(serve(options, peers, start))
}

fn peers(options: &KvstoremeshOptions, start: Instant) -> Peers<Copies> {
    let mut mesh = Kvstoremesh::new(replica(), random());
    mesh.set_grace(Duration::from_secs(options.drain_grace));
    let mirror = Arc::new(Mirror {
        mesh: Mutex::new(mesh),
        signals: Signals::default(),
    });
    let copies = Copies {
        mirror,
        options: options.cluster.clone(),
    };
    let own = &options.cluster.cluster_name;
    Peers::new(copies, own, &options.clustermesh_config, start)
}

async fn serve(
    options: KvstoremeshOptions,
    peers: Arc<Peers<Copies>>,
    start: Instant,
) -> Result<()> {
    let handed = &options.handed;
    let handed = handed
        .open(&options.kubernetes, &options.clustermesh_config)
        .await?;
    let connect = options.cluster.connect()?;
    let health = Server::bind(options.health_listen)
        .await
        .context("give --health-listen a free address")?;
    let own = &options.cluster.cluster_name;
    let mirror = Arc::clone(&peers.role.mirror);
    let pages = MirrorPages {
        mirror: Arc::clone(&mirror),
        peers: Arc::clone(&peers),
        cluster: own.clone(),
        connect: connect.peer().endpoints,
    };
    let mut supervisor = Supervisor::new("what was copied stays until its leases end");
    if let Some(handed) = handed {
        supervisor.spawn("secret", handed.follow(supervisor.stop()));
    }
    // Pages are answered once the folder has been read: before, there would be no peer to wait for.
    supervisor.spawn("peers", peers.follow(supervisor.stop()));
    supervisor.spawn("health", health.serve(Arc::new(pages), supervisor.stop()));
    tracing::info!(cluster = own, "the copying of peers is ready");
    let stop = supervisor.stop();
    supervisor.spawn("writing", async move {
        tokio::select! {
            () = drive::write(&mirror.mesh, start, &connect, &mirror.signals) => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    });
    let stop = supervisor.stop();
    supervisor
        .run(async move {
            stop.cancelled().await;
            Ok(())
        })
        .await
}

/// The one writer that all copies go through.
struct Mirror {
    mesh: Mutex<Kvstoremesh>,
    signals: Signals,
}

impl Mirror {
    /// A panic within ends the process.
    fn lock(&self) -> MutexGuard<'_, Kvstoremesh> {
        self.mesh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Copies {
    mirror: Arc<Mirror>,
    options: ClusterOptions,
}

impl Role for Copies {
    type Reader = Reader;

    fn reader(&self, cluster: &str, now: Duration) -> Reader {
        let options = reader::Options {
            cluster: cluster.to_owned(),
            own: self.options.id(),
            ours: false,
            clusters_max: self.options.max_connected_clusters,
            resources: Resource::ALL.to_vec(),
            scope: Scope::All,
        };
        Reader::new(options, random(), now)
    }

    fn begin(&self, cluster: &str) -> bool {
        let begun = self.mirror.lock().add(cluster);
        self.mirror.signals.work.notify_one();
        begun
    }

    async fn hear(
        &self,
        cluster: &str,
        told: mpsc::Receiver<Vec<Told>>,
        wish: &watch::Sender<Wish>,
    ) {
        drive::copy(cluster, told, &self.mirror.mesh, &self.mirror.signals, wish).await;
    }

    fn end(&self, cluster: &str) {
        self.mirror.lock().remove(cluster);
        self.mirror.signals.work.notify_one();
    }

    fn look(&self, cluster: &str, reader: &Reader, now: Duration) -> Found {
        let reader = reader.status(now);
        let kinds = reader.kinds.iter().map(|kind| kind.resource);
        let mesh = self.mirror.lock();
        Found {
            arrived: mesh.has_copied(cluster, kinds),
            rejects: mesh.rejects(cluster).cloned().unwrap_or_default(),
            reader,
        }
    }
}

struct MirrorPages {
    mirror: Arc<Mirror>,
    peers: Arc<Peers<Copies>>,
    cluster: String,
    connect: Vec<String>,
}

#[derive(Serialize)]
struct MirrorStatus {
    program: &'static str,
    version: &'static str,
    cluster: String,
    store: WriterStatus,
    /// Peers that were taken out and are being put away, by step.
    leaving: BTreeMap<String, String>,
    peers: Vec<PeerStatus>,
}

impl MirrorPages {
    fn status(&self) -> MirrorStatus {
        let mesh = self.mirror.lock();
        let leaving = mesh
            .leaving()
            .map(|(peer, step)| (peer.to_owned(), step.to_string()));
        let leaving = leaving.collect();
        let store = WriterStatus::new(mesh.status(), self.connect.clone());
        drop(mesh);
        MirrorStatus {
            program: "kvstoremesh",
            version: env!("CARGO_PKG_VERSION"),
            cluster: self.cluster.clone(),
            store,
            leaving,
            peers: self.peers.statuses(),
        }
    }
}

impl Pages for MirrorPages {
    const PATHS: &'static str = "/healthz, /readyz, /metrics and /status";

    async fn page(&self, path: &str) -> Option<Answer> {
        Some(match path {
            "/healthz" => Answer::Text("ok\n".into()),
            "/readyz" => {
                let status = self.status();
                // A replica that stands by is ready to take over.
                if !status.store.leads || status.peers.iter().all(|peer| peer.ready) {
                    Answer::Text("ok\n".into())
                } else {
                    Answer::Unavailable("not all peers have been read yet".into())
                }
            }
            "/metrics" => {
                let status = self.status();
                let mut page = Page::default();
                render_writer(&mut page, &status.store);
                render_peers(&mut page, &status.peers);
                Answer::Text(page.text())
            }
            "/status" => Answer::json(&self.status()),
            _ => return None,
        })
    }
}
