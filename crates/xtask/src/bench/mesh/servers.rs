//! The programs that are measured: stores, each with the certificates of a cluster of its own, copiers and agents.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::Value;

use super::network::NODE;
use super::program::Program;
use crate::bench::ports::free_ports;
use crate::process::{answer, binaries, quiet};

/// The cluster that learns of others.
pub const OWN: &str = "own";
const OWN_ID: &str = "200";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// `tombolo store`
    Tombolo,
    /// A real etcd, which does not wait for its disk
    Etcd,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tombolo => "tombolo",
            Self::Etcd => "etcd",
        }
    }
}

/// Where files of a run lie; taken away in the end.
pub struct Place {
    folder: PathBuf,
    etcd: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

impl Place {
    pub fn new() -> Result<Self> {
        let folder = binaries("release").join(format!("bench-mesh-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let list =
            answer(tombolo().args(["lab", "binaries", "--exact", "etcd", "--output", "json"]));
        let list = list.context("there is no etcd to compare with: run `cargo xtask setup`")?;
        let list: Value = serde_json::from_str(&list)?;
        let etcd = list.pointer("/0/path").and_then(Value::as_str);
        let etcd = etcd
            .context("the list of binaries names no path of etcd")?
            .into();
        Ok(Self { folder, etcd })
    }

    /// An empty folder.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

pub fn tombolo() -> Command {
    Command::new(binaries("release").join("tombolo"))
}

/// One store of a cluster.
pub struct Store {
    pub program: Program,
    pub cluster: String,
    folder: PathBuf,
    port: u16,
}

impl Store {
    pub fn start(place: &Place, side: Side, cluster: &str) -> Result<Self> {
        let folder = place.folder(cluster)?;
        let mut init = tombolo();
        init.args(["certificates", "init", "--cluster-name", cluster]);
        init.arg("--certificates").arg(&folder);
        quiet(init.stdout(Stdio::null()))?;
        let [port, peer] = free_ports()?;
        let mut command = match side {
            Side::Tombolo => ours(&folder, cluster, port),
            Side::Etcd => etcd(&place.etcd, &folder, port, peer)?,
        };
        let mut program = Program::start(&mut command, &folder.join("log"))?;
        program.wait(|| TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        let store = Self {
            program,
            cluster: cluster.to_owned(),
            folder,
            port,
        };
        let file = store.describe("admin");
        fs::write(store.file(), file)?;
        Ok(store)
    }

    /// How whoever may do everything reaches it.
    pub fn file(&self) -> PathBuf {
        self.folder.join("admin.yaml")
    }

    /// How a peer reaches it, which may only read.
    pub fn peer_file(&self, peer: &str) -> Result<String> {
        let name = format!("remote-{peer}");
        let mut issue = tombolo();
        issue.args(["certificates", "issue", &name, "--certificates"]);
        quiet(issue.arg(&self.folder).stdout(Stdio::null()))?;
        Ok(self.describe(&name))
    }

    /// How agents of its cluster reach it.
    pub fn local_file(&self) -> String {
        self.describe("local")
    }

    fn describe(&self, user: &str) -> String {
        let folder = self.folder.display();
        format!(
            "endpoints:\n- https://127.0.0.1:{}\ntrusted-ca-file: {folder}/ca.crt\n\
             cert-file: {folder}/{user}.crt\nkey-file: {folder}/{user}.key\n",
            self.port
        )
    }
}

fn ours(folder: &Path, cluster: &str, port: u16) -> Command {
    let mut command = tombolo();
    command.args(["store", "--cluster-name", cluster]);
    command.arg("--certificates").arg(folder);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--health-listen", "127.0.0.1:0"]);
    command
}

/// The copier of the clusters that a folder has files of.
pub fn kvstoremesh(own: &Store, peers: &Path) -> Command {
    let mut command = tombolo();
    command.args(["kvstoremesh", "--cluster-name", OWN]);
    command.args(["--cluster-id", OWN_ID]);
    command.arg("--store").arg(own.file());
    command.arg("--clustermesh-config").arg(peers);
    command.args(["--health-listen", "127.0.0.1:0"]);
    command
}

/// The agent of a node of our own cluster, with mounts of its own: what it pins goes with it.
pub struct Agent {
    pub program: Program,
}

impl Agent {
    const PINS: &str = "/sys/fs/bpf/tombolo";

    /// Started where the node's network is.
    pub fn start(copies: &Path, log: &Path) -> Result<Self> {
        const MOUNT: &str =
            "mount -t tmpfs tmpfs /run && mount -t bpf bpf /sys/fs/bpf && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", MOUNT]);
        command.arg(binaries("release").join("tombolo"));
        command.args(["agent", "--cluster-name", OWN, "--cluster-id", OWN_ID]);
        command.args(["--node-name", "n1", "--node-ip", NODE]);
        command.args(["--pod-range", "10.200.1.0/24", "--pins", Self::PINS]);
        command.args(["--flow-table-size", "1024", "--listen", "127.0.0.1:0"]);
        command.arg("--clustermesh-config").arg(copies);
        let program = Program::start(&mut command, log)?;
        Ok(Self { program })
    }

    /// Its pins, as others see them.
    pub fn pins(&self) -> PathBuf {
        let root = self.program.file("root");
        root.join(Self::PINS.trim_start_matches('/'))
    }
}

/// Users and roles are left out: that can only be in its favour.
fn etcd(program: &Path, folder: &Path, port: u16, peer: u16) -> Result<Command> {
    let url = format!("https://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new(program);
    command.args(["--name", "bench", "--unsafe-no-fsync", "--client-cert-auth"]);
    command.args(["--enable-grpc-gateway=false", "--log-level", "error"]);
    command.arg("--data-dir").arg(folder.join("data"));
    command.args([
        "--listen-client-urls",
        &url,
        "--advertise-client-urls",
        &url,
    ]);
    command.args([
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
    ]);
    command.args(["--initial-cluster", &format!("bench={peer}")]);
    command.arg("--trusted-ca-file").arg(folder.join("ca.crt"));
    command.arg("--cert-file").arg(folder.join("server.crt"));
    command.arg("--key-file").arg(folder.join("server.key"));
    Ok(command)
}
