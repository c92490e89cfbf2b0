//! A mesh of stores that is hurt: packets between pods that know of each other never stop, and afterwards all is known.
//!
//! Needs root and the built programs, and says so.

mod support;

use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};
use support::{Lab, traffic, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// What is done to cluster1, or to who reads it, while a pod is made in it that nobody may hear of at once.
const HURTS: [(&str, &[&str], &[&str]); 7] = [
    (
        "store",
        &["process kill c1-control store"],
        &["process start c1-control store"],
    ),
    (
        "apiserver",
        &["process kill c1-control apiserver"],
        &["process start c1-control apiserver --no-wait"],
    ),
    (
        "kvstoremesh",
        &["process kill c2-control kvstoremesh"],
        &["process start c2-control kvstoremesh --no-wait"],
    ),
    (
        "agent",
        &["process kill c2-n1 agent"],
        &["process start c2-n1 agent --no-wait"],
    ),
    ("wiped store", &["store wipe cluster2"], &[]),
    ("cut store", &["cut c1-control"], &["heal c1-control"]),
    ("cut node", &["cut c2-n2"], &["heal c2-n2"]),
];

#[test]
fn no_packet_is_lost_while_programs_of_the_mesh_are_killed() {
    let lab = Lab::up("hurt", "--clusters 2 --nodes 2 --pods 1 --mesh kvstoremesh");
    let (from, to) = (lab.pod("c1-n1-p1"), lab.pod("c2-n1-p1"));
    for (index, (what, hurt, heal)) in HURTS.iter().enumerate() {
        let target = to.addresses[index % 2];
        let mut well = Duration::ZERO;
        let flooded = traffic::flood(&from, &to, target, || {
            hurt.iter().for_each(|verb| drop(lab.run(verb)));
            lab.add_pod("c1-n2");
            heal.iter().for_each(|verb| drop(lab.run(verb)));
            well = lab.wait_until_well(PATIENCE);
        });
        println!("{what}: {flooded:?}, all known {well:?} after healing");
        assert_eq!(flooded.lost, 0, "{what}: {flooded:?}");
        assert!(
            flooded.pings > 200 && flooded.streamed > 0,
            "{what}: {flooded:?}"
        );
        let (name, addresses) = lab.add_pod("c1-n2");
        traffic::first_reply(&to, addresses[index % 2], PATIENCE);
        lab.wait_until_well(PATIENCE);
        // Pods that were told of in between come to an end as well.
        lab.run(&format!("pod delete {name}"));
    }
    lab.assert_all_well("--wait 0", 1);
}

fn prefixes(lab: &Lab, node: &str) -> BTreeSet<String> {
    let listed = lab.ask(node, "ip list");
    let listed = listed.get("addresses").unwrap_or(&listed);
    let rows = listed.as_array().expect("addresses are a list").iter();
    rows.map(Value::to_string).collect()
}

#[test]
fn clusters_that_are_cut_from_each_other_forget_nothing_and_catch_up() {
    let lab = Lab::up("cut", "--clusters 3 --nodes 1 --pods 1 --mesh kvstoremesh");
    let pods = ["c1-n1-p1", "c2-n1-p1", "c3-n1-p1"].map(|name| lab.pod(name));
    let before = ["c1-n1", "c2-n1"].map(|node| prefixes(&lab, node));
    let mut fresh = Vec::new();
    let flooded = traffic::flood(&pods[0], &pods[2], pods[2].addresses[1], || {
        lab.run("cut cluster1:cluster2");
        for node in ["c1-n1", "c2-n1", "c3-n1"] {
            fresh.push(lab.add_pod(node));
        }
        // Each still learns of the third, and the third of both.
        for (from, cluster) in [(0, 2), (1, 2), (2, 0), (2, 1)] {
            traffic::first_reply(&pods[from], fresh[cluster].1[0], PATIENCE);
        }
        // Until its silence is noticed, and beyond.
        wait_until("a peer that is known to be out of reach", PATIENCE, || {
            let status = lab.json("status");
            let machines = status["machines"].as_array().unwrap();
            let control = machines
                .iter()
                .find(|machine| machine["name"] == "c1-control")
                .unwrap();
            let processes = control["processes"].as_array().unwrap();
            let mesh = processes
                .iter()
                .find(|process| process["role"] == "kvstoremesh")
                .unwrap();
            let peers = mesh["told"]["peers"]
                .as_array()
                .expect("it tells of its peers");
            peers
                .iter()
                .any(|peer| peer["cluster"] == "cluster2" && peer["ready"] == false)
        });
        for (node, before) in ["c1-n1", "c2-n1"].iter().zip(&before) {
            let now = prefixes(&lab, node);
            let gone: Vec<_> = before.difference(&now).collect();
            assert_eq!(gone, Vec::<&String>::new(), "{node}");
        }
        lab.run("heal cluster1:cluster2");
    });
    assert_eq!(flooded.lost, 0, "{flooded:?}");
    let well = lab.wait_until_well(PATIENCE);
    println!("{flooded:?}; all known {well:?} after healing");
    lab.assert_all_well("--wait 0", 6 * 5 * 6);
}

/// What the agent says of itself, well or not.
fn status(lab: &Lab, node: &str) -> Option<Value> {
    let program = support::program("tombolo");
    let asked = lab.try_run(&format!(
        "exec {node} -- {} status -o json",
        program.display()
    ));
    serde_json::from_slice(&asked.stdout).ok()
}

#[test]
fn an_agent_that_starts_without_any_store_keeps_what_it_finds() {
    let lab = Lab::up(
        "alone",
        "--clusters 3 --nodes 1 --pods 1 --mesh kvstoremesh",
    );
    let (from, to) = (lab.pod("c1-n1-p1"), lab.pod("c2-n1-p1"));
    let known = || -> BTreeSet<String> {
        let listed = lab.ask("c1-n1", "ip list");
        let rows = listed.as_array().unwrap().iter();
        rows.map(|row| format!("{} {}", row["prefix"], row["identity"]))
            .collect()
    };
    let before = known();
    let flooded = traffic::flood(&from, &to, to.addresses[0], || {
        lab.run("process kill c1-control store");
        lab.run("process kill c1-n1 agent");
        lab.run("process start c1-n1 agent --no-wait");
        let mut last = None;
        wait_until("an agent that has tried in vain", PATIENCE, || {
            last = status(&lab, "c1-n1");
            let peers = last.as_ref().and_then(|status| status["peers"].as_array());
            peers.is_some_and(|peers| peers.iter().all(|peer| peer["failures"] != 0))
        });
        let last = last.unwrap();
        let awaited = ["cluster1", "cluster2", "cluster3"];
        assert_eq!(last["awaited"], serde_json::json!(awaited), "{last}");
        assert!(last["kept"].as_u64() > Some(0), "{last}");
        assert_eq!(known(), before);
    });
    assert_eq!(flooded.lost, 0, "{flooded:?}");

    // One is taken out meanwhile: what is its goes when our own cluster is read, and what is the other's stays.
    lab.run("process kill c1-n1 agent");
    lab.run("process kill c1-control kvstoremesh");
    lab.run("mesh disconnect cluster1 cluster3");
    lab.run("process start c1-n1 agent --no-wait");
    lab.run("process start c1-control store");
    lab.run("process start c1-control apiserver --no-wait");
    wait_until("cluster3 to be forgotten", PATIENCE, || {
        let rows = known();
        !rows.iter().any(|row| row.contains("10.3."))
    });
    let last = status(&lab, "c1-n1").unwrap();
    assert_eq!(last["awaited"], serde_json::json!(["cluster2"]), "{last}");
    let of_two = |rows: &BTreeSet<String>| {
        let rows = rows.iter().filter(|row| row.contains("10.2."));
        rows.cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(of_two(&known()), of_two(&before));
    lab.run("process start c1-control kvstoremesh --no-wait");
    wait_until("cluster2 to be read", PATIENCE, || {
        status(&lab, "c1-n1").is_some_and(|status| status["kept"] == 0 && status["healthy"] == true)
    });
    assert_eq!(of_two(&known()), of_two(&before));
}
