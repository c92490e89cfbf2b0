//! A node without an agent, for tests of how an agent starts and how it refuses to.
//!
//! Its first process is the lab's own; its only wire goes to a switch of its own and nowhere else.

use super::{program, wait_until};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use tombolo_linux::{link::Veth, masquerade, netlink::Netlink, netns::Netns};

const PATIENCE: Duration = Duration::from_secs(30);
const KEPT: &str = "/var/lib/tombolo";

pub struct Bare {
    name: String,
    pub netns: Netns,
    init: Child,
}

/// What an agent makes on its node.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces {
    links: Vec<String>,
    routes: Vec<String>,
    addresses: Vec<String>,
    files: Vec<PathBuf>,
    masquerades: bool,
}

impl Bare {
    pub fn new() -> Bare {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}-bare-{number}", std::process::id());
        let netns = Netns::create(&name).unwrap();
        // Holds the folder that the node's mount lies on, as labs do.
        fs::create_dir_all(Path::new(KEPT).join(&name)).unwrap();
        let netlink = Netlink::open_in(&netns).unwrap();
        netlink
            .create_veth(&Veth {
                name: "eth0",
                peer_name: "switch",
                ..Veth::default()
            })
            .unwrap();
        for device in ["eth0", "switch"] {
            let index = netlink.link(device).unwrap().unwrap().index;
            netlink.set_up(index).unwrap();
        }
        let eth0 = netlink.link("eth0").unwrap().unwrap().index;
        for address in ["172.30.1.11/24", "fd00:30:1::11/64"] {
            netlink.add_address(eth0, address.parse().unwrap()).unwrap();
        }
        let init = Command::new("nsenter")
            .arg(format!("--net={}", Netns::path(&name).display()))
            .args(["--", "unshare", "--mount", "--uts"])
            .args(["--propagation", "private", "--"])
            .arg(program("tombolo"))
            .args(["lab", "init", "n1"])
            .stdin(Stdio::null())
            .spawn()
            .expect("util-linux is there");
        let bare = Bare { name, netns, init };
        wait_until("the start of the node", PATIENCE, || {
            bare.path("/run/lab/ready").exists()
        });
        bare
    }

    /// A path inside of the node.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init.id()))
    }

    /// A program inside of the node.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        for kind in ["net", "mnt", "uts"] {
            let option = if kind == "mnt" { "mount" } else { kind };
            command.arg(format!("--{option}=/proc/{}/ns/{kind}", self.init.id()));
        }
        command.arg("--").args(words).stdin(Stdio::null());
        command
    }

    pub fn tombolo(&self, words: &[&str]) -> Command {
        let mut command = self.command(&[]);
        command.arg(program("tombolo")).args(words);
        command
    }

    /// Runs an agent that is expected to refuse; one that does not is ended.
    pub fn refused(&self, before: &[&str], options: &[&str]) -> Output {
        let mut command = self.command(before);
        // An agent that starts after all has its exit code told by `timeout`.
        command.args(["timeout", "10"]).arg(program("tombolo"));
        command.arg("agent").args(options);
        command.output().expect("the program was found")
    }

    /// Starts an agent and waits until it answers.
    pub fn agent(&self, options: &[&str]) -> Agent<'_> {
        let log = format!("/tmp/{}.log", self.name);
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = self
            .tombolo(&["agent"])
            .args(options)
            .stderr(file)
            .spawn()
            .expect("the program was found");
        let agent = Agent { node: self, child };
        let deadline = Instant::now() + PATIENCE;
        while self.try_ask(&["status"]).is_none() {
            assert!(Instant::now() < deadline, "no agent: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
        agent
    }

    pub fn log(&self) -> String {
        fs::read_to_string(format!("/tmp/{}.log", self.name)).unwrap_or_default()
    }

    fn try_ask(&self, words: &[&str]) -> Option<Value> {
        let output = self.tombolo(words).args(["-o", "json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// What `tombolo` answers, as JSON.
    pub fn ask(&self, words: &[&str]) -> Value {
        self.try_ask(words)
            .unwrap_or_else(|| panic!("tombolo {words:?}: {}", self.log()))
    }

    /// What a runtime does to make or delete a pod; `verb` is `pod-add` or `pod-delete`.
    pub fn pod(&self, verb: &str, pod: &str, container: &str) -> Output {
        let plugin = program("tombolo-cni");
        self.tombolo(&["lab", verb, pod, container, "65999"])
            .arg(plugin)
            .output()
            .unwrap()
    }

    pub fn traces(&self) -> Traces {
        let netlink = Netlink::open_in(&self.netns).unwrap();
        let sorted = |mut words: Vec<String>| {
            words.sort();
            words
        };
        let links = netlink.links().unwrap();
        let addresses = netlink.addresses(None).unwrap();
        let routes = netlink.routes(None).unwrap();
        let mut files = Vec::new();
        for folder in ["/sys/fs/bpf", "/run/tombolo"] {
            gather(&self.path(folder), &mut files);
        }
        // Lock files stay: to remove one is to let a second holder in.
        files.retain(|file| file.extension().is_none_or(|kind| kind != "lock"));
        Traces {
            links: sorted(links.into_iter().map(|link| link.name).collect()),
            routes: sorted(routes.iter().map(|route| format!("{route:?}")).collect()),
            addresses: sorted(addresses.iter().map(|a| a.net.to_string()).collect()),
            files,
            masquerades: self.netns.run(masquerade::installed).unwrap().unwrap(),
        }
    }
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        files.push(entry.path());
        if entry.path().is_dir() {
            gather(&entry.path(), files);
        }
    }
    files.sort();
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
        let _ = Netns::delete(&self.name);
        let _ = fs::remove_dir(Path::new(KEPT).join(&self.name));
        let _ = fs::remove_dir(KEPT);
        let _ = fs::remove_file(format!("/tmp/{}.log", self.name));
    }
}

/// An agent that runs, killed when dropped.
pub struct Agent<'a> {
    node: &'a Bare,
    child: Child,
}

impl Agent<'_> {
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory of the process that is not swapped out, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or_else(|| panic!("the agent has ended: {}", self.node.log()));
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}
