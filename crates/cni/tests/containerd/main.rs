//! The plugin driven by a real runtime: containerd, by way of `ctr run --cni`, with a real agent beside it.
//!
//! Needs root and the packages containerd, runc and busybox-static, and says so when they are missing.

mod cable;
#[path = "../common/mod.rs"]
mod common;
mod image;
mod node;
mod shell;

use cable::{ADDRESS, OUTSIDE};
use common::Answer;
use node::Node;
use serde_json::{Value, json};
use std::{
    fs,
    process::{Child, Stdio},
};
use tombolo_linux::process::CommandExt as _;

/// A container that sleeps until it is killed.
struct Container<'a> {
    node: &'a Node,
    id: &'static str,
    /// `ctr run` stays as long as the container, and then detaches it.
    ctr: Child,
}

impl<'a> Container<'a> {
    fn start(node: &'a Node, id: &'static str) -> Container<'a> {
        let mut container = Container {
            node,
            id,
            ctr: ctr_run(node, id).spawn().expect("ctr starts"),
        };
        shell::wait_for("the container's endpoint", || {
            if let Some(status) = container.ctr.try_wait().expect("ctr's state") {
                panic!("ctr run: {status}");
            }
            container
                .endpoint()
                .filter(|endpoint| endpoint["state"] == "ready")
        });
        shell::wait_for("the container's process", || {
            container.exec(&["sh", "-c", "true"]).ok()
        });
        container
    }

    fn endpoint(&self) -> Option<Value> {
        // containerd puts its own namespace before the name.
        let id = format!("default-{}", self.id);
        self.node
            .endpoints()
            .into_iter()
            .find(|endpoint| endpoint["attachment"]["container"] == id.as_str())
    }

    fn exec(&self, command: &[&str]) -> Result<String, String> {
        shell::attempt(
            self.node
                .command("ctr")
                .args(["task", "exec", "--exec-id", "e", self.id])
                .args(command),
        )
    }

    #[track_caller]
    fn ping(&self, target: &str) {
        let answer = self.exec(&["ping", "-c", "1", "-W", "5", target]);
        assert!(answer.is_ok(), "ping {target}: {answer:?}");
    }

    /// Kills the process and waits until the runtime has put everything away.
    #[track_caller]
    fn stop(mut self) {
        let kill = ["task", "kill", "--signal", "KILL", self.id];
        shell::run(self.node.command("ctr").args(kill));
        self.ctr.wait().expect("ctr's end");
    }
}

fn ctr_run(node: &Node, id: &str) -> std::process::Command {
    let mut command = node.command("ctr");
    command
        .args(["run", "--rm", "--cni", "--snapshotter", "native"])
        .args(["--cgroup", &format!("/{}/{id}", node.cgroup())])
        .args([image::NAME, id, "sleep", "86400"])
        .stdin(Stdio::null())
        .die_with_parent();
    command
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// Calls the plugin in the node, as a runtime does that speaks 1.1.0.
fn call(node: &Node, command: &str, netns: &str, config: &Value) -> Answer {
    let mut plugin = node.command("/opt/cni/bin/tombolo-cni");
    plugin
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", "default-c1")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_NETNS", netns);
    common::run(&mut plugin, config.to_string().as_bytes())
}

fn config() -> Value {
    json!({"cniVersion": "1.1.0", "name": "pods", "type": "tombolo-cni"})
}

fn free_addresses(node: &Node) -> Value {
    // An unhealthy node says so by its exit code too: what it lacks here is not this test's matter.
    let status = node.tombolo(&["status"]).unwrap_or_else(|text| {
        let start = text.find('{').expect("a status");
        let end = text.rfind('}').expect("a status");
        serde_json::from_str(&text[start..=end]).expect("a status")
    });
    status["free_addresses"].clone()
}

#[test]
fn a_container_is_attached_and_detached() {
    let node = Node::new();
    let free = free_addresses(&node);
    let container = Container::start(&node, "c1");
    let endpoint = container.endpoint().expect("an endpoint");
    let v4 = text(&endpoint, "/addresses/v4").to_owned();
    let v6 = text(&endpoint, "/addresses/v6").to_owned();
    assert_ne!(free_addresses(&node), free);

    let shown = container
        .exec(&["ip", "address", "show", "dev", "eth0"])
        .unwrap();
    assert!(shown.contains(&format!("inet {v4}/32 ")), "{shown}");
    assert!(shown.contains(&format!("inet6 {v6}/128 ")), "{shown}");
    let routes = container.exec(&["ip", "route"]).unwrap();
    assert!(routes.contains("default via "), "{routes}");

    let cached = cached_result(&node);
    for gateway in cached["ips"].as_array().expect("addresses") {
        container.ping(text(gateway, "/gateway"));
    }
    container.ping(ADDRESS);
    container.ping(OUTSIDE);
    for address in [&v4, &v6] {
        let ping = ["ping", "-c", "1", "-W", "5", address];
        shell::run(node.command("busybox").args(ping));
    }

    container.stop();
    assert_eq!(node.endpoints(), Vec::<Value>::new());
    assert_eq!(node.pod_interfaces(), Vec::<String>::new());
    assert_eq!(free_addresses(&node), free);
}

#[test]
fn check_duplicates_and_garbage_are_seen() {
    let node = Node::new();
    let container = Container::start(&node, "c1");
    let endpoint = container.endpoint().expect("an endpoint");
    let pid = container_pid(&node, "c1");
    let netns = format!("/proc/{pid}/ns/net");

    let mut with_result = config();
    with_result["prevResult"] = cached_result(&node);
    let answer = call(&node, "CHECK", &netns, &with_result);
    assert!(answer.success, "{}", answer.text);
    let answer = call(&node, "STATUS", "", &config());
    assert!(answer.success, "{}", answer.text);

    let before = node.pod_interfaces();
    let (code, message) = call(&node, "ADD", &netns, &config()).error();
    assert_eq!(code, 102, "{message}");
    assert_eq!(node.pod_interfaces(), before);
    assert_eq!(container.endpoint(), Some(endpoint));
    container.ping(ADDRESS);

    let mut keep = config();
    keep["cni.dev/valid-attachments"] = json!([{"containerID": "default-c1", "ifname": "eth0"}]);
    let answer = call(&node, "GC", "", &keep);
    assert!(answer.success, "{}", answer.text);
    container.ping(ADDRESS);
    keep["cni.dev/valid-attachments"] = json!([]);
    let answer = call(&node, "GC", "", &keep);
    assert!(answer.success, "{}", answer.text);
    assert_eq!(node.endpoints(), Vec::<Value>::new());
    assert_eq!(node.pod_interfaces(), Vec::<String>::new());

    let (code, message) = call(&node, "CHECK", &netns, &with_result).error();
    assert_eq!(code, 3, "{message}");
    container.stop();
}

#[test]
fn a_container_that_goes_while_the_agent_is_away_is_cleaned_later() {
    let mut node = Node::new();
    let free = free_addresses(&node);
    let container = Container::start(&node, "c1");
    let address = text(&container.endpoint().expect("an endpoint"), "/addresses/v4").to_owned();
    let Container { id, mut ctr, .. } = container;

    node.kill_agent();
    let ping = ["ping", "-c", "1", "-W", "5", &address];
    shell::run(node.command("busybox").args(ping));
    shell::run(
        node.command("ctr")
            .args(["task", "kill", "--signal", "KILL", id]),
    );
    ctr.wait().expect("ctr's end");
    assert_eq!(node.queued_deletions(), 1);
    assert_eq!(node.pod_interfaces(), Vec::<String>::new());

    let output = ctr_run(&node, "c2")
        .stderr(Stdio::piped())
        .output()
        .expect("ctr starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "attached by no agent");
    assert!(message.contains("start it (`tombolo agent`"), "{message}");
    assert_eq!(node.pod_interfaces(), Vec::<String>::new());

    node.start_agent();
    shell::wait_for("the queue to be worked off", || {
        (node.queued_deletions() == 0 && node.endpoints().is_empty()).then_some(())
    });
    assert_eq!(free_addresses(&node), free);
}

/// What the runtime remembers of the plugin's answer.
fn cached_result(node: &Node) -> Value {
    let cache = node.path("/var/lib/cni/results");
    let file = fs::read_dir(&cache)
        .unwrap_or_else(|error| panic!("{}: {error}", cache.display()))
        .flatten()
        .next()
        .expect("a cached result");
    let cached: Value =
        serde_json::from_slice(&fs::read(file.path()).expect("the cache")).expect("JSON");
    cached["result"].clone()
}

fn container_pid(node: &Node, id: &str) -> String {
    let tasks = shell::run(node.command("ctr").args(["task", "list"]));
    tasks
        .lines()
        .find(|line| line.starts_with(id))
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap_or_else(|| panic!("no {id} in {tasks}"))
        .to_owned()
}
