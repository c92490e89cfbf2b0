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
/// Enough for more than one backend to have said it.
const REFUSALS: usize = 4;
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
                {"name": "nobody", "port": 7009, "protocol": "UDP"},
            ],
        },
    })
}

/// Those that a node has for itself.
fn addresses(cluster: &Cluster, node: &str) -> Vec<String> {
    let node = cluster.json(&format!("get node {node}"));
    let addresses = node["status"]["addresses"].as_array().expect("a list");
    let addresses = addresses.iter().filter(|it| it["type"] == "InternalIP");
    addresses
        .map(|it| it["address"].as_str().expect("a text").to_owned())
        .collect()
}

/// A service's two ports, HTTP first, at all of a node's addresses.
fn node_ports(cluster: &Cluster, service: &str, addresses: &[String]) -> Vec<String> {
    let [http, datagram, _] = ports_of(cluster, service);
    let hosts = addresses.iter().map(|address| host(address));
    let urls = hosts.map(|host| {
        [
            format!("http://{host}:{http}/"),
            format!("udp://{host}:{datagram}"),
        ]
    });
    urls.flatten().collect()
}

/// The port behind which nobody listens, at all of a node's addresses.
fn idle_ports(cluster: &Cluster, service: &str, addresses: &[String]) -> Vec<String> {
    let [_, _, nobody] = ports_of(cluster, service);
    let urls = addresses
        .iter()
        .map(|address| format!("udp://{}:{nobody}", host(address)));
    urls.collect()
}

fn ports_of(cluster: &Cluster, service: &str) -> [u64; 3] {
    let service = cluster.json(&format!("get service {service}"));
    [0, 1, 2].map(|index: usize| {
        let port = &service["spec"]["ports"][index]["nodePort"];
        port.as_u64().expect("a port")
    })
}

fn host(address: &str) -> String {
    if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    }
}

/// Who sends datagrams there is told that nobody listens. Kernels say so but so often.
fn is_refused(lab: &Lab, urls: &[String]) {
    for url in urls {
        let mut refused = 0;
        wait_until(&format!("{url} refused"), PATIENCE, || {
            let output = lab.try_tombolo("world", &format!("lab ask --timeout 1 {url}"));
            assert!(!output.status.success(), "{url}: {output:?}");
            refused += usize::from(String::from_utf8_lossy(&output.stderr).contains("refused"));
            refused == REFUSALS
        });
    }
}

/// From the world, each time anew.
fn try_ask(lab: &Lab, url: &str, times: usize) -> Option<Vec<Value>> {
    let words = format!("lab ask --timeout 1 --times {times} {url}");
    let output = lab.try_tombolo("world", &words);
    let said = String::from_utf8_lossy(&output.stdout);
    let answers: Option<Vec<Value>> = said
        .lines()
        .map(|line| serde_json::from_str(line).ok())
        .collect();
    answers.filter(|answers| answers.len() == times && output.status.success())
}

/// A service of one backend, in the network of a node.
pub struct Hosted<'a> {
    lab: &'a Lab,
    cluster: &'a Cluster,
    node: String,
}

impl<'a> Hosted<'a> {
    pub fn new(lab: &'a Lab, cluster: &'a Cluster, node: &str) -> Hosted<'a> {
        cluster.apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hosted"},
            "spec": {
                "type": "NodePort",
                "ipFamilyPolicy": "PreferDualStack",
                "selector": {"app": "hosted"},
                "ports": [
                    {"name": "http", "port": 80, "targetPort": 18080},
                    {"name": "datagram", "port": 7007, "targetPort": 17007, "protocol": "UDP"},
                    {"name": "nobody", "port": 7009, "targetPort": 17009, "protocol": "UDP"},
                ],
            },
        }));
        let mut spec = Cluster::lone_echo();
        spec["hostNetwork"] = true.into();
        spec["nodeName"] = node.into();
        let ports = ["--http", "18080", "--tcp", "17007", "--udp", "17007"];
        spec["containers"][0]["args"] = json!(ports);
        cluster.apply(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "hosted", "labels": {"app": "hosted"}},
            "spec": spec,
        }));
        cluster.run("wait --for=condition=Ready pod/hosted --timeout=60s");
        Hosted {
            lab,
            cluster,
            node: node.to_owned(),
        }
    }

    /// By its own node's ports it sees the client, by another's that node: there it is asked by HTTP alone, as a server of datagrams
    /// that listens everywhere answers from another address than it was asked at.
    pub fn answers_and_sees_who_asks(&self, asked: &str) {
        let (own, nodes) = (self.node == asked, addresses(self.cluster, asked));
        let urls = node_ports(self.cluster, "hosted", &nodes);
        for url in urls.iter().filter(|url| own || url.starts_with("http:")) {
            wait_until(&format!("{url} answered"), PATIENCE, || {
                let Some(answers) = try_ask(self.lab, url, CALLS) else {
                    return false;
                };
                for answer in answers {
                    let from = answer["from"].as_str().unwrap_or_default();
                    assert_eq!(CLIENTS.contains(&from), own, "{url}: {answer}");
                }
                true
            });
        }
    }

    pub fn refuses_where_nobody_listens(&self, asked: &str) {
        let nodes = addresses(self.cluster, asked);
        is_refused(self.lab, &idle_ports(self.cluster, "hosted", &nodes));
    }

    /// With backends of the asked node alone.
    pub fn answers_by_its_own_node_alone(&self, other: &str) {
        let spec = json!({"spec": {"externalTrafficPolicy": "Local"}});
        self.cluster
            .run(&format!("patch service hosted --type=merge -p {spec}"));
        for url in node_ports(self.cluster, "hosted", &addresses(self.cluster, other)) {
            wait_until(&format!("{url} without an answer"), PATIENCE, || {
                try_ask(self.lab, &url, 1).is_none()
            });
        }
        self.answers_and_sees_who_asks(&self.node);
    }
}

impl<'a> Open<'a> {
    pub fn new(lab: &'a Lab, clusters: [&'a Cluster; 2], backend: &Pod) -> Open<'a> {
        let [cluster, other] = clusters;
        other.apply(&manifest());
        cluster.apply(&manifest());
        let addresses = addresses(cluster, &backend.node);
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
        let mut urls = vec![
            format!("http://{balancer}/"),
            format!("udp://{balancer}:7007"),
        ];
        urls.extend(node_ports(cluster, "open", &addresses));
        Open {
            lab,
            cluster,
            node: backend.node.clone(),
            urls,
        }
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
                let Some(answers) = try_ask(self.lab, url, CALLS) else {
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

    /// Whichever cluster the backend is in that nobody listens on.
    pub fn refuses_where_nobody_listens(&self) {
        let nodes = addresses(self.cluster, &self.node);
        is_refused(self.lab, &idle_ports(self.cluster, "open", &nodes));
    }

    pub fn is_not_answered(&self) {
        for url in &self.urls {
            wait_until(&format!("{url} without an answer"), PATIENCE, || {
                try_ask(self.lab, url, 1).is_none()
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
