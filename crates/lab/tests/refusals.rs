//! What cannot be: the real programs say so in one line that tells what to do, and leave nothing behind.
//!
//! Needs root and the built programs, and says so.

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output, time::Duration};
use support::{
    Lab,
    bare::{Bare, Traces},
    program, wait_until,
};

const CLUSTER: &[&str] = &["--cluster-name", "cluster1", "--cluster-id", "1"];
const NODE: &[&str] = &["--node-name", "n1", "--node-ip", "172.30.1.11"];
const RANGE: &[&str] = &["--pod-range", "10.1.1.0/24"];
const PATIENCE: Duration = Duration::from_secs(10);

fn options(more: &[&[&'static str]]) -> Vec<&'static str> {
    [&[CLUSTER, NODE][..], more].concat().concat()
}

/// One line with the words, exit code 1.
#[track_caller]
fn assert_refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
    assert_eq!(said.trim().lines().count(), 1, "{words:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[track_caller]
fn assert_untouched(node: &Bare, before: &Traces) {
    assert_eq!(node.traces(), *before);
}

#[test]
fn options_that_cannot_be_are_refused_before_anything_is_touched() {
    let node = Bare::new();
    let before = node.traces();
    let mesh = |name: &'static str, id: &'static str| {
        [
            &["--cluster-name", name, "--cluster-id", id][..],
            NODE,
            RANGE,
        ]
        .concat()
    };
    let cases = [
        (
            options(&[&["--pod-range", "172.30.1.0/24"]]),
            &["172.30.1.0/24", "172.30.1.11", "--pod-range"][..],
        ),
        (
            options(&[&["--pod-range", "10.1.1.0/24,10.1.1.128/25"]]),
            &["10.1.1.0/24", "10.1.1.128/25", "--pod-range"],
        ),
        (
            options(&[&["--pod-range", "10.1.1.0/31"]]),
            &["10.1.1.0/31", "larger"],
        ),
        (
            options(&[&["--pod-range", "224.1.0.0/16"]]),
            &["224.1.0.0/16", "--pod-range"],
        ),
        (mesh("cluster1", "256"), &["cluster id 256", "1 to 255"]),
        (
            [
                mesh("cluster1", "512"),
                vec!["--max-connected-clusters", "511"],
            ]
            .concat(),
            &["cluster id 512", "1 to 511"],
        ),
        (
            [
                mesh("cluster1", "1"),
                vec!["--max-connected-clusters", "300"],
            ]
            .concat(),
            &["--max-connected-clusters", "255 or 511"],
        ),
        (mesh("default", "1"), &["default", "--cluster-name"]),
        (mesh("Cluster_1", "1"), &["Cluster_1", "lower-case"]),
        (mesh("", "1"), &["cluster name", "1 to 32"]),
        (
            options(&[RANGE, &["--uplink", "eth7"]]),
            &["eth7", "--uplink"],
        ),
        (
            [
                CLUSTER,
                &["--node-name", "n1", "--node-ip", "172.30.1.99"],
                RANGE,
            ]
            .concat(),
            &["172.30.1.99", "--node-ip"],
        ),
        (
            options(&[RANGE, &["--facts", "/nowhere/facts.json"]]),
            &["/nowhere", "--facts", "make that folder first"],
        ),
        (
            options(&[RANGE, &["--mtu", "500"]]),
            &["too small", "--mtu"],
        ),
        (
            options(&[RANGE, &["--listen", "192.0.2.1:9879"]]),
            &["192.0.2.1:9879", "--listen"],
        ),
        (
            options(&[RANGE, &["--socket", "/run/lab/facts-not-there/a/../.."]]),
            &["--socket"],
        ),
    ];
    for (options, words) in cases {
        assert_refused(&node.refused(&[], &options), words);
        assert_untouched(&node, &before);
    }
}

#[test]
fn a_kernel_that_lacks_something_is_told_of() {
    let node = Bare::new();
    let before = node.traces();
    let all = options(&[RANGE]);
    for capability in ["net_admin", "net_raw", "sys_admin", "bpf", "perfmon"] {
        let bounding = format!("--bounding-set=-{capability}");
        let output = node.refused(&["setpriv", &bounding, "--"], &all);
        let name = format!("CAP_{}", capability.to_uppercase());
        assert_refused(&output, &[&name, "run the agent as root"]);
        assert_untouched(&node, &before);
    }
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let output = node.refused(&["unshare", "--mount", "sh", "-c", hide, "sh"], &all);
    assert_refused(&output, &["no BTF", "CONFIG_DEBUG_INFO_BTF"]);
    assert_untouched(&node, &before);
}

#[test]
fn pins_must_lie_on_a_bpf_file_system() {
    let node = Bare::new();
    let before = node.traces();
    let pins = "/run/lab/pins";
    let elsewhere = options(&[RANGE, &["--pins", pins]]);
    assert_refused(&node.refused(&[], &elsewhere), &[pins, "mount -t bpf"]);
    assert!(!node.path(pins).exists());
    fs::create_dir(node.path(pins)).unwrap();
    assert_refused(&node.refused(&[], &elsewhere), &[pins, "mount -t bpf"]);
    fs::remove_dir(node.path(pins)).expect("nothing was put into the folder");
    assert_untouched(&node, &before);
}

#[test]
fn a_start_that_the_kernel_refuses_half_way_is_undone() {
    let node = Bare::new();
    let all = options(&[RANGE]);
    let clean = node.traces();
    let ip = |words: &str| {
        let words: Vec<&str> = ["ip", "link"].into_iter().chain(words.split(' ')).collect();
        assert!(
            node.command(&words).status().unwrap().success(),
            "{words:?}"
        );
    };
    // Another network's VXLAN device has the port: of our sort, or of another and in use.
    let ours = "external udp6zerocsumtx udp6zerocsumrx nolearning";
    for (kind, state) in [
        (ours, "down"),
        (ours, "up"),
        ("external", "up"),
        ("id 7", "up"),
    ] {
        ip(&format!("add other type vxlan {kind} dstport 8472"));
        ip(&format!("set other {state}"));
        let before = node.traces();
        assert_refused(
            &node.refused(&[], &all),
            &["tombolo_vxlan", "port 8472", "delete it"],
        );
        assert_untouched(&node, &before);
        ip("del other");
    }
    assert_untouched(&node, &clean);
    drop(node.agent(&all));
}

#[test]
fn one_agent_runs_on_a_node() {
    let node = Bare::new();
    let all = options(&[RANGE]);
    let agent = node.agent(&all);
    let before = node.traces();
    let pid = agent.pid().to_string();
    let cases: [&[&str]; 3] = [
        &[],
        &[
            "--socket",
            "/run/tombolo/other.sock",
            "--listen",
            "127.0.0.1:9880",
        ],
        &["--pins", "/sys/fs/bpf/other", "--listen", "127.0.0.1:9880"],
    ];
    for more in cases {
        let output = node.refused(&[], &[&all[..], more].concat());
        assert_refused(&output, &["already", &pid, "stop it first"]);
        assert_untouched(&node, &before);
        assert_eq!(node.ask(&["status"])["node"], "n1");
    }
}

#[test]
fn facts_that_overlap_are_refused_alone_and_shown() {
    let node = Bare::new();
    let facts = r#"{"nodes":[
        {"cluster":"cluster2","cluster_id":2,"name":"good","addresses":["172.30.2.11"],"pod_ranges":["10.2.1.0/24"]},
        {"cluster":"cluster2","cluster_id":2,"name":"ours","addresses":["172.30.2.12"],"pod_ranges":["10.1.0.0/16"]},
        {"cluster":"cluster2","cluster_id":2,"name":"inside","addresses":["172.30.2.13"],"pod_ranges":["10.1.1.128/25"]},
        {"cluster":"cluster2","cluster_id":2,"name":"theirs","addresses":["172.30.2.14"],"pod_ranges":["10.2.1.0/25"]},
        {"cluster":"cluster2","cluster_id":2,"name":"other","addresses":["172.30.2.15"],"pod_ranges":["10.2.2.0/24"]}],
        "addresses":[]}"#;
    fs::write(node.path("/run/lab/facts.json"), facts).unwrap();
    let _agent = node.agent(&options(&[RANGE, &["--facts", "/run/lab/facts.json"]]));
    wait_until("the reading of the facts", PATIENCE, || {
        node.ask(&["status"])["synced"] == true
    });
    let names = |value: &serde_json::Value| {
        let nodes = value.as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = nodes
            .iter()
            .map(|node| node["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        names.sort();
        names
    };
    let nodes = node.ask(&["node", "list"]);
    let nodes = nodes.get("nodes").unwrap_or(&nodes);
    assert_eq!(names(nodes), ["good", "n1", "other"], "{nodes}");
    let status = node.ask(&["status"]);
    let rejected: u64 = status["rejected"]
        .as_object()
        .expect("reasons and counts")
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(rejected, 3, "{status}");
    let shown = node.tombolo(&["status"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("overlap"), "{shown}");
}

#[test]
fn a_full_range_is_named_and_works_again_after_a_deletion() {
    let node = Bare::new();
    let _agent = node.agent(&options(&[&["--pod-range", "10.1.1.0/29"]]));
    // Eight, less network, broadcast and router.
    for number in 1..=5 {
        let pod = format!("p{number}");
        let output = node.pod("pod-add", &pod, &pod);
        assert!(output.status.success(), "{output:?}");
    }
    let before = node.traces();
    for _ in 0..3 {
        let output = node.pod("pod-add", "p6", "p6");
        assert_refused(&output, &["10.1.1.0/29"]);
        assert_untouched(&node, &before);
    }
    assert!(node.pod("pod-delete", "p2", "p2").status.success());
    let output = node.pod("pod-add", "p6", "p6");
    assert!(output.status.success(), "{output:?}");
    let free = &node.ask(&["status"])["free_addresses"];
    let free = free.as_object().unwrap().values().next().unwrap();
    assert_eq!(*free, 0);
}

#[test]
fn names_that_a_lab_does_not_have_are_refused() {
    let lab = Lab::up("names", "--clusters 1 --nodes 1 --pods 1");
    let cases = [
        ("exec c1-n9 -- true", "c1-n1"),
        ("exec c1-n1-p9 -- true", "c1-n1-p1"),
        ("exec nowhere -- true", "c1-n1"),
        ("cut c1-n9", "c1-n1"),
        ("heal cluster9", "cluster1"),
        ("delay c2-n1 10", "c1-n1"),
        ("logs c2-n1", "c1-n1"),
        ("pod add c1-n9", "c1-n1"),
        ("pod delete c1-n1-p9", "c1-n1-p1"),
        ("process kill c2-n2 agent", "c1-n1"),
        ("process start c1-n1 store", "it has agent"),
        ("process restart c1-control store", "it has none"),
        ("store wipe cluster1", "--mesh kvstoremesh"),
        ("mesh connect c1 c2", "--mesh kvstoremesh"),
        ("mtu c1-n1 20", "1280 to 9000"),
        ("up --bare", "lab down"),
    ];
    for (words, expected) in cases {
        assert_refused(&lab.try_run(words), &[expected]);
    }
    lab.assert_all_well("--all", 1);
}

#[test]
fn only_root_makes_labs() {
    let lab = Lab::planned("user");
    // Where anybody may run it from.
    let folder = std::env::temp_dir().join(&lab.name);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["tombolo", "tombolo-cni"] {
        fs::copy(program(name), folder.join(name)).unwrap();
    }
    let tombolo = folder.join("tombolo");
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(tombolo)
        .args(["lab", "up", "--bare", "--name", &lab.name])
        .output();
    fs::remove_dir_all(&folder).unwrap();
    assert_refused(&output.unwrap(), &["root", "sudo"]);
    assert_eq!(lab.remains(), Vec::<String>::new());
}

#[test]
fn helm_of_another_version_installs_nothing() {
    let folder = std::env::temp_dir().join(format!("tombolo-{}-helm", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let old = folder.join("helm");
    fs::write(&old, "#!/bin/sh\necho v2.17.0+ga690bad\n").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let install = |helm: &std::path::Path| {
        let output = std::process::Command::new(program("tombolo"))
            .args(["install", "--kubeconfig", "/nowhere/kubeconfig", "--helm"])
            .arg(helm)
            .output();
        output.unwrap()
    };
    let (refused, absent) = (install(&old), install(&folder.join("none")));
    fs::remove_dir_all(&folder).unwrap();
    assert_refused(&refused, &["v2.17.0", "version 3 or 4 is needed", "--helm"]);
    assert_refused(&absent, &["helm is not there", "tombolo lab binaries"]);
}

#[test]
fn clusters_that_do_not_fit_into_memory_are_not_begun() {
    let lab = Lab::planned("memory");
    let told = std::env::temp_dir().join(&lab.name);
    fs::write(&told, "MemTotal: 4000000 kB\nMemAvailable: 1024000 kB\n").unwrap();
    let up = "mount --bind \"$1\" /proc/meminfo && exec \"$2\" lab up --name \"$3\"";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", up, "sh"])
        .args([&told, &program("tombolo")])
        .arg(&lab.name)
        .output();
    fs::remove_file(&told).unwrap();
    assert_refused(&output.unwrap(), &["1000 MiB"]);
    assert_eq!(lab.remains(), Vec::<String>::new());
}

#[test]
fn clusters_that_have_no_inotify_left_are_not_begun() {
    let lab = Lab::planned("inotify");
    // A user namespace has a limit of its own, below that of the machine.
    let up = "echo 10 > /proc/sys/user/max_inotify_instances && exec \"$1\" lab up --name \"$2\"";
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", up, "sh"])
        .arg(program("tombolo"))
        .arg(&lab.name)
        .output();
    assert_refused(
        &output.unwrap(),
        &[
            "inotify instances and 10 of",
            "sysctl -w fs.inotify.max_user_instances=",
        ],
    );
    assert_eq!(lab.remains(), Vec::<String>::new());
}
