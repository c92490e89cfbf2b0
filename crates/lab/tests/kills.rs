//! Every program that keeps meshed clusters going is killed and comes back while pods of both speak with each other: they lose
//! nothing, all see each other again, and new pods come up.
//!
//! Needs root, the built programs, a container runtime and helm, and says so.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::{fs, net::IpAddr, time::Duration};
use support::{
    Pod,
    kubernetes::Cluster,
    traffic::{Flooded, flood},
    user::User,
    wait_until,
};
use tombolo_linux::netns::Netns;

const PATIENCE: Duration = Duration::from_secs(90);
const CONTEXTS: [&str; 2] = ["cluster1", "cluster2"];

#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The lab's: somebody must start it again.
    Process(&'static str, &'static str),
    /// Tombolo's, by its verb: Kubernetes starts it again.
    Tombolo(&'static str),
}
use Victim::{Process, Tombolo};

const VICTIMS: [Victim; 9] = [
    Process("c1-control", "etcd"),
    Process("c1-control", "kube-apiserver"),
    Process("c1-n1", "containerd"),
    Process("c1-n1", "kubelet"),
    Tombolo("store"),
    Tombolo("apiserver"),
    Tombolo("kvstoremesh"),
    Tombolo("operator"),
    Tombolo("agent"),
];

/// Processes of a verb of Tombolo's in the first cluster.
fn pids(user: &User, verb: &str) -> Vec<u32> {
    let mut pids = user.lab.pids();
    pids.retain(|pid| {
        let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let has = |bytes: &[u8], text: &str| {
            bytes
                .split(|byte| *byte == 0)
                .any(|part| part == text.as_bytes())
        };
        let words = file("cmdline");
        let mut words = words.split(|byte| *byte == 0);
        words
            .next()
            .is_some_and(|first| first.ends_with(b"tombolo"))
            && words.next() == Some(verb.as_bytes())
            && has(&file("environ"), "TOMBOLO_CLUSTER_NAME=cluster1")
    });
    pids
}

impl Victim {
    /// Ends it without a chance to clean up, and returns when all that was killed runs again.
    fn dies_and_comes_back(self, user: &User) {
        match self {
            Process(machine, role) => {
                user.lab.run(&format!("process kill {machine} {role}"));
                user.lab.run(&format!("process start {machine} {role}"));
            }
            Tombolo(verb) => {
                let before = pids(user, verb);
                assert!(!before.is_empty(), "{verb} runs");
                for pid in &before {
                    let pid = Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
                    kill_process(pid, Signal::KILL).unwrap();
                }
                wait_until(verb, PATIENCE, || {
                    let now = pids(user, verb);
                    now.len() == before.len() && now.iter().all(|pid| !before.contains(pid))
                });
            }
        }
        user.lab.wait_until_well(PATIENCE);
        user.is_well(CONTEXTS);
    }
}

/// The network of a pod of the lab's echo server, and its IPv4 address.
fn echo(user: &User, context: &str) -> (Pod, IpAddr) {
    let pods = Cluster::of(&user.lab, context).pods();
    let pod = pods.first().expect("there are pods");
    let name = format!("POD_NAME={}", pod.name);
    let named = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut parts = environment.split(|byte| *byte == 0);
        parts.any(|part| part == name.as_bytes())
    };
    let pid = user.lab.pids().into_iter().find(named);
    let pid = pid.expect("the server runs");
    let address = pod.address.parse().expect("it has an address");
    let netns = Netns::open(format!("/proc/{pid}/ns/net")).unwrap();
    let addresses = vec![address];
    (Pod { netns, addresses }, address)
}

fn assert_lost_nothing(flooded: &Flooded, what: &str) {
    eprintln!("{what}: {flooded:?}");
    assert!(flooded.pings > 100 && flooded.streamed > 0, "{flooded:?}");
    assert_eq!(flooded.lost, 0, "{what}: {flooded:?}");
}

/// Pods that are made now answer those of the other cluster.
fn new_pods_answer(user: &User) {
    for context in CONTEXTS {
        let cluster = Cluster::of(&user.lab, context);
        cluster.run("rollout restart deployment/echo");
        cluster.run("rollout status deployment/echo --timeout=90s");
        // Those that go are listed until they are gone.
        wait_until("the end of the old pods", PATIENCE, || {
            cluster.pods().len() == 2
        });
    }
    // What a writer tells that was killed waits until the lock that it held has ended.
    let [here, there] = CONTEXTS.map(|context| Cluster::of(&user.lab, context));
    for (from, to) in [(&here, &there), (&there, &here)] {
        for (asks, answers) in from.pods().iter().flat_map(|asks| {
            let answers = to.pods().into_iter();
            answers.map(move |answers| (asks.name.clone(), answers.address))
        }) {
            let words = format!(
                "exec {asks} -c echo -- tombolo lab ask --timeout 1 http://{answers}:8080/"
            );
            wait_until(&format!("an answer of {answers}"), PATIENCE, || {
                from.try_run(&words).status.success()
            });
        }
    }
    user.pods_answer(CONTEXTS);
}

/// What the embedded store held is gone with it, and with it its cluster: that one is not killed here.
#[test]
fn on_the_embedded_store_clusters_mesh_and_all_else_may_die() {
    let user = User::with("killed", "--store embedded");
    user.connects(CONTEXTS);
    user.pods_answer(CONTEXTS);
    let ((here, _), (there, target)) = (echo(&user, CONTEXTS[0]), echo(&user, CONTEXTS[1]));
    let flooded = flood(&here, &there, target, || {
        let mut victims = VICTIMS.iter();
        victims
            .by_ref()
            .filter(|victim| !matches!(victim, Process(_, "etcd")))
            .for_each(|victim| victim.dies_and_comes_back(&user));
    });
    assert_lost_nothing(&flooded, "all but the store");
    new_pods_answer(&user);
}

/// The long form: each by itself, and new pods after each.
#[test]
#[ignore = "takes minutes: run it by hand"]
fn each_may_die_by_itself() {
    let user = User::with("each", "");
    user.connects(CONTEXTS);
    user.pods_answer(CONTEXTS);
    for victim in VICTIMS {
        let ((here, _), (there, target)) = (echo(&user, CONTEXTS[0]), echo(&user, CONTEXTS[1]));
        let flooded = flood(&here, &there, target, || victim.dies_and_comes_back(&user));
        assert_lost_nothing(&flooded, &format!("{victim:?}"));
        new_pods_answer(&user);
    }
}
