//! A control plane: a store, and two kube-apiservers on it as there are on two machines.
//!
//! No controllers and no nodes: what is in the store is what clients put there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::kubectl::Kubectl;
use super::process::Process;
use crate::bench::ports::free_ports;
use crate::process::{kept_tools, quiet};

/// What takes longer, also for a debug build on a busy machine, hangs.
pub const PATIENCE: Duration = Duration::from_secs(180);
const CLUSTER: &str = "bench";
/// How long Kubernetes' events live, at the least.
pub const EVENT_SECONDS: u64 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Tombolo,
    Etcd,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::Tombolo => "tombolo",
            Side::Etcd => "etcd",
        }
    }
}

/// Ends with all its processes when it is dropped, and takes its files along.
pub struct Plane {
    pub store: Process,
    /// Answers from memory of its own where Kubernetes does so.
    pub cached: Kubectl,
    /// Asks the store for each list and each watch of ConfigMaps.
    pub direct: Kubectl,
    /// From nothing until both servers were ready.
    pub start: Duration,
    /// Where the store listens.
    address: String,
    _servers: [Process; 2],
    folder: Folder,
}

impl Plane {
    /// With the program `tombolo` that is given; all others are those that tests compare with.
    pub fn start(side: Side, tombolo: &Path) -> Result<Plane> {
        let folder = Folder::new(side)?;
        let mut certificates = Command::new(tombolo);
        certificates.args(["certificates", "init", "--cluster-name", CLUSTER]);
        quiet(
            certificates
                .arg("--certificates")
                .arg(&folder.0)
                .stdout(Stdio::null()),
        )?;
        let start = Instant::now();
        let [store, peer, first, second] = free_ports()?;
        let address = format!("127.0.0.1:{store}");
        let mut store = match side {
            Side::Tombolo => folder.tombolo_store(tombolo, &address)?,
            Side::Etcd => folder.etcd(&address, peer)?,
        };
        let server = |name: &str, port: u16, options: &[&str]| -> Result<(Process, Kubectl)> {
            let process = folder.api_server(name, &address, port, options)?;
            Ok((process, Kubectl::new(&folder.0, name, port)?))
        };
        let (mut first, cached) = server("cached", first, &[])?;
        let (mut second, direct) = server("direct", second, &["--watch-cache-sizes=configmaps#0"])?;
        for client in [&cached, &direct] {
            wait_until("kube-apiserver is ready", || {
                for process in [&mut store, &mut first, &mut second] {
                    process.check_alive()?;
                }
                Ok(client.is_ready())
            })?;
        }
        Ok(Plane {
            start: start.elapsed(),
            store,
            cached,
            direct,
            address,
            _servers: [first, second],
            folder,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// What the store itself says to etcd's own client, both of its outputs.
    pub fn etcdctl(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(kept("etcdctl")?)
            .arg(format!("--endpoints=https://{}", self.address))
            .args(self.folder.tls("cacert", "cert", "key", "admin"))
            .args(words)
            .stdin(Stdio::null())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} and still it is not so that {what}");
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A program of exactly the version that results were written down for.
pub fn kept(name: &str) -> Result<PathBuf> {
    Ok(kept_tools()?.join("bin").join(name))
}

/// Certificates, data and logs of one control plane.
struct Folder(PathBuf);

impl Folder {
    fn new(side: Side) -> Result<Folder> {
        let name = format!("tombolo-kubernetes-{}-{}", std::process::id(), side.name());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Folder(folder))
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Options for the authority and for the certificate of `owner`, as a program calls them.
    fn tls(&self, ca: &str, certificate: &str, key: &str, owner: &str) -> [String; 3] {
        [
            format!("--{ca}={}", self.file("ca.crt")),
            format!("--{certificate}={}", self.file(&format!("{owner}.crt"))),
            format!("--{key}={}", self.file(&format!("{owner}.key"))),
        ]
    }

    fn tombolo_store(&self, program: &Path, address: &str) -> Result<Process> {
        let mut command = Command::new(program);
        command
            .args(["store", "--cluster-name", CLUSTER, "--listen", address])
            .args(["--health-listen", "127.0.0.1:0"])
            .args(["--certificates", &self.file("")]);
        Process::start(&mut command, &self.0.join("store.log"))
    }

    /// Without waiting for a disk, which the other side has no use for.
    fn etcd(&self, address: &str, peer: u16) -> Result<Process> {
        let peers = format!("http://127.0.0.1:{peer}");
        let mut command = Command::new(kept("etcd")?);
        command
            .arg(format!("--data-dir={}", self.file("data")))
            .args([
                format!("--name={CLUSTER}"),
                format!("--initial-cluster={CLUSTER}={peers}"),
            ])
            .arg(format!("--listen-client-urls=https://{address}"))
            .arg(format!("--advertise-client-urls=https://{address}"))
            .arg(format!("--listen-peer-urls={peers}"))
            .arg(format!("--initial-advertise-peer-urls={peers}"))
            .args([
                "--unsafe-no-fsync",
                "--client-cert-auth",
                "--enable-grpc-gateway=false",
            ])
            .args(self.tls("trusted-ca-file", "cert-file", "key-file", "server"));
        Process::start(&mut command, &self.0.join("store.log"))
    }

    fn api_server(&self, name: &str, store: &str, port: u16, options: &[&str]) -> Result<Process> {
        let mut command = Command::new(kept("kube-apiserver")?);
        command
            .arg(format!("--etcd-servers=https://{store}"))
            .args(self.tls("etcd-cafile", "etcd-certfile", "etcd-keyfile", "admin"))
            // Often, so that the past goes while clients are at work.
            .arg("--etcd-compaction-interval=5s")
            .arg(format!("--event-ttl={EVENT_SECONDS}s"))
            .args([
                "--bind-address=127.0.0.1",
                "--authorization-mode=AlwaysAllow",
            ])
            .arg(format!("--secure-port={port}"))
            .args(self.tls(
                "client-ca-file",
                "tls-cert-file",
                "tls-private-key-file",
                "server",
            ))
            .arg(format!("--cert-dir={}", self.file(name)))
            .arg("--service-cluster-ip-range=10.96.0.0/16")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!(
                "--service-account-key-file={}",
                self.file("server.crt")
            ))
            .arg(format!(
                "--service-account-signing-key-file={}",
                self.file("server.key")
            ))
            .arg("--disable-admission-plugins=ServiceAccount")
            .args(options);
        Process::start(&mut command, &self.0.join(format!("{name}.log")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}
