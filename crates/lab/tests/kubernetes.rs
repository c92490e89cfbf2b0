//! Labs of real Kubernetes: pods come up and answer, every process may die and come back, and nothing stays at the end.
//!
//! Without Tombolo in them: what it makes of Kubernetes has tests of its own. Needs root, the built programs, a container
//! runtime and the reference plugins, and says so.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::{fs, path::Path, time::Duration};
use support::{
    Lab,
    kubernetes::{Cluster, plain_network},
    wait_until,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn up(name: &str, words: &str) -> Lab {
    let lab = Lab::planned(name);
    lab.run(&format!("up --no-install {words}"));
    lab
}

/// Folders and settings of this machine that nodes must leave alone.
fn traces() -> Vec<String> {
    let folders = [
        "/etc/cni",
        "/opt/cni",
        "/run/containerd",
        "/usr/libexec/kubernetes",
        "/var/lib/cni",
        "/var/lib/containerd",
        "/var/lib/kubelet",
        "/var/log/containers",
        "/var/log/pods",
    ];
    let folders = folders.iter().filter(|folder| Path::new(folder).exists());
    let settings = [
        "kernel/panic",
        "kernel/panic_on_oops",
        "vm/overcommit_memory",
    ];
    let settings = settings.map(|name| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap();
        format!("{name}={value}")
    });
    folders
        .map(|folder| (*folder).to_owned())
        .chain(settings)
        .collect()
}

#[test]
fn deployments_of_both_clusters_answer_and_nothing_stays() {
    let before = traces();
    let lab = up(
        "kube",
        "--names west,east --pod-ranges 11.0.0.0/8,12.0.0.0/8",
    );
    let again = lab.try_run("up");
    assert!(!again.status.success(), "a second one of the same name");
    for (number, context) in [(1, "west"), (2, "east")] {
        let cluster = Cluster::of(&lab, context);
        for node in [1, 2] {
            plain_network(
                &lab,
                &format!("c{number}-n{node}"),
                &format!("1{number}.0.{node}.0/24"),
            );
        }
        cluster.wait_until_nodes_ready(2);
        cluster.deploy_echo(4);
        let pods = cluster.pods();
        assert_eq!(pods.len(), 4);
        for node in [1, 2] {
            let node = format!("c{number}-n{node}");
            let on_node: Vec<_> = pods.iter().filter(|pod| pod.node == node).collect();
            assert_eq!(on_node.len(), 2, "{pods:?}");
            let address = &on_node[1].address;
            for url in ["http://ADDRESS:8080/", "tcp://ADDRESS", "udp://ADDRESS"] {
                let answer = cluster.ask(on_node[0], &url.replace("ADDRESS", address));
                assert_eq!(answer["pod"], on_node[1].name, "{answer}");
                assert_eq!(answer["node"], node, "{answer}");
                assert_eq!(answer["cluster"], context, "{answer}");
                assert_eq!(answer["from"], on_node[0].address, "{answer}");
            }
            let said = cluster.run(&format!("logs {} -c shell", on_node[0].name));
            assert_eq!(said, "here\n");
        }
    }
    assert!(lab.try_run("status").status.success());
    lab.run("down");
    assert_eq!(lab.remains(), Vec::<String>::new());
    assert_eq!(traces(), before);
}

#[test]
fn every_process_may_die_and_come_back_and_pods_stay() {
    for store in ["etcd", "embedded"] {
        let lab = up(store, &format!("--clusters 1 --nodes 1 --store {store}"));
        let cluster = Cluster::of(&lab, "cluster1");
        plain_network(&lab, "c1-n1", "10.1.1.0/24");
        cluster.wait_until_nodes_ready(1);
        cluster.deploy_echo(2);
        let pods = cluster.pods();
        let store = if store == "etcd" { "etcd" } else { "store" };
        let processes = [
            ("c1-n1", "containerd"),
            ("c1-n1", "kubelet"),
            ("c1-control", store),
            ("c1-control", "kube-apiserver"),
            ("c1-control", "door"),
            // Last, since those that have only begun give up when they find no API server.
            ("c1-control", "kube-scheduler"),
            ("c1-control", "kube-controller-manager"),
        ];
        for (machine, role) in processes {
            // What the embedded store held is gone with it: that its cluster begins anew is no fault of the lab's.
            if role == "store" {
                continue;
            }
            lab.run(&format!("process kill {machine} {role}"));
            assert!(!lab.try_run("status").status.success(), "{role} is dead");
            lab.run(&format!("process start {machine} {role}"));
            lab.wait_until_well(PATIENCE);
            lab.run(&format!("process restart {machine} {role}"));
        }
        wait_until("an answer after all", PATIENCE, || {
            cluster.try_run("get pods").status.success()
        });
        cluster.wait_until_nodes_ready(1);
        assert_eq!(cluster.pods(), pods, "the same pods, none started again");
        let url = format!("tcp://{}", pods[1].address);
        assert_eq!(cluster.ask(&pods[0], &url)["pod"], pods[1].name);
        cluster.run("rollout restart deployment/echo");
        cluster.run("rollout status deployment/echo --timeout=90s");
    }
}

#[test]
fn wires_are_cut_and_healed() {
    let lab = up("wires", "--clusters 1 --nodes 1");
    let ping = || {
        lab.try_run("exec c1-control -- ping -c 1 -W 1 172.30.1.11")
            .status
            .success()
    };
    assert!(ping());
    lab.run("cut c1-n1");
    assert!(!ping());
    lab.run("heal c1-n1");
    wait_until("the wire", PATIENCE, ping);
    lab.run("delay c1-n1 20");
    lab.wait_until_well(PATIENCE);
}

#[test]
fn down_leaves_nothing_after_everything_was_killed() {
    let before = traces();
    let lab = up("killed", "--clusters 1 --nodes 2");
    let cluster = Cluster::of(&lab, "cluster1");
    for node in [1, 2] {
        plain_network(&lab, &format!("c1-n{node}"), &format!("10.1.{node}.0/24"));
    }
    cluster.wait_until_nodes_ready(2);
    cluster.deploy_echo(4);
    let pids = lab.pids();
    // Of each machine its first process; five of the control plane, two of each node; a shim, a pause with its child and two
    // containers of each pod.
    assert!(pids.len() >= 3 + 5 + 2 * 2 + 4 * 5, "{pids:?}");
    for pid in pids {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        // Some end with others.
        let _ = kill_process(pid, Signal::KILL);
    }
    wait_until("the end of all", PATIENCE, || lab.pids().is_empty());
    // The state is lost too.
    fs::remove_dir_all(format!("/run/tombolo-lab/{}", lab.name)).unwrap();
    let again = lab.try_run("up --no-install");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("half-made or half-removed"), "{said}");
    lab.run("down");
    assert_eq!(lab.remains(), Vec::<String>::new());
    assert_eq!(traces(), before);
}
