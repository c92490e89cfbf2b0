//! Connections through a global service that last while everything behind and below them is replaced.

use super::{
    Lab,
    kubernetes::{Cluster, kill_agent},
    wait_until,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Stdio},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(120);
const CONNECTIONS: usize = 1000;
const REPLICAS: usize = 2;
/// In seconds; longer than all of it takes. A server of the lab goes on until it is killed.
const GRACE: u32 = 300;

fn manifests() -> [Value; 2] {
    let mut pod = Cluster::lone_echo();
    pod["terminationGracePeriodSeconds"] = GRACE.into();
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "long"},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": "long"}},
            "template": {"metadata": {"labels": {"app": "long"}}, "spec": pod},
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "long", "annotations": {"service.cilium.io/global": "true"}},
        "spec": {"selector": {"app": "long"}, "ports": [{"port": 7007}]},
    });
    [deployment, service]
}

/// A thousand connections of a pod last while the pods that answer them are replaced, one cluster after the other, and while
/// agents are killed and replaced. Whoever drains keeps its connections and gets no new ones.
pub fn connections_outlive_what_they_go_through(
    lab: &Lab,
    clusters: [&Cluster; 2],
    client: &str,
    node: &str,
) {
    for cluster in clusters {
        for manifest in manifests() {
            cluster.apply(&manifest);
        }
    }
    for cluster in clusters {
        cluster.run("rollout status deployment/long --timeout=90s");
    }
    let backends = Backends { lab, node };
    wait_until("all backends to be used", PATIENCE, || {
        backends.used().len() == clusters.len() * REPLICAS
    });
    let address = clusters[0].json("get service long")["spec"]["clusterIP"].clone();
    let address = address.as_str().expect("an address");
    let (mut holding, mut said) = hold(clusters[0], client, address);

    for cluster in clusters {
        let before = backends.used();
        cluster.run("rollout restart deployment/long");
        cluster.run("rollout status deployment/long --timeout=90s");
        wait_until("those that drain to get nothing new", PATIENCE, || {
            let used = backends.used();
            used.len() == before.len() && used.intersection(&before).count() == REPLICAS
        });
    }
    kill_agent(lab, node);
    for cluster in clusters {
        cluster.run("-n kube-system rollout restart daemonset/tombolo");
    }
    for cluster in clusters {
        cluster.run("-n kube-system rollout status daemonset/tombolo --timeout=120s");
    }

    drop(holding.stdin.take());
    let output = holding.wait_with_output().expect("it ends");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("a text");
    let held: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {rest}"));
    eprintln!(
        "{} connections, {} lines, slowest answer {} us, {} broken",
        held["connections"],
        held["lines"],
        held["slowest_microseconds"],
        held["broken"].as_array().expect("a list").len()
    );
    assert_eq!(held["broken"], json!([]));
    assert_eq!(held["connections"], CONNECTIONS);
    assert_eq!(held["by"].as_object().expect("a table").len(), 4, "{held}");
    for cluster in clusters {
        cluster.run("delete deployment/long service/long --wait=false");
        cluster.run("delete pods -l app=long --grace-period=1 --wait=false");
    }
}

/// Returns once all are open.
fn hold(cluster: &Cluster, pod: &str, address: &str) -> (Child, impl std::io::Read) {
    let words = format!(
        "exec -i {pod} -c echo -- tombolo lab hold -o json --stdin --seconds {GRACE} --connections {CONNECTIONS} tcp://{address}"
    );
    let mut command = cluster.command(&words);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a text");
    assert!(line.contains("are open"), "{line}");
    (child, said)
}

/// Of the service, as a node sees them.
struct Backends<'a> {
    lab: &'a Lab,
    node: &'a str,
}

impl Backends<'_> {
    /// Those that get new connections.
    fn used(&self) -> BTreeSet<String> {
        // It may not have heard of it yet.
        let words = "service explain default/long -o json";
        let output = self.lab.try_tombolo(self.node, words);
        let Ok(explained) = serde_json::from_slice::<Value>(&output.stdout) else {
            return BTreeSet::new();
        };
        let backends = explained["backends"].as_array().into_iter().flatten();
        let used = backends.filter(|it| it["share"].as_f64().is_some_and(|share| share > 0.0));
        used.map(|it| it["address"].to_string()).collect()
    }
}
