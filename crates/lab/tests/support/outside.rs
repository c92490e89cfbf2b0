//! The world beyond the lab's router, which asks services by addresses of nodes and of a balancer.

use super::{
    Lab,
    kubernetes::{Cluster, Pod},
    wait_until,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
/// Enough for each of four backends to be drawn.
const CALLS: usize = 60;
const CLIENTS: [&str; 2] = ["198.51.100.2", "2001:db8::2"];

/// A service that is open to the world, on a node that has a backend of its own.
pub struct Open<'a> {
    lab: &'a Lab,
    cluster: &'a Cluster,
    node: String,
    /// Where it is asked for, by HTTP and by datagrams, in both families.
    urls: Vec<String>,
}

fn manifest() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "open",
            "annotations": {"service.cilium.io/global": "true"},
        },
        "spec": {
            "type": "LoadBalancer",
            "ipFamilyPolicy": "PreferDualStack",
            "selector": {"app": "echo"},
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080},
                {"name": "datagram", "port": 7007, "protocol": "UDP"},
            ],
        },
    })
}

impl<'a> Open<'a> {
    pub fn new(lab: &'a Lab, clusters: [&'a Cluster; 2], backend: &Pod) -> Open<'a> {
        let [cluster, other] = clusters;
        other.apply(&manifest());
        cluster.apply(&manifest());
        let node = cluster.json(&format!("get node {}", backend.node));
        let addresses = node["status"]["addresses"].as_array().expect("a list");
        let addresses = addresses.iter().filter(|it| it["type"] == "InternalIP");
        let addresses: Vec<String> = addresses
            .map(|it| it["address"].as_str().expect("a text").to_owned())
            .collect();
        // Its address is one of the nodes' own net; what leads there is the gateway's affair.
        let first: std::net::Ipv4Addr = addresses[0].parse().expect("IPv4 comes first");
        let [a, b, c, _] = first.octets();
        let balancer = format!("{a}.{b}.{c}.250");
        lab.run(&format!(
            "exec c1 -- ip route replace {balancer}/32 via {first}"
        ));
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": balancer}]}}});
        cluster.run(&format!(
            "patch service open --subresource=status --type=merge -p {status}"
        ));
        let service = cluster.json("get service open");
        let port = |index: usize| &service["spec"]["ports"][index]["nodePort"];
        let mut urls = vec![
            format!("http://{balancer}/"),
            format!("udp://{balancer}:7007"),
        ];
        for address in &addresses {
            let host = if address.contains(':') {
                format!("[{address}]")
            } else {
                address.clone()
            };
            urls.push(format!("http://{host}:{}/", port(0)));
            urls.push(format!("udp://{host}:{}", port(1)));
        }
        Open {
            lab,
            cluster,
            node: backend.node.clone(),
            urls,
        }
    }

    fn try_ask(&self, url: &str, times: usize) -> Option<Vec<Value>> {
        let words = format!("lab ask --timeout 1 --times {times} {url}");
        let output = self.lab.try_tombolo("world", &words);
        let said = String::from_utf8_lossy(&output.stdout);
        let answers: Option<Vec<Value>> = said
            .lines()
            .map(|line| serde_json::from_str(line).ok())
            .collect();
        answers.filter(|answers| answers.len() == times && output.status.success())
    }

    /// Each of the addresses is answered by these and by no others, and who answers sees the client if it is on the node that
    /// was asked, and a node else.
    pub fn is_answered_by(&self, expected: &[(&str, &str)]) {
        let expected: BTreeSet<(String, String)> = expected
            .iter()
            .map(|(cluster, node)| ((*cluster).to_owned(), (*node).to_owned()))
            .collect();
        for url in &self.urls {
            wait_until(&format!("{url} answered by {expected:?}"), PATIENCE, || {
                let Some(answers) = self.try_ask(url, CALLS) else {
                    return false;
                };
                let by = |answer: &Value| {
                    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
                    (text("cluster"), text("node"))
                };
                for answer in &answers {
                    let from = answer["from"].as_str().unwrap_or_default();
                    let is_here = by(answer) == ("cluster1".into(), self.node.clone());
                    assert_eq!(CLIENTS.contains(&from), is_here, "{url}: {answer}");
                }
                answers.iter().map(by).collect::<BTreeSet<_>>() == expected
            });
        }
    }

    pub fn is_not_answered(&self) {
        for url in &self.urls {
            wait_until(&format!("{url} without an answer"), PATIENCE, || {
                self.try_ask(url, 1).is_none()
            });
        }
    }

    /// By the node's addresses, which reach it from other nodes' pods in a tunnel.
    pub fn is_answered_to_pod(&self, cluster: &Cluster, pod: &Pod) {
        for url in &self.urls[2..] {
            let words = format!(
                "exec {} -c echo -- tombolo lab ask --times {CALLS} {url}",
                pod.name
            );
            assert_eq!(cluster.run(&words).lines().count(), CALLS, "{url}");
        }
    }

    pub fn set_policy(&self, policy: &str) {
        let spec = json!({"spec": {"externalTrafficPolicy": policy}});
        self.cluster
            .run(&format!("patch service open --type=merge -p {spec}"));
    }

    /// By the tool that people have.
    pub fn is_answered_to_curl(&self, cluster: &str) {
        for url in self.urls.iter().filter(|url| url.starts_with("http:")) {
            let said = self
                .lab
                .run(&format!("exec world -- curl -sS -g -m 5 {url}"));
            let answer: Value = serde_json::from_str(&said).expect("JSON");
            assert_eq!(answer["cluster"], cluster, "{url}");
        }
    }
}
