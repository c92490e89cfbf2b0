//! Labs of the real agent and plugin: who reaches whom, what survives an agent, what is left after the end.
//!
//! Needs root and the built programs, and says so.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use support::{Lab, held::Held, traffic, wait_until};
use tombolo_linux::bpf::Kind;

const PODS: u64 = 8;
const PAIRS: u64 = PODS * (PODS - 1) * 6;

#[test]
fn every_pod_reaches_every_other_in_every_mode() {
    let cases = [
        ("tunnel", "--routing-mode tunnel"),
        ("native", "--routing-mode native"),
        ("tunnel6", "--routing-mode tunnel --underlay ipv6"),
    ];
    for (name, words) in cases {
        // Hosts and pods alike are learnt of by stores.
        let lab = Lab::up(name, &format!("--mesh kvstoremesh {words}"));
        lab.assert_all_well("", PAIRS);
        lab.assert_all_well("--all", PAIRS);
        let held = Held::by(&lab.pids());
        lab.run("down");
        assert_eq!(lab.remains(), Vec::<String>::new());
        held.wait_until_gone();
    }
}

#[test]
fn pods_come_and_go() {
    let lab = Lab::up("pods", "--nodes 1");
    let pod = lab.run("pod add c1-n1");
    assert_eq!(pod.trim(), "c1-n1-p3");
    lab.assert_all_well("", 5 * 4 * 6);
    lab.run("pod delete c1-n1-p1");
    lab.assert_all_well("", 4 * 3 * 6);
    // The freed name is given again, and all learn of the new pod.
    assert_eq!(lab.run("pod add c1-n1").trim(), "c1-n1-p1");
    lab.assert_all_well("", 5 * 4 * 6);
}

type Disturb = fn(&Lab);

/// What is done to the agent of c1-n1 while packets flow.
const DISTURBANCES: [(&str, Disturb); 3] = [
    ("kill -9 and start", |lab| {
        lab.run("process kill c1-n1 agent");
        lab.run("process start c1-n1 agent");
    }),
    ("restart", |lab| {
        lab.run("process restart c1-n1 agent");
    }),
    ("replacement of all programs", |lab| {
        lab.tombolo("c1-n1", "programs replace");
    }),
];

#[test]
fn no_packet_is_lost_while_the_agent_is_disturbed() {
    for mode in ["tunnel", "native"] {
        let lab = Lab::up(mode, &format!("--nodes 1 --pods 1 --routing-mode {mode}"));
        let (from, to) = (lab.pod("c1-n1-p1"), lab.pod("c2-n1-p1"));
        for (what, disturb) in DISTURBANCES {
            for target in &to.addresses {
                let flooded = traffic::flood(&from, &to, *target, || disturb(&lab));
                assert_eq!(flooded.lost, 0, "{mode}, {what}, {target}: {flooded:?}");
                assert!(flooded.pings > 200 && flooded.streamed > 0, "{flooded:?}");
            }
        }
        lab.assert_all_well("", 12);
    }
}

#[test]
fn a_smaller_underlay_is_no_black_hole() {
    for mode in ["tunnel", "native"] {
        let lab = Lab::up("mtu", &format!("--nodes 1 --pods 1 --routing-mode {mode}"));
        lab.run("mtu cluster1 1400");
        let (one, two) = (lab.pod("c1-n1-p1"), lab.pod("c2-n1-p1"));
        for (from, to) in [(&one, &two), (&two, &one)] {
            for target in &to.addresses {
                traffic::bulk(from, to, *target, 8 << 20);
                for bytes in [1300, 1400, 1440, 8000, 60_000] {
                    traffic::large_datagram(from, to, *target, bytes);
                }
            }
        }
    }
}

#[test]
fn faults_hurt_what_they_are_aimed_at_and_nothing_after() {
    let lab = Lab::up("faults", "--nodes 1 --pods 1");
    let reachable = || lab.json("check")["total"]["reachable"].as_u64().unwrap();
    assert_eq!(reachable(), 12);
    for target in ["c1-n1", "cluster2", "cluster1:cluster2"] {
        lab.run(&format!("cut {target}"));
        assert_eq!(reachable(), 0, "{target}");
        lab.run(&format!("heal {target}"));
        wait_until(target, Duration::from_secs(10), || reachable() == 12);
    }

    lab.run("delay c1-n1 20");
    let report = lab.json("check");
    for pair in report["pairs"].as_array().unwrap() {
        let rtt = pair["rtt_us"].as_f64().unwrap();
        assert!((40_000.0..200_000.0).contains(&rtt), "{pair}");
    }
    lab.run("delay c1-n1 0");

    let (from, to) = (lab.pod("c1-n1-p1"), lab.pod("c2-n1-p1"));
    lab.run("rate c1-n1 20");
    let slow = traffic::bulk(&from, &to, to.addresses[0], 4 << 20);
    assert!(
        slow > Duration::from_millis(1200),
        "4 MiB at 20 Mbit/s took {slow:?}"
    );
    lab.run("rate c1-n1 0");
    let fast = traffic::bulk(&from, &to, to.addresses[0], 4 << 20);
    assert!(fast < slow / 2, "{fast:?} after {slow:?}");

    // Each way loses, so 30 % become 51 % of the pings.
    lab.run("loss c1-n1 30");
    let lossy = traffic::lost_of_pings(&from, to.addresses[0], 500);
    assert!((175..330).contains(&lossy), "{lossy} of 500 lost");
    lab.run("loss c1-n1 0");
    assert_eq!(traffic::lost_of_pings(&from, to.addresses[0], 200), 0);
    lab.assert_all_well("", 12);
}

#[test]
fn down_leaves_nothing_after_everything_was_killed() {
    let lab = Lab::up("killed", "--mesh kvstoremesh");
    lab.run("delay c1-n2 5");
    lab.run("delay c2-control 5");
    let pids = lab.pids();
    assert!(
        pids.len() >= 4 * 2 + 2 * 4 + 2,
        "nodes with init and agent, control machines with three programs more, and two relays: {pids:?}"
    );
    let held = Held::by(&pids);
    assert!(held.count(Kind::Program) >= 4 * 4, "{held:?}");
    assert!(held.count(Kind::Map) >= 4 * 10, "{held:?}");
    // At two pods, the uplink, the host's device and the tunnel's.
    assert!(held.count(Kind::Link) >= 4 * 5, "{held:?}");
    for pid in pids {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
    wait_until("the end of all", Duration::from_secs(10), || {
        lab.pids().is_empty()
    });
    // The state is lost too.
    std::fs::remove_dir_all(format!("/run/tombolo-lab/{}", lab.name)).unwrap();
    assert!(!lab.try_run("up --bare").status.success());
    lab.run("down");
    assert_eq!(lab.remains(), Vec::<String>::new());
    held.wait_until_gone();
    lab.run("down");
}

#[test]
fn what_cannot_be_is_refused_in_one_line_and_leaves_nothing() {
    let lab = Lab::planned("bad");
    let cases = [
        ("up --pods 2", "add --bare"),
        ("up --bare --store embedded", "take --bare away"),
        ("up --names one", "--names gives 1 for 2 clusters"),
        ("up --names One,two", "no name for a cluster"),
        ("up --pod-ranges 11.0.0.0/8,11.1.0.0/16", "overlaps with"),
        ("up --clusters 200", "MiB of memory"),
        ("up --bare --clusters 0", "use 1 to 255"),
        ("up --bare --fabric direct", "exactly two nodes"),
        (
            "up --bare --routing-mode native --underlay ipv6",
            "leave out --underlay ipv6",
        ),
        ("status", "there is no lab named"),
        ("check", "there is no lab named"),
        ("kubeconfig", "there is no lab named"),
    ];
    for (words, expected) in cases {
        let output = lab.try_run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words}");
        assert!(said.contains(expected), "{words}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{words}: {said}");
        assert_eq!(lab.remains(), Vec::<String>::new(), "{words}");
    }
}

#[test]
fn a_second_lab_of_the_same_name_is_refused_and_others_are_not() {
    let lab = Lab::up("twice", "--clusters 1 --nodes 1 --pods 2");
    let again = lab.try_run("up --bare");
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("is there already"), "{said}");
    lab.assert_all_well("", 12);

    // The same addresses do not matter: fabrics are worlds of their own.
    let other = format!("{}-2", lab.name);
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(support::program("tombolo"));
        let status = command
            .arg("lab")
            .args(words)
            .args(["--name", &other])
            .status();
        assert!(status.unwrap().success(), "{words:?}");
    };
    run(&[
        "up",
        "--bare",
        "--clusters",
        "1",
        "--nodes",
        "1",
        "--pods",
        "2",
    ]);
    run(&["check"]);
    lab.assert_all_well("", 12);
    run(&["down"]);
    // Its end takes nothing of ours away: the agent still has its files.
    lab.run("process restart c1-n1 agent");
    lab.run("pod add c1-n1");
    lab.assert_all_well("", 36);
}
