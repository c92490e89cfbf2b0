//! Pods that come and go while agents do: nothing is lost, nothing is left over.
//!
//! Needs root and the built programs, and says so.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};
use support::{Lab, bare::Bare, held::Held, wait_until};
use tombolo_linux::{bpf::Kind, netlink::Netlink, netns::Netns, process};

const OPTIONS: &[&str] = &[
    "--cluster-name",
    "cluster1",
    "--cluster-id",
    "1",
    "--node-name",
    "n1",
    "--node-ip",
    "172.30.1.11,fd00:30:1::11",
    "--pod-range",
    "10.1.1.0/24,fd00:10:1:1::/64",
];
const PATIENCE: Duration = Duration::from_secs(10);
const ROUNDS: u32 = 12;

/// What a node of a lab has of pods.
#[derive(Debug, PartialEq)]
struct Inventory {
    endpoints: Vec<String>,
    free: Value,
    devices: Vec<String>,
    pins: Vec<String>,
}

fn inventory(lab: &Lab, node: &str) -> Inventory {
    let ask = |words: &str| {
        let text = lab.run(&format!("exec {node} -- {words}"));
        text.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let json = |words: &str| -> Value {
        let text = lab.tombolo(node, &format!("{words} -o json"));
        serde_json::from_str(&text).unwrap()
    };
    let endpoints = json("endpoint list");
    let endpoints = endpoints.get("endpoints").unwrap_or(&endpoints);
    let devices = ask("ls /sys/class/net");
    Inventory {
        endpoints: endpoints
            .as_array()
            .expect("endpoints are a list")
            .iter()
            .map(|endpoint| endpoint["pod"]["name"].as_str().unwrap_or_default().into())
            .collect(),
        free: json("status")["free_addresses"].clone(),
        devices: devices
            .into_iter()
            .filter(|name| name.starts_with("tmb"))
            .map(|_| "tmb".to_owned())
            .collect(),
        pins: ask("ls /sys/fs/bpf/tombolo/links"),
    }
}

impl Inventory {
    /// Without the numbers, which are new for each pod.
    fn sorted(mut self) -> Inventory {
        self.endpoints.sort();
        for pin in &mut self.pins {
            if pin.starts_with("endpoint-") {
                "endpoint".clone_into(pin);
            }
        }
        self
    }
}

#[test]
fn pods_deleted_and_made_around_an_agents_absence_are_so_after_it() {
    let lab = Lab::up("absent", "--clusters 2 --nodes 1 --pods 2");
    let before = inventory(&lab, "c1-n1").sorted();
    lab.run("process kill c1-n1 agent");
    lab.run("pod delete c1-n1-p1");
    assert!(!lab.try_run("pod add c1-n1").status.success());
    lab.run("process start c1-n1 agent");
    // The same name, while the queue is worked off.
    assert_eq!(lab.run("pod add c1-n1").trim(), "c1-n1-p1");
    let queue = "exec c1-n1 -- ls /var/lib/tombolo/cni/deletes";
    wait_until("the queued deletions", PATIENCE, || {
        lab.run(queue).is_empty()
    });
    assert_eq!(inventory(&lab, "c1-n1").sorted(), before);
    lab.assert_all_well("", 4 * 3 * 6);
}

#[test]
fn an_agent_killed_while_a_pod_is_attached_leaks_nothing() {
    let lab = Lab::up("torn", "--clusters 2 --nodes 1 --pods 1");
    let before = inventory(&lab, "c1-n1").sorted();
    let agent = |lab: &Lab| -> u32 {
        let path = format!("/run/tombolo-lab/{}/state.json", lab.name);
        let state: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let pid = state["machines"]["c1-n1"]["processes"]["agent"]["pid"].as_u64();
        u32::try_from(pid.expect("an agent")).unwrap()
    };
    let netns = Netns::named(&format!("{}-c1-n1", lab.name)).unwrap();
    let node = Netlink::open_in(&netns).unwrap();
    let begin = Instant::now();
    lab.run("pod add c1-n1");
    let whole = begin.elapsed();
    lab.run("pod delete c1-n1-p2");
    let mut torn = 0;
    for round in 0..ROUNDS {
        let number = agent(&lab);
        let began = process::start_time(number).expect("the agent runs");
        let pid = Pid::from_raw(number.cast_signed()).unwrap();
        let delay = whole * round / ROUNDS;
        let devices = || {
            let links = node.links().unwrap();
            links
                .iter()
                .filter(|link| link.name.starts_with("tmb"))
                .count()
        };
        let added = thread::scope(|scope| {
            let adding = scope.spawn(|| lab.try_run("pod add c1-n1"));
            // Each round another moment of the pod's making, and often that between planned and attached.
            if round % 2 == 0 {
                thread::sleep(delay);
            } else {
                wait_until("the pod's device", PATIENCE, || {
                    devices() == 2 || adding.is_finished()
                });
            }
            let _ = kill_process(pid, Signal::KILL);
            adding.join().unwrap()
        });
        wait_until("the end of the agent", PATIENCE, || {
            !process::alive(number, began)
        });
        lab.run("process start c1-n1 agent");
        // A runtime tries again; a pod that was attached before the kill is there.
        if lab.json("status")["pods"].as_array().unwrap().len() == 2 {
            assert!(!added.status.success());
            torn += 1;
            assert_eq!(lab.run("pod add c1-n1").trim(), "c1-n1-p2");
        }
        lab.assert_all_well("", 3 * 2 * 6);
        lab.run("pod delete c1-n1-p2");
        wait_until("the end of the torn pods", PATIENCE, || {
            inventory(&lab, "c1-n1").sorted() == before
        });
    }
    println!("{torn} of {ROUNDS} were torn");
    assert!(torn > 0, "no attachment was torn: the test shows nothing");
    let found = inventory(&lab, "c1-n1").sorted();
    assert_eq!(found, before);
}

#[test]
fn many_pods_after_each_other_leave_nothing() {
    const WARM: usize = 20;
    const PODS: usize = 200;
    const GROWTH_KIB_MAX: u64 = 5 * 1024;
    let node = Bare::new();
    let agent = node.agent(OPTIONS);
    let cycle = |from: usize, count: usize| {
        for number in from..from + count {
            let pod = format!("p{number}");
            for verb in ["pod-add", "pod-delete"] {
                let output = node.pod(verb, &pod, &pod);
                assert!(output.status.success(), "{verb} {pod}: {output:?}");
            }
        }
    };
    cycle(0, WARM);
    let look = || {
        let held = Held::by(&[agent.pid()]);
        let kinds = [Kind::Program, Kind::Map, Kind::Link];
        let held: BTreeMap<Kind, usize> = kinds
            .map(|kind| (kind, held.count(kind)))
            .into_iter()
            .collect();
        let descriptors = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
        let status = node.ask(&["status"]);
        (
            node.traces(),
            held,
            descriptors.count(),
            status["free_addresses"].clone(),
            status["addresses"].clone(),
            node.ask(&["endpoint", "list"]),
        )
    };
    let (before, resident) = (look(), agent.resident_kib());
    cycle(WARM, PODS);
    let grown = agent.resident_kib().saturating_sub(resident);
    assert!(grown < GROWTH_KIB_MAX, "the agent grew by {grown} KiB");
    println!("the agent grew by {grown} KiB over {PODS} pods from {resident}");
    wait_until("the same node as before", PATIENCE, || look() == before);
}
