//! A node on this machine: network, mounts and processes of its own, in it the real containerd and the real agent.
//!
//! All of it ends with the first process of the node, which the kernel ends with the test.

use super::{cable, image, shell};
use crate::common::Folder;
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use tombolo_linux::{cgroup, netlink::Netlink, netns::Netns, process::CommandExt as _};

const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the folders that everything uses by default, all of them the node's own.
const SETUP: &str = r#"
set -e
for dir in /etc /run /opt /var/lib; do mount -t tmpfs tmpfs $dir; done
mount -t bpf bpf /sys/fs/bpf
mkdir -p /etc/cni/net.d /etc/containerd /opt/cni/bin /run/tombolo /var/lib/tombolo
cp "$PLUGIN" /opt/cni/bin/tombolo-cni
cat >/etc/cni/net.d/10-tombolo.conflist <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "tombolo-cni", "log": "/run/cni.log"}]}
END
cat >/etc/containerd/config.toml <<END
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
END
touch /run/is-set-up
exec sleep infinity
"#;

pub struct Node {
    name: String,
    folder: Folder,
    tombolo: PathBuf,
    /// The process outside that holds the node's first one.
    holder: Child,
    /// The node's first process.
    first: u32,
    agent: Option<Child>,
    services: Vec<Child>,
}

impl Node {
    /// A node whose agent and containerd are ready.
    pub fn new() -> Node {
        need_tools();
        let tombolo = built_tombolo();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tmbctr-{}-{count}", process::id());
        let folder = Folder::new(&name);
        let netns = cable::lay(&name);
        let mut holder = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child=KILL",
                "--mount-proc",
            ])
            .args(["sh", "-c", SETUP])
            .env("PLUGIN", env!("CARGO_BIN_EXE_tombolo-cni"))
            .stdin(Stdio::null())
            .stderr(log(&folder, "node"))
            .in_netns(&netns)
            .die_with_parent()
            .spawn()
            .expect("unshare starts");
        let first = first_process(&mut holder);
        let mut node = Node {
            name,
            folder,
            tombolo,
            holder,
            first,
            agent: None,
            services: Vec::new(),
        };
        shell::wait_for("the node's folders", || {
            node.path("/run/is-set-up").exists().then_some(())
        });
        node.start_agent();
        node.start_containerd();
        node
    }

    /// A command inside the node.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first.to_string()])
            .args(["--net", "--mount", "--pid", "--"])
            .arg(program);
        command
    }

    /// `tombolo` of the node, answering in JSON.
    pub fn tombolo(&self, arguments: &[&str]) -> Result<Value, String> {
        let program = self.tombolo.display().to_string();
        let text = shell::attempt(self.command(&program).args(arguments).args(["-o", "json"]))?;
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }

    pub fn endpoints(&self) -> Vec<Value> {
        match self.tombolo(&["endpoint", "list"]) {
            Ok(Value::Array(endpoints)) => endpoints,
            other => panic!("no list of endpoints: {other:?}"),
        }
    }

    /// Names of interfaces that belong to containers.
    pub fn pod_interfaces(&self) -> Vec<String> {
        let netns = Netns::named(&self.name).expect("the node's namespace");
        let links = Netlink::open_in(&netns).and_then(|netlink| netlink.links());
        links
            .expect("the node's interfaces")
            .into_iter()
            .filter(|link| link.alias.is_some())
            .map(|link| link.name)
            .collect()
    }

    /// A file of the node, as it is seen from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    pub fn queued_deletions(&self) -> usize {
        fs::read_dir(self.path(tombolo_model::local::DELETE_QUEUE_PATH)).map_or(0, Iterator::count)
    }

    pub fn start_agent(&mut self) {
        let log = log(&self.folder, "agent");
        let program = self.tombolo.display().to_string();
        let agent = self
            .command(&program)
            .arg("agent")
            .args(["--cluster-name", "cluster1", "--cluster-id", "1"])
            .args(["--node-name", "n1"])
            .args(["--node-ip", cable::ADDRESS, "--node-ip", cable::ADDRESS_V6])
            .args([
                "--pod-range",
                "10.77.1.0/24",
                "--pod-range",
                "fd00:77:1::/64",
            ])
            .args(["--uplink", "eth0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .die_with_parent()
            .spawn()
            .expect("nsenter starts");
        self.agent = Some(agent);
        self.wait_for_service("the agent", |node| {
            node.tombolo(&["endpoint", "list"]).is_ok()
        });
    }

    /// Kills the agent as the kernel would that runs out of memory.
    pub fn kill_agent(&mut self) {
        let mut agent = self.agent.take().expect("an agent that runs");
        // nsenter has entered the namespace of processes by a fork: the agent is its child.
        let child = only_child(agent.id()).expect("the agent");
        shell::run(&mut shell::kill(child));
        agent.wait().expect("the agent's end");
    }

    fn start_containerd(&mut self) {
        let log = log(&self.folder, "containerd");
        let containerd = self
            .command("containerd")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .die_with_parent()
            .spawn()
            .expect("nsenter starts");
        self.services.push(containerd);
        self.wait_for_service("containerd", |node| {
            shell::attempt(node.command("ctr").arg("version")).is_ok()
        });
        let archive = image::write(&self.folder.0);
        shell::run(
            self.command("ctr")
                .args(["images", "import", "--snapshotter", "native"])
                .arg(archive),
        );
    }

    fn wait_for_service(&mut self, what: &str, is_ready: impl Fn(&Node) -> bool) {
        let start = Instant::now();
        while !is_ready(self) {
            let ended = self
                .agent
                .iter_mut()
                .chain(&mut self.services)
                .find_map(|child| child.try_wait().expect("a child's state"));
            if let Some(status) = ended {
                panic!("{what} ended with {status}");
            }
            assert!(start.elapsed() < PATIENCE, "{what} is not ready");
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// What everyone in the node has said, for the message of a failure.
    pub fn logs(&self) -> String {
        let files = [
            self.folder.path("node.log"),
            self.folder.path("agent.log"),
            self.folder.path("containerd.log"),
            self.path("/run/cni.log"),
        ];
        files
            .iter()
            .map(|file| {
                let text = fs::read_to_string(file).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                let tail = &lines[lines.len().saturating_sub(30)..];
                format!("--- {}\n{}\n", file.display(), tail.join("\n"))
            })
            .collect()
    }

    /// Where runc puts the node's containers, so that nothing of them stays.
    pub fn cgroup(&self) -> &str {
        &self.name
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
        // With the first process the kernel ends all of the node, and its mounts go.
        let _ = shell::attempt(&mut shell::kill(self.first));
        let _ = self.holder.wait();
        for child in self.agent.iter_mut().chain(&mut self.services) {
            let _ = child.wait();
        }
        let _ = cgroup::remove(&self.name);
        remove_old_cgroups(&self.name);
        cable::remove(&self.name);
    }
}

fn log(folder: &Folder, service: &str) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(folder.path(&format!("{service}.log")))
        .expect("a log")
}

fn need_tools() {
    for (program, package) in [
        ("/usr/bin/containerd", "containerd"),
        ("/usr/bin/ctr", "containerd"),
        ("/usr/sbin/runc", "runc"),
        ("/bin/busybox", "busybox-static"),
        ("/usr/bin/nsenter", "util-linux"),
    ] {
        assert!(
            Path::new(program).exists(),
            "this test drives a real container runtime and needs {program}: apt-get install {package}"
        );
    }
}

/// The program beside the plugin. To build it from here would compile all of it once more, with other features.
fn built_tombolo() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_tombolo-cni")).with_file_name("tombolo");
    assert!(
        program.exists(),
        "{} is not there; run `cargo build` first",
        program.display()
    );
    program
}

/// The child that `unshare` makes, once it is there.
fn first_process(holder: &mut Child) -> u32 {
    shell::wait_for("the node's first process", || {
        if let Some(status) = holder.try_wait().expect("unshare's state") {
            panic!("unshare ended with {status}; this test needs root");
        }
        only_child(holder.id())
    })
}

fn only_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// runc makes a group in every hierarchy of version 1 too.
fn remove_old_cgroups(name: &str) {
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else {
        return;
    };
    for hierarchy in hierarchies.flatten() {
        let group = hierarchy.path().join(name);
        for below in fs::read_dir(&group).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(below.path());
        }
        let _ = fs::remove_dir(group);
    }
}
