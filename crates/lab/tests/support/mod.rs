//! Labs for tests: made by the built programs, taken down when dropped, one at a time since they measure time.

#![allow(dead_code, reason = "each test program uses its part")]

use serde_json::Value;
use std::{
    env, fs,
    net::IpAddr,
    path::PathBuf,
    process::{Command, Output},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tombolo_linux::{cgroup, netns::Netns};

pub mod bare;
pub mod calls;
pub mod churn;
pub mod held;
pub mod kubernetes;
pub mod long;
pub mod names;
pub mod outside;
pub mod pods;
pub mod traffic;
pub mod user;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What agents have to leave a peer; they are asked to at the same moment.
const DRAIN_GRACE_SECONDS: &str = "1";

pub struct Lab {
    pub name: String,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    /// Makes a lab; `words` are those of `tombolo lab up --bare`. Agents are told by file, unless it is said otherwise:
    /// tests of the data path are none of the mesh.
    pub fn up(name: &str, words: &str) -> Lab {
        let lab = Lab::planned(name);
        let mesh = if words.contains("--mesh") {
            ""
        } else {
            "--mesh facts"
        };
        lab.run(&["up --bare", mesh, words].join(" "));
        lab
    }

    /// A lab that is not there yet.
    pub fn planned(name: &str) -> Lab {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("t{}-{name}", std::process::id());
        Lab { name, _turn: turn }
    }

    /// Runs a verb that must succeed and gives back what it printed.
    pub fn run(&self, words: &str) -> String {
        let output = self.try_run(words);
        assert!(
            output.status.success(),
            "tombolo lab {words}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        String::from_utf8(output.stdout).expect("verbs print text")
    }

    pub fn try_run(&self, words: &str) -> Output {
        let mut words = words.split_whitespace();
        let verb = words.next().expect("a verb");
        // These have verbs of their own; the name goes after those.
        let nested = ["image", "node", "pod", "process", "mesh", "store"].contains(&verb);
        let mut command = Command::new(program("tombolo"));
        command.arg("lab").arg(verb);
        command.args(words.by_ref().take(usize::from(nested)));
        command.arg("--name").arg(&self.name).args(words);
        command.env("TOMBOLO_DRAIN_GRACE", DRAIN_GRACE_SECONDS);
        command.output().expect("the program was found")
    }

    /// Runs our program on a machine and gives back what it printed.
    pub fn tombolo(&self, machine: &str, words: &str) -> String {
        self.run(&on(machine, words))
    }

    pub fn try_tombolo(&self, machine: &str, words: &str) -> Output {
        self.try_run(&on(machine, words))
    }

    /// Waits until all programs are well, and agents know all pods that they should and no others.
    #[track_caller]
    pub fn wait_until_well(&self, patience: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let output = self.try_run("status");
            if output.status.success() {
                return start.elapsed();
            }
            assert!(
                start.elapsed() < patience,
                "after {patience:?}:\n{}",
                String::from_utf8_lossy(&output.stdout)
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A new pod, which nobody has been waited for to know.
    pub fn add_pod(&self, node: &str) -> (String, Vec<IpAddr>) {
        let pod = self.json(&format!("pod add {node} --no-wait"));
        let name = pod["name"].as_str().expect("pods have names");
        (name.to_owned(), addresses(&pod))
    }

    /// What the agent of a node says to `tombolo …`.
    pub fn ask(&self, node: &str, words: &str) -> Value {
        let said = self.tombolo(node, &format!("{words} -o json"));
        serde_json::from_str(&said).expect("answers are JSON")
    }

    pub fn json(&self, words: &str) -> Value {
        let output = self.try_run(&format!("{words} -o json"));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("tombolo lab {words}: {error}\n{said}")
        })
    }

    /// Asserts that every pair reaches the other, seen with its own address.
    pub fn assert_all_well(&self, words: &str, pairs_min: u64) {
        let report = self.json(&format!("check {words}"));
        let total = &report["total"];
        let bad: Vec<&Value> = report["pairs"]
            .as_array()
            .expect("pairs are a list")
            .iter()
            .filter(|pair| pair["reachable"] != true || pair["source_right"] != true)
            .collect();
        let first = &bad[..bad.len().min(3)];
        assert!(bad.is_empty(), "{total}, the first: {first:#?}");
        assert!(total["pairs"].as_u64() >= Some(pairs_min), "{total}");
        assert_eq!(total["pairs"], total["reachable"], "{total}");
    }

    pub fn init_pid(&self, machine: &str) -> u64 {
        let processes = self.json("process list");
        let mut processes = processes.as_array().expect("processes are a list").iter();
        let init = processes.find(|p| p["machine"] == machine && p["role"] == "init");
        let pid = &init.expect("its first process")["pid"];
        pid.as_u64().expect("pids are numbers")
    }

    pub fn pod(&self, name: &str) -> Pod {
        let (node, _) = name
            .rsplit_once("-p")
            .expect("pods are named after their node");
        let path = format!("/proc/{}/root/run/netns/{name}", self.init_pid(node));
        let status = self.json("status");
        let pods = status["pods"].as_array().expect("pods are a list");
        let pod = pods
            .iter()
            .find(|pod| pod["name"] == name)
            .expect("the pod");
        Pod {
            netns: Netns::open(path).unwrap(),
            addresses: addresses(pod),
        }
    }

    /// What the machine still has of this lab.
    pub fn remains(&self) -> Vec<String> {
        let mut remains = Vec::new();
        for folder in [
            PathBuf::from("/run/netns"),
            cgroup::root(),
            "/run/tombolo-lab".into(),
            "/var/lib/tombolo".into(),
            "/var/lib/tombolo-lab".into(),
        ]
        .into_iter()
        .chain(hierarchies())
        {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            let paths = entries
                .flatten()
                .map(|entry| entry.path().display().to_string());
            remains.extend(paths.filter(|path| path.contains(&self.name)));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        remains.extend(
            mounts
                .lines()
                .filter(|m| m.contains(&self.name))
                .map(str::to_owned),
        );
        remains
    }

    /// The processes of all nodes.
    pub fn pids(&self) -> Vec<u32> {
        let groups = fs::read_dir(cgroup::root()).unwrap().flatten();
        let names = groups.filter_map(|entry| entry.file_name().into_string().ok());
        let ours = names.filter(|name| name.starts_with(&format!("lab-{}-", self.name)));
        ours.flat_map(|name| cgroup::pids(&name).unwrap()).collect()
    }
}

/// The verb that runs our program on a machine.
fn on(machine: &str, words: &str) -> String {
    format!("exec {machine} -- {} {words}", program("tombolo").display())
}

impl Drop for Lab {
    fn drop(&mut self) {
        let output = self.try_run("down");
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

pub struct Pod {
    pub netns: Netns,
    pub addresses: Vec<IpAddr>,
}

fn addresses(pod: &Value) -> Vec<IpAddr> {
    let addresses = pod["addresses"].as_array().expect("addresses are a list");
    let addresses = addresses
        .iter()
        .map(|address| address.as_str().expect("addresses are text"));
    addresses.map(|address| address.parse().unwrap()).collect()
}

/// Where older kernels' control groups are beside those of today.
fn hierarchies() -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// A program of this build: test programs lie in `deps` beside it.
pub fn program(name: &str) -> PathBuf {
    let own = env::current_exe().expect("a test is a program");
    let folder = own
        .parent()
        .and_then(|deps| deps.parent())
        .expect("tests lie in deps");
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "{} is not there; run `cargo build -p tombolo-cli -p tombolo-cni` first",
        program.display()
    );
    program
}

pub fn wait_until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !done() {
        assert!(
            Instant::now() < deadline,
            "{what} took more than {patience:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}
