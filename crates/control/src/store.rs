//! `tombolo store`: the embedded etcd by itself, with the certificates and users of a cluster's mesh.

mod admitted;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tombolo_kvstore::{Limits, Memory, Server, server};

use crate::{
    Answer, Certificates, Handed, KubernetesOptions, LogFormat, Page, Pages, SecretRef, Supervisor,
    certificates::{self, Users},
    http,
    options::megabytes,
    start_log,
};
use admitted::{Trusted, UsersFile};

/// How often certificates are looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// Holds the mesh's state in memory, and speaks etcd's protocol.
///
/// Deliberately without a disk: what a mesh's store holds is written again from Kubernetes within seconds after a start.
/// Who wants durability or several replicas gives real etcd to apiserver and kvstoremesh instead.
#[derive(Args, Clone, Debug)]
pub struct StoreOptions {
    /// Name of this cluster, unique in the mesh
    #[arg(long, env = "TOMBOLO_CLUSTER_NAME", value_name = "NAME")]
    pub cluster_name: String,
    /// Where clients are served
    #[arg(
        long,
        env = "TOMBOLO_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:2379"
    )]
    pub listen: SocketAddr,
    /// Folder of the cluster's certificates; its authority is made there at the first start
    #[arg(
        long,
        env = "TOMBOLO_CERTIFICATES",
        value_name = "DIRECTORY",
        default_value = "/var/lib/tombolo/certificates"
    )]
    pub certificates: PathBuf,
    /// Take ca.crt, server.crt and server.key in that folder as they are, and make none: somebody else renews them
    #[arg(long, env = "TOMBOLO_CERTIFICATES_GIVEN")]
    pub certificates_given: bool,
    /// Secret of Kubernetes whose files are kept in that folder, taken as they are
    #[arg(
        long,
        env = "TOMBOLO_CERTIFICATES_SECRET",
        value_name = "NAMESPACE/NAME"
    )]
    pub certificates_secret: Option<SecretRef>,
    #[command(flatten)]
    pub kubernetes: KubernetesOptions,
    /// Name or address that clients reach the store by, beside the usual ones
    #[arg(
        long,
        env = "TOMBOLO_SERVER_NAME",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub server_name: Vec<String>,
    /// File of the peers that may read, in upstream's form; users.yaml beside the certificates unless told
    #[arg(long, env = "TOMBOLO_CLUSTER_USERS", value_name = "FILE")]
    pub cluster_users: Option<PathBuf>,
    /// Serve without certificates to whoever reaches the address, which must be of this machine
    #[arg(long)]
    pub insecure: bool,
    /// Megabytes of keys and values; what goes beyond is refused
    #[arg(
        long,
        env = "TOMBOLO_MEMORY_MAX",
        value_name = "MEGABYTES",
        default_value_t = 2048
    )]
    pub memory_max: usize,
    /// Megabytes of the past that are kept for watches; beyond, the oldest is compacted
    #[arg(
        long,
        env = "TOMBOLO_HISTORY_MAX",
        value_name = "MEGABYTES",
        default_value_t = 256
    )]
    pub history_max: usize,
    /// Seconds for which the past is kept
    #[arg(
        long,
        env = "TOMBOLO_HISTORY_AGE",
        value_name = "SECONDS",
        default_value_t = 600
    )]
    pub history_age: u64,
    /// Where /healthz, /readyz, /metrics and /status are served
    #[arg(
        long,
        env = "TOMBOLO_HEALTH_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9963"
    )]
    pub health_listen: SocketAddr,
    /// Form of the log, on standard error
    #[arg(long, env = "TOMBOLO_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl StoreOptions {
    fn has_given_certificates(&self) -> bool {
        self.certificates_given || self.certificates_secret.is_some()
    }
}

/// Serves until it is asked to end.
pub fn run(options: StoreOptions) -> Result<()> {
    start_log(options.log_format);
    if options.insecure && !options.listen.ip().is_loopback() {
        bail!(
            "--insecure serves whoever reaches {}: give --listen an address of this machine alone, such as 127.0.0.1:2379",
            options.listen
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime
        .context("starting the runtime")?
        .block_on(serve(options))
}

async fn serve(options: StoreOptions) -> Result<()> {
    let mut handed = None;
    if let Some(secret) = &options.certificates_secret {
        let mut secret = Handed::open(&options.kubernetes, secret, &options.certificates).await?;
        secret.first().await?;
        handed = Some(secret);
    }
    let mut config = server::Config {
        listen: options.listen,
        tls: None,
        vouchers: None,
        access: None,
        name: options.cluster_name.clone(),
        limits: Limits {
            bytes_max: megabytes(options.memory_max),
            history_bytes_max: megabytes(options.history_max),
            history_age_max: Duration::from_secs(options.history_age),
            ..Limits::default()
        },
    };
    let mut supervisor = Supervisor::new("the store ends, and what it held with it");
    if let Some(handed) = handed {
        supervisor.spawn("secret", handed.follow(supervisor.stop()));
    }
    if !options.insecure {
        let (users, trusted) = secure(&options, &mut config)?;
        if !options.has_given_certificates() {
            supervisor.spawn(
                "certificates",
                look_after_certificates(options.clone(), supervisor.stop()),
            );
        }
        supervisor.spawn("users", users.follow(supervisor.stop()));
        supervisor.spawn("trust", trusted.follow(supervisor.stop()));
    }
    let server = Server::bind(config)
        .await
        .context("give --listen a free address")?;
    // Whoever is told that it is well can reach it.
    let health = http::Server::bind(options.health_listen)
        .await
        .context("give --health-listen a free address")?;
    let pages = StorePages {
        cluster: options.cluster_name.clone(),
        address: server.address(),
        secure: !options.insecure,
        memory: server.store(),
    };
    supervisor.spawn("health", health.serve(Arc::new(pages), supervisor.stop()));
    tracing::info!(cluster = options.cluster_name, address = %server.address(), "the store is ready, and empty");
    let stop = supervisor.stop();
    let main = async move {
        server.run(stop.cancelled_owned()).await;
        Ok(())
    };
    supervisor.run(main).await
}

/// Certificates and who is let in, before anything listens.
fn secure(options: &StoreOptions, config: &mut server::Config) -> Result<(UsersFile, Trusted)> {
    config.tls = Some(if options.has_given_certificates() {
        certificates::files(&options.certificates, "server")
    } else {
        let names = &options.server_name;
        Certificates::ensure(&options.certificates, &options.cluster_name, names)?.server()
    });
    let path = options.cluster_users.clone();
    let path = path.unwrap_or_else(|| Users::file(&options.certificates));
    let (users, access) = UsersFile::open(path, options.cluster_name.clone())?;
    config.access = Some(access);
    let (trusted, vouchers) = Trusted::open(options.certificates.clone())?;
    config.vouchers = Some(vouchers);
    Ok((users, trusted))
}

/// Renews in time; whoever connects afterwards meets the new ones.
async fn look_after_certificates(options: StoreOptions, stop: CancellationToken) -> Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(LOOK) => {}
        }
        let names = &options.server_name;
        if let Err(error) =
            Certificates::ensure(&options.certificates, &options.cluster_name, names)
        {
            tracing::warn!("certificates can't be looked after: {error:#}");
        }
    }
}

struct StorePages {
    cluster: String,
    address: SocketAddr,
    secure: bool,
    memory: Memory,
}

#[derive(Serialize)]
struct StoreStatus<'a> {
    program: &'static str,
    version: &'static str,
    cluster: &'a str,
    address: SocketAddr,
    secure: bool,
    revision: i64,
    compacted: i64,
    keys: usize,
    leases: usize,
    watches: usize,
    bytes: usize,
    bytes_live: usize,
    bytes_max: usize,
}

impl StorePages {
    fn status(&self) -> StoreStatus<'_> {
        self.memory.with(|mvcc, _| {
            let (bytes, bytes_live) = mvcc.bytes();
            StoreStatus {
                program: "store",
                version: env!("CARGO_PKG_VERSION"),
                cluster: &self.cluster,
                address: self.address,
                secure: self.secure,
                revision: mvcc.revision().0,
                compacted: mvcc.compacted().0.max(0),
                keys: mvcc.keys(),
                leases: mvcc.leases().len(),
                watches: mvcc.watches(),
                bytes,
                bytes_live,
                bytes_max: mvcc.limits().bytes_max,
            }
        })
    }

    fn metrics(&self) -> String {
        let status = self.status();
        let mut page = Page::default();
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        page.counter(
            "tombolo_store_revision_total",
            "Revisions that were made.",
            number(status.revision),
        );
        let gauges = [
            ("keys", "Keys that are there.", status.keys),
            ("leases", "Leases that are there.", status.leases),
            ("watches", "Watches that are open.", status.watches),
            ("bytes", "Keys and values, the past included.", status.bytes),
            ("live_bytes", "Keys and values of now.", status.bytes_live),
            (
                "bytes_max",
                "What keys and values may have.",
                status.bytes_max,
            ),
        ];
        for (name, help, value) in gauges {
            page.gauge(&format!("tombolo_store_{name}"), help, value as u64);
        }
        page.text()
    }
}

impl Pages for StorePages {
    const PATHS: &'static str = "/healthz, /readyz, /metrics and /status";

    async fn page(&self, path: &str) -> Option<Answer> {
        Some(match path {
            "/healthz" | "/readyz" => Answer::Text("ok\n".into()),
            "/metrics" => Answer::Text(self.metrics()),
            "/status" => Answer::json(&self.status()),
            _ => return None,
        })
    }
}
