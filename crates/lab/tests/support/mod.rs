//! Labs for tests: made by the built programs, taken down when dropped, one at a time since they measure time.

#![allow(dead_code, reason = "each test program uses its part")]

use serde_json::Value;
use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tombolo_linux::{cgroup, netns::Netns};

pub mod bare;
pub mod held;
pub mod traffic;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Lab {
    pub name: String,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    /// Makes a lab; `words` are those of `tombolo lab up --bare`.
    pub fn up(name: &str, words: &str) -> Lab {
        let lab = Lab::planned(name);
        let up = ["up --bare", words].join(" ");
        lab.run(&up);
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
        // `pod` and `agent` have verbs of their own; the name goes after those.
        let nested = ["pod", "agent"].contains(&verb);
        let mut command = Command::new(program("tombolo"));
        command.arg("lab").arg(verb);
        command.args(words.by_ref().take(usize::from(nested)));
        command.arg("--name").arg(&self.name).args(words);
        command.output().expect("the program was found")
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

    fn init_pid(&self, node: &str) -> u64 {
        let status = self.json("status");
        let nodes = status["nodes"].as_array().expect("nodes are a list");
        let node = nodes.iter().find(|n| n["name"] == node).expect("the node");
        let processes = node["processes"].as_array().expect("processes are a list");
        let init = processes
            .iter()
            .find(|p| p["role"] == "init")
            .expect("init");
        init["pid"].as_u64().expect("pids are numbers")
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
        let addresses = pod["addresses"].as_array().expect("addresses are a list");
        let addresses = addresses
            .iter()
            .map(|a| a.as_str().unwrap().parse().unwrap());
        Pod {
            netns: Netns::open(path).unwrap(),
            addresses: addresses.collect(),
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
        ] {
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
    pub addresses: Vec<std::net::IpAddr>,
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
