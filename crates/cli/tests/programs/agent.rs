//! An agent whose peers are not as they should be: each is told of in one sentence with a hint, all others go on.
//!
//! Needs root: the agent, its stores and this test's own sockets are in a network namespace of the test.

mod hostile;
mod spoilt;

use crate::place::{
    Cluster, OBJECTS, PATIENCE, POLL, Place, Program, free_address, tombolo, wait_for,
};
use hostile::Hostile;
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::Instant,
};
use tombolo_linux::{link::Veth, mount, netlink::Netlink, netns::Netns, process::CommandExt as _};

/// The agent's cluster is the second: the first one exports the example.
const OWN: u16 = 2;

/// Runs a test in a namespace with a device that has the node's address.
fn inside(test: impl FnOnce() + Send) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("t{}-agent-{number}", std::process::id());
    let scratch = Scratch(name.clone());
    let netns = Netns::create(&name).expect("this test runs as root");
    let netlink = Netlink::open_in(&netns).unwrap();
    let pair = Veth {
        name: "eth0",
        peer_name: "switch",
        ..Veth::default()
    };
    netlink.create_veth(&pair).unwrap();
    for device in ["lo", "eth0", "switch"] {
        let index = netlink.link(device).unwrap().unwrap().index;
        netlink.set_up(index).unwrap();
    }
    let eth0 = netlink.link("eth0").unwrap().unwrap().index;
    let address = "10.20.1.9/24".parse().unwrap();
    netlink.add_address(eth0, address).unwrap();
    netns.run(test).unwrap();
    drop(scratch);
}

struct Scratch(String);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = Netns::delete(&self.0);
    }
}

/// A node's agent, with mounts of its own.
struct Agent {
    _program: Program,
    socket: PathBuf,
}

impl Agent {
    fn start(place: &Place, own: &Cluster) -> Agent {
        let socket = place.path.join("agent.sock");
        let listen = free_address();
        let id = OWN.to_string();
        let mut command = tombolo(&["agent", "--cluster-name", "cluster2", "--cluster-id", &id]);
        command
            .args(["--node-name", "n9", "--node-ip", "10.20.1.9"])
            .args([
                "--pod-range",
                "10.2.9.0/24",
                "--pins",
                "/sys/fs/bpf/tombolo",
            ])
            .args(["--flow-table-size", "1024"])
            .args(["--clustermesh-sync-timeout", "1"])
            .args(["--listen", &listen.to_string()])
            .arg("--socket")
            .arg(&socket)
            .arg("--delete-queue")
            .arg(place.path.join("deletes"))
            .arg("--clustermesh-config")
            .arg(own.path("peers"))
            .arg("--own-store")
            .arg(own.path("local.yaml"))
            .in_new_mounts(|| {
                let own = mount::tmpfs("/run").and_then(|()| mount::bpffs("/sys/fs/bpf"));
                own.map_err(io::Error::other)
            });
        Agent {
            _program: Program::of(command, &place.path, listen),
            socket,
        }
    }

    fn status(&self, more: &[&str]) -> (bool, String) {
        let mut command = tombolo(&["status"]);
        let output = command.args(more).arg("--socket").arg(&self.socket);
        let output = output.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), said)
    }

    fn json(&self) -> Value {
        let (healthy, said) = self.status(&["-o", "json"]);
        let value: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(value["healthy"], healthy);
        value
    }

    fn wait_until_healthy(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.json()["healthy"] != true {
            assert!(Instant::now() < deadline, "{}", self.status(&[]).1);
            sleep(POLL);
        }
    }

    fn peer(&self, name: &str) -> Value {
        let status = self.json();
        let mut peers = status["peers"].as_array().unwrap().iter();
        let peer = peers.find(|peer| peer["cluster"] == name);
        peer.cloned().unwrap_or_default()
    }
}

/// Clusters that are well: the agent's own, and one that tells of the example's objects.
struct Mesh {
    place: Place,
    own: Cluster,
    good: Cluster,
    programs: Vec<Program>,
}

impl Mesh {
    fn start() -> Mesh {
        let place = Place::new();
        let (own, good) = (Cluster::start(&place, OWN), Cluster::start(&place, 1));
        good.write_objects("golden.yaml", OBJECTS);
        let programs = vec![good.apiserver(), own.apiserver()];
        own.connect(&good);
        own.write_file("local.yaml", &own.file(&own, "local"));
        Mesh {
            place,
            own,
            good,
            programs,
        }
    }

    /// A file of a peer, with what it says of certificates.
    fn file(&self, name: &str, endpoint: &str, certificates: &[&Path]) {
        let mut text = format!("endpoints: [{endpoint}]\n");
        for (word, path) in ["trusted-ca-file", "cert-file", "key-file"]
            .iter()
            .zip(certificates)
        {
            text.push_str(&format!("{word}: {}\n", path.display()));
        }
        self.own.write_file(&format!("peers/{name}"), &text);
    }

    /// The good cluster's store under another name, by other certificates.
    fn good_by(&self, name: &str, ca: &Path, certificate: &Path, key: &Path) {
        let endpoint = format!("https://{}", self.good.address());
        self.file(name, &endpoint, &[ca, certificate, key]);
    }
}

#[test]
fn whatever_a_peer_does_is_told_in_a_sentence_and_others_go_on() {
    inside(|| {
        let mesh = Mesh::start();
        let agent = Agent::start(&mesh.place, &mesh.own);
        agent.wait_until_healthy();
        let well = |agent: &Agent| {
            let (own, good) = (agent.peer("cluster2"), agent.peer("cluster1"));
            assert_eq!(
                (&own["ready"], &good["ready"]),
                (&true.into(), &true.into()),
                "{own} {good}"
            );
            assert_eq!(good["records"], serde_json::json!({"ip": 2, "nodes": 1}));
        };
        well(&agent);

        let mut hostile = Vec::new();
        let mut expected = spoilt::connections(&mesh, &mut hostile);
        expected.extend(spoilt::contents(&mesh, &mut hostile));
        for (name, sentence, hint) in &expected {
            wait_for(
                &format!("{name} to be told of: {}", agent.peer(name)),
                || {
                    let peer = agent.peer(name);
                    assert_ne!(peer["ready"], true, "{peer}");
                    let said = |part: &str| peer[part].as_str().unwrap_or_default().to_owned();
                    said("trouble").contains(sentence) && said("hint").contains(hint)
                },
            );
        }
        well(&agent);
        let (healthy, text) = agent.status(&[]);
        assert!(!healthy);
        for (name, sentence, _) in &expected {
            let told = text.lines().filter(|line| {
                line.starts_with(&format!("warning: cluster {name} is not ready: "))
                    && line.contains(sentence)
            });
            assert_eq!(told.count(), 1, "{name}: {text}");
        }

        // They go as they came.
        for (name, ..) in &expected {
            fs::remove_file(mesh.own.path(&format!("peers/{name}"))).unwrap();
        }
        agent.wait_until_healthy();
        well(&agent);
        drop(mesh.programs);
    });
}

#[test]
fn bad_records_are_told_with_their_reason_and_leave_all_others() {
    inside(|| {
        let mesh = Mesh::start();
        let agent = Agent::start(&mesh.place, &mesh.own);
        let peer = Hostile::start(None);
        mesh.file("c5", &format!("http://{}", peer.address), &[]);
        // Its clock is wrong in either direction, and jumps.
        for moment in [
            "1970-01-01T00:00:00Z",
            "2099-01-01T00:00:00Z",
            "no time at all",
        ] {
            peer.put("cilium/.heartbeat", moment);
        }
        peer.config("c5", 5, 255);
        peer.node("c5", 5);
        let address = |address: &str, id: u32, host: &str| {
            format!(r#"{{"IP":"{address}","HostIP":"{host}","ID":{id}}}"#)
        };
        let mine = (5 << 16) | 0x100;
        let good = address("10.5.1.5", mine, "198.18.5.1");
        let ip = "cilium/state/ip/v1/default";
        peer.put(&format!("{ip}/10.5.1.5"), &good);
        let bad = [
            (
                "10.5.1.6",
                address("10.5.1.6", 1 << 16 | 0x100, "198.18.5.1"),
            ),
            ("10.5.1.7", address("10.5.1.8", mine, "198.18.5.1")),
            ("10.5.1.9", "x".repeat(2 << 20)),
            ("10.5.1.10", "{".to_owned()),
            ("not/an/address/at/all", good.clone()),
        ];
        for (key, value) in &bad {
            peer.put(&format!("{ip}/{key}"), value);
        }
        peer.put("cilium/state/nodes/v1/c5/", "{}");
        peer.put("cilium/state/nodes/v1/other/n1", "{}");
        peer.put("cilium/state/nodes/v1/c5/n1/below", "{}");
        peer.complete("c5");
        wait_for("c5", || agent.peer("c5")["ready"] == true);
        let status = agent.peer("c5");
        let rejected = status["rejected"].as_object().unwrap();
        let count: u64 = rejected.values().filter_map(Value::as_u64).sum();
        assert_eq!(count, 7, "{status}");
        let (healthy, text) = agent.status(&[]);
        let told = "warning: cluster c5 has records that are not believed (";
        assert!(!healthy && text.contains(told), "{text}");
        // What is good of it is used.
        let listed = tombolo(&["ip", "list", "--socket"])
            .arg(&agent.socket)
            .output();
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        let here = |address: &str| listed.lines().any(|line| line.starts_with(address));
        assert!(here("10.5.1.5/32"), "{listed}");
        for host in 6..=10 {
            assert!(!here(&format!("10.5.1.{host}/32")), "{listed}");
        }
        // A value of 2 MiB that comes later ends nothing either.
        peer.put(&format!("{ip}/10.5.1.11"), &"x".repeat(2 << 20));
        peer.put(
            &format!("{ip}/10.5.1.12"),
            &address("10.5.1.12", mine, "198.18.5.1"),
        );
        wait_for("what comes after", || {
            let records = agent.peer("c5");
            records["rejected"]["too-long"] == 2 && records["records"]["ip"] == 8
        });
        assert_eq!(agent.peer("c5")["failures"], 0);
        for (key, _) in &bad {
            peer.delete(&format!("{ip}/{key}"));
        }
        wait_for("mended records", || {
            agent.peer("c5")["rejected"]["too-long"] == 1
        });
        assert_eq!(agent.peer("cluster1")["ready"], true);
        drop(mesh.programs);
    });
}

#[test]
fn the_programs_of_a_cluster_are_shown_like_the_agent() {
    inside(|| {
        let mesh = Mesh::start();
        let mirror = mesh.own.kvstoremesh();
        let status = |health: std::net::SocketAddr, more: &[&str]| {
            let health = health.to_string();
            let output = tombolo(&["status", "--of", &health]).args(more).output();
            let output = output.unwrap();
            (
                output.status.success(),
                String::from_utf8(output.stdout).unwrap(),
            )
        };
        let programs = [
            (
                mesh.good.store.health,
                "store of cluster cluster1: healthy\n",
            ),
            (
                mesh.programs[0].health,
                "apiserver of cluster cluster1: healthy\n",
            ),
            (mirror.health, "kvstoremesh of cluster cluster2: healthy\n"),
        ];
        for (health, expected) in programs {
            wait_for(expected, || status(health, &[]).1.starts_with(expected));
            let (healthy, json) = status(health, &["-o", "json"]);
            let json: Value = serde_json::from_str(&json).unwrap();
            assert!(
                healthy && json["healthy"] == true && json["version"].is_string(),
                "{json}"
            );
        }
        let (_, text) = status(mirror.health, &[]);
        let line = text.lines().find(|line| line.starts_with("cluster1 "));
        let cells: Vec<&str> = line.unwrap().split_whitespace().collect();
        assert_eq!(&cells[..3], ["cluster1", "1", "ready"], "{text}");
        mesh.file("nobody", &format!("http://{}", free_address()), &[]);
        wait_for("the bad news", || {
            let (healthy, text) = status(mirror.health, &[]);
            !healthy && text.contains("warning: cluster nobody is not ready: cannot reach")
        });
    });
}
