//! Labs of real Kubernetes, asked by the real kubectl.

use super::{Lab, program, wait_until};
use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

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

    pub fn pods(&self) -> Vec<Pod> {
        let list = self.json("get pods -l app=echo");
        let pods = list["items"].as_array().expect("a list has items");
        pods.iter()
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
