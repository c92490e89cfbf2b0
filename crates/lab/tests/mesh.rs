//! Clusters that know of each other by their stores alone: who learns what how soon, and forgets what when.
//!
//! Needs root, the built programs and etcdctl, and says so.

mod support;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use support::{Lab, Pod, program, traffic, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
/// The folder of peers is looked at so often when one may come back that was being put away.
const RETURN_PATIENCE: Duration = Duration::from_secs(60);

/// Adds a pod and has one of each cluster ping it until it answers; prints how soon it did.
fn add_and_reach(lab: &Lab, node: &str, from: &[Pod]) -> String {
    let begin = Instant::now();
    let (name, addresses) = lab.add_pod(node);
    let there = begin.elapsed();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for pod in from {
            for address in &addresses {
                threads.push(scope.spawn(|| traffic::first_reply(pod, *address, PATIENCE)));
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
    println!(
        "{name}: made in {there:?}, answered pings of {} pods elsewhere {:?} after the order to make it",
        from.len(),
        begin.elapsed()
    );
    name
}

fn prefixes(lab: &Lab, node: &str) -> BTreeSet<String> {
    let listed = lab.ask(node, "ip list");
    let listed = listed.get("addresses").unwrap_or(&listed);
    let listed = listed.as_array().expect("addresses are a list").iter();
    listed
        .map(|address| address["prefix"].as_str().unwrap().to_owned())
        .collect()
}

fn pods_of_every_cluster_reach_each_other(lab: &Lab) {
    lab.assert_all_well("--wait 0", 6 * 5 * 6);
    let nodes = ["c1-n1", "c1-n2", "c2-n1", "c2-n2", "c3-n1", "c3-n2"];
    for node in ["c1-n2", "c3-n1"] {
        let others = nodes.iter().filter(|other| other[..2] != node[..2]);
        let others: Vec<Pod> = others
            .map(|other| lab.pod(&format!("{other}-p1")))
            .collect();
        assert_eq!(others.len(), 4);
        let name = add_and_reach(lab, node, &others);
        let addresses = lab.pod(&name).addresses;
        lab.wait_until_well(PATIENCE);
        lab.run(&format!("pod delete {name}"));
        for other in nodes {
            let known = prefixes(lab, other);
            for address in &addresses {
                let prefix = ipnet::IpNet::from(*address).to_string();
                assert!(!known.contains(&prefix), "{other} still knows {prefix}");
            }
        }
    }
    lab.wait_until_well(PATIENCE);
    lab.assert_all_well("--wait 0", 6 * 5 * 6);
}

#[test]
fn clusters_learn_of_each_other_by_kvstoremesh() {
    let lab = Lab::up("mesh", "--clusters 3 --nodes 2 --pods 1 --mesh kvstoremesh");
    pods_of_every_cluster_reach_each_other(&lab);
    for program in [
        "c1-control store",
        "c2-control apiserver",
        "c3-control kvstoremesh",
        "c1-n1",
    ] {
        assert!(
            lab.run(&format!("logs {program}")).contains("ready"),
            "{program}"
        );
    }
    for (words, expected) in [
        (
            "logs c1-control",
            "name one of store, apiserver, kvstoremesh",
        ),
        (
            "process kill c1-control agent",
            "it has store, apiserver, kvstoremesh",
        ),
        ("mesh connect c1 c1", "name two"),
        ("mesh disconnect c1 c9", "cluster1, cluster2, cluster3"),
        ("mesh renumber c1 0", "1 to 255"),
        ("store wipe c9", "cluster1, cluster2, cluster3"),
    ] {
        let output = lab.try_run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(expected),
            "{words}: {said}"
        );
    }
}

#[test]
fn clusters_learn_of_each_other_directly() {
    let lab = Lab::up("straight", "--clusters 3 --nodes 2 --pods 1 --mesh direct");
    pods_of_every_cluster_reach_each_other(&lab);
    lab.run("down");
    assert_eq!(lab.remains(), Vec::<String>::new());
}

/// Keys of a cluster's store, seen by the client of etcd.
struct Keys {
    etcdctl: String,
}

impl Keys {
    fn new() -> Keys {
        let output = Command::new(program("tombolo"))
            .args(["lab", "binaries", "etcdctl", "-o", "json"])
            .output()
            .unwrap();
        let found: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let etcdctl = found[0]["path"].as_str().expect("its path").to_owned();
        Keys { etcdctl }
    }

    /// All keys that speak of a cluster.
    fn of(&self, lab: &Lab, store: &str, cluster: &str) -> Vec<String> {
        let folder = "/var/lib/tombolo/certificates";
        let keys = lab.run(&format!(
            "exec {store}-control -- {} --endpoints https://127.0.0.1:2379 --cacert {folder}/ca.crt \
             --cert {folder}/admin.crt --key {folder}/admin.key get --prefix --keys-only cilium/",
            self.etcdctl
        ));
        assert!(keys.contains("cilium/.heartbeat"), "{keys}");
        let speak = |key: &&str| key.split('/').any(|part| part == cluster);
        keys.lines().filter(speak).map(str::to_owned).collect()
    }
}

/// Nodes, pods and their identities of a cluster that an agent shows.
fn traces(lab: &Lab, node: &str, cluster: &str) -> Vec<String> {
    let listed = [lab.ask(node, "ip list"), lab.ask(node, "node list")];
    let mut traces = Vec::new();
    for list in listed {
        let list = list
            .as_object()
            .and_then(|all| all.values().next())
            .unwrap_or(&list)
            .clone();
        let list = list.as_array().expect("it is a list").iter();
        traces.extend(
            list.map(Value::to_string)
                .filter(|row| row.contains(cluster)),
        );
    }
    traces
}

#[test]
fn a_peer_that_is_taken_out_leaves_nothing_and_may_come_back() {
    let keys = Keys::new();
    let lab = Lab::up(
        "peers",
        "--clusters 3 --nodes 1 --pods 1 --mesh kvstoremesh",
    );
    let pods = ["c1-n1-p1", "c2-n1-p1", "c3-n1-p1"].map(|name| lab.pod(name));
    assert!(keys.of(&lab, "c1", "cluster3").len() > 3);
    assert!(traces(&lab, "c1-n1", "cluster3").len() >= 3);

    // What the others have of it is not touched.
    let flooded = traffic::flood(&pods[1], &pods[2], pods[2].addresses[0], || {
        lab.run("mesh disconnect cluster1 cluster3");
        for (store, cluster) in [("c1", "cluster3"), ("c3", "cluster1")] {
            let node = format!("{store}-n1");
            wait_until("the end of what agents knew", PATIENCE, || {
                traces(&lab, &node, cluster).is_empty()
            });
            wait_until("the end of what was copied", PATIENCE, || {
                keys.of(&lab, store, cluster).is_empty()
            });
        }
    });
    assert_eq!(flooded.lost, 0, "{flooded:?}");
    lab.wait_until_well(PATIENCE);

    // Back with the same number, while the other peers stay.
    lab.run("mesh connect cluster1 cluster3");
    lab.wait_until_well(RETURN_PATIENCE);
    lab.assert_all_well("--wait 0", 3 * 2 * 6);

    // And with another, of which one peer learns anew and the other while it reads.
    lab.run("mesh disconnect cluster1 cluster3");
    lab.run("mesh renumber cluster3 77");
    lab.run("mesh connect cluster1 cluster3");
    lab.wait_until_well(RETURN_PATIENCE);
    lab.assert_all_well("--wait 0", 3 * 2 * 6);
    for node in ["c1-n1", "c2-n1"] {
        let traces = traces(&lab, node, "cluster3").concat();
        let of_number = |number: u32| traces.contains(&(number << 16 | 256).to_string());
        assert!(of_number(77) && !of_number(3), "{node}: {traces}");
    }
}
