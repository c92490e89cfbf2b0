//! Labs of real Kubernetes, asked by the real kubectl.

use super::{Lab, program, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};
use tombolo_linux::{netlink::Netlink, netns::Netns};

const PATIENCE: Duration = Duration::from_secs(90);

/// A cluster of a lab, by its context.
pub struct Cluster {
    kubectl: PathBuf,
    configuration: String,
    context: String,
}

impl Cluster {
    pub fn of(lab: &Lab, context: &str) -> Cluster {
        Cluster {
            kubectl: binary("kubectl"),
            configuration: lab.run("kubeconfig").trim().to_owned(),
            context: context.to_owned(),
        }
    }

    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .args(["--kubeconfig", &self.configuration])
            .args(["--context", &self.context])
            .args(words.split_whitespace())
            .stdin(Stdio::null());
        command
    }

    pub fn try_run(&self, words: &str) -> Output {
        self.command(words).output().expect("kubectl starts")
    }

    #[track_caller]
    pub fn run(&self, words: &str) -> String {
        let output = self.try_run(words);
        assert!(
            output.status.success(),
            "kubectl {words} at {}: {}",
            self.context,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("kubectl prints text")
    }

    #[track_caller]
    pub fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{words} -o json"))).expect("kubectl prints JSON")
    }

    #[track_caller]
    pub fn apply(&self, manifest: &Value) {
        use std::io::Write as _;
        let mut child = self
            .command("apply -f -")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("kubectl starts");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(manifest.to_string().as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    }

    /// A pod of the lab's own echo server alone, which is gone as soon as it is told to.
    pub fn lone_echo() -> Value {
        serde_json::json!({
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "echo",
                "image": "tombolo.io/echo:1",
                "imagePullPolicy": "Never",
            }],
        })
    }

    /// Some pods of the lab's own echo server, with a shell beside each; waits until they are there.
    pub fn deploy_echo(&self, replicas: u32) {
        let field = |name: &str, path: &str| serde_json::json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let echo = serde_json::json!({
            "name": "echo",
            "image": "tombolo.io/echo:1",
            "imagePullPolicy": "Never",
            "env": [
                field("POD_NAME", "metadata.name"),
                field("NODE_NAME", "spec.nodeName"),
                {"name": "CLUSTER_NAME", "value": self.context},
            ],
        });
        let shell = serde_json::json!({
            "name": "shell",
            "image": "tombolo.io/shell:1",
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", "echo here; exec sleep 100000"],
        });
        let spread = serde_json::json!({
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "echo"}},
        });
        self.apply(&serde_json::json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "echo"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "echo"}},
                "template": {
                    "metadata": {"labels": {"app": "echo"}},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "topologySpreadConstraints": [spread],
                        "containers": [echo, shell],
                    },
                },
            },
        }));
        self.run("rollout status deployment/echo --timeout=90s");
    }

    /// The echo servers, without those that end: their networks go from under whoever uses them.
    pub fn pods(&self) -> Vec<Pod> {
        let list = self.json("get pods -l app=echo");
        let pods = list["items"].as_array().expect("a list has items");
        pods.iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| Pod {
                name: text(&pod["metadata"]["name"]),
                node: text(&pod["spec"]["nodeName"]),
                address: text(&pod["status"]["podIP"]),
                restarts: pod["status"]["containerStatuses"]
                    .as_array()
                    .map_or(0, |all| {
                        all.iter()
                            .filter_map(|one| one["restartCount"].as_u64())
                            .sum()
                    }),
            })
            .collect()
    }

    /// What the echo server at an address says to a pod of this cluster.
    #[track_caller]
    pub fn ask(&self, from: &Pod, url: &str) -> Value {
        let words = format!("exec {} -c echo -- tombolo lab ask {url}", from.name);
        serde_json::from_str(&self.run(&words)).expect("the server answers in JSON")
    }

    #[track_caller]
    pub fn wait_until_nodes_ready(&self, count: usize) {
        wait_until("nodes that are ready", PATIENCE, || {
            self.ready_nodes() == count
        });
    }

    fn ready_nodes(&self) -> usize {
        let nodes = self.json("get nodes");
        let nodes = nodes["items"].as_array().expect("a list has items");
        let ready = |node: &&Value| {
            let conditions = node["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        nodes.iter().filter(ready).count()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub node: String,
    pub address: String,
    pub restarts: u64,
}

/// Kills a node's agent, which Kubernetes starts again.
#[track_caller]
pub fn kill_agent(lab: &Lab, node: &str) {
    let node = format!("NODE_NAME={node}");
    let is_agent = |pid: &u32| {
        let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let words = String::from_utf8_lossy(&file("cmdline")).into_owned();
        let environ = String::from_utf8_lossy(&file("environ")).into_owned();
        let mut words = words.split('\0');
        words.next().is_some_and(|it| it.ends_with("tombolo"))
            && words.next() == Some("agent")
            && environ.split('\0').any(|it| it == node)
    };
    let pid = lab.pids().into_iter().find(is_agent);
    let pid = i32::try_from(pid.expect("an agent runs")).expect("a number");
    let pid = Pid::from_raw(pid).expect("a process");
    kill_process(pid, Signal::KILL).expect("killed");
}

/// A pod's network, found on its node by the pod's address.
#[track_caller]
pub fn network_of(lab: &Lab, pod: &Pod) -> super::Pod {
    find_network(lab, pod).1
}

/// What the pod's runtime calls its network.
#[track_caller]
pub fn network_name(lab: &Lab, pod: &Pod) -> String {
    find_network(lab, pod).0
}

#[track_caller]
fn find_network(lab: &Lab, pod: &Pod) -> (String, super::Pod) {
    let folder = format!("/proc/{}/root/run/netns", lab.init_pid(&pod.node));
    let address: IpAddr = pod.address.parse().expect("a pod has an address");
    let entries = fs::read_dir(&folder).expect("runtimes keep networks there");
    let mut networks = entries.flatten().filter_map(|entry| {
        let netns = Netns::open(entry.path()).ok()?;
        let all = Netlink::open_in(&netns).ok()?.addresses(None).ok()?;
        let addresses: Vec<_> = all.iter().map(|one| one.net.addr()).collect();
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name, super::Pod { netns, addresses }))
    });
    let found = networks.find(|(_, network)| network.addresses.contains(&address));
    found.unwrap_or_else(|| panic!("no network on its node: {pod:?}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where the lab has one of its programs.
pub fn binary(name: &str) -> PathBuf {
    let output = Command::new(program("tombolo"))
        .args(["lab", "binaries", name, "-o", "json"])
        .output()
        .expect("the program was found");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    PathBuf::from(text(&found[0]["path"]))
}

/// Gives a node a network of the reference plugins: what there is before Tombolo comes, or without it.
pub fn plain_network(lab: &Lab, node: &str, range: &str) {
    const FOLDER: &str = "/usr/lib/cni";
    let list = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "plain",
        "plugins": [{
            "type": "bridge",
            "bridge": "plain0",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": range}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    for plugin in ["bridge", "host-local"] {
        lab.run(&format!(
            "exec {node} -- cp {FOLDER}/{plugin} /opt/cni/bin/"
        ));
    }
    let file = format!(
        "/proc/{}/root/etc/cni/net.d/10-plain.conflist",
        lab.init_pid(node)
    );
    std::fs::write(file, list.to_string()).unwrap();
}
