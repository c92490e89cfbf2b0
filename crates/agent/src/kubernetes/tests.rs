//! What a node hears from and tells a real API server, with the real world behind it and a table for a kernel.

mod identity;
#[path = "../../../k8s/tests/plane/mod.rs"]
mod plane;

use super::{
    Kubernetes, Leaves, Link, Own, ask::Question, cluster, own, pods::UNUSED, services, work,
};
use crate::node::Command;
use plane::{PATIENCE, Plane};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
};
use tombolo_control::{KubernetesOptions, Troubles, install_definitions};
use tombolo_model::{
    World,
    config::Config,
    drive::{self, Recorder},
    fact::{EndpointFact, Fact, Source},
    id::{ClusterId, Identity},
    local::{Attachment, Endpoint, PodName, Reply, Request},
    net::{Mac, RoutingMode},
    world::Answer,
};

/// Longer than a plugin's question waits.
const STOP: Duration = Duration::from_secs(30);

/// An agent without a kernel.
struct Node {
    name: &'static str,
    link: Link,
    leaves: Leaves,
    commands: mpsc::Sender<Command>,
    facts: mpsc::Sender<Vec<Fact>>,
    /// Why it wants to start anew.
    ended: oneshot::Receiver<String>,
    tasks: JoinSet<()>,
}

async fn kubernetes(plane: &Plane, node: &str) -> Kubernetes {
    let options = KubernetesOptions {
        kubeconfig: Some(plane.kubeconfig("master")),
        context: None,
    };
    Kubernetes {
        client: options.connect().await.unwrap(),
        troubles: Troubles::default(),
        node: node.into(),
        memory: plane.folder.join(format!("{node}.node")),
        leaves: Leaves::default(),
    }
}

impl Node {
    async fn start(plane: &Plane, name: &'static str) -> Node {
        let kubernetes = kubernetes(plane, name).await;
        let own = kubernetes.learn(&Own::default()).await;
        let config = Config {
            cluster: "cluster1".into(),
            cluster_id: ClusterId(1),
            clusters_max: 255,
            node: name.into(),
            addresses: own.addresses,
            pod_ranges: own.pod_ranges,
            routing: RoutingMode::Tunnel,
            prefer_ipv6: false,
            pod_mtu: 1450,
            sources: vec![Source::Kubernetes],
            reads_clusters: false,
            zone: own.zone,
            default_global_namespace: true,
            name_service: None,
            balancing: Default::default(),
        };
        let (commands, asked) = mpsc::channel(16);
        let (facts, told) = mpsc::channel(16);
        let (questions, questioned) = mpsc::channel::<Question>(16);
        let link = Link {
            troubles: kubernetes.troubles.clone(),
            changed: Arc::new(Notify::new()),
            identifier: super::Identifier::new(questions, kubernetes.troubles.clone()),
        };
        let leaves = kubernetes.leaves();
        let mut tasks = JoinSet::new();
        let world = World::new(config.clone()).unwrap();
        tasks.spawn(turn(world, asked, told, Arc::clone(&link.changed)));
        let (why, ended) = oneshot::channel();
        let (told_own, records) = mpsc::channel(16);
        let inlets = work::Inlets {
            questions: questioned,
            records,
            changed: Arc::clone(&link.changed),
        };
        let (ask, tell) = (commands.clone(), facts.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = cluster::follow(&kubernetes, &config, tell.clone(), told_own) => {}
                () = services::follow(&kubernetes, &config, tell.clone()) => {}
                () = work::run(&kubernetes, &config, &ask, tell.clone(), inlets) => {}
                ended = own::keep(&kubernetes, &config, &ask, &tell) => {
                    drop(why.send(ended.unwrap_err().to_string()));
                }
            }
        });
        Node {
            name,
            link,
            leaves,
            commands,
            facts,
            ended,
            tasks,
        }
    }

    async fn ask(&self, request: Request) -> Reply {
        crate::node::ask(&self.commands, request).await.unwrap()
    }

    async fn endpoints(&self) -> Vec<Endpoint> {
        match self.ask(Request::EndpointList).await {
            Reply::Endpoints { endpoints } => endpoints,
            other => panic!("{other:?}"),
        }
    }

    async fn addresses(&self) -> Vec<(String, Identity)> {
        match self.ask(Request::AddressList).await {
            Reply::Addresses { addresses } => addresses
                .into_iter()
                .map(|address| (address.prefix.to_string(), address.identity))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    /// What the plugin does for a pod; gives its identity.
    async fn attach(&self, pod: &str) -> Result<Identity, String> {
        let request = Request::EndpointCreate {
            attachment: attachment(pod),
            netns: String::new(),
            pod: PodName {
                namespace: "shop".into(),
                name: pod.into(),
            },
            identity: None,
        };
        let request = self.link.identifier.complete(request).await;
        let request = request.map_err(|failure| format!("{failure}: {}", failure.hint))?;
        self.ask(request).await;
        let ifindex = 100 + u32::try_from(self.endpoints().await.len()).unwrap();
        let attached = EndpointFact::Attach {
            attachment: attachment(pod),
            ifindex,
            mac: Mac::default(),
        };
        self.facts
            .send(vec![Fact::Endpoint(attached)])
            .await
            .unwrap();
        let endpoints = self.endpoints().await;
        let found = endpoints.iter().find(|endpoint| endpoint.pod.name == pod);
        Ok(found.unwrap().identity)
    }
}

/// The part of the loop that this needs.
async fn turn(
    mut world: World,
    mut asked: mpsc::Receiver<Command>,
    mut told: mpsc::Receiver<Vec<Fact>>,
    changed: Arc<Notify>,
) {
    let mut kernel = Recorder::default();
    let start = Instant::now();
    let mut step = |world: &mut World, fact: Fact| {
        let of_endpoint = matches!(fact, Fact::Endpoint(_));
        let step = drive::step(world, &mut kernel, fact, start.elapsed());
        if of_endpoint {
            changed.notify_one();
        }
        step.answer
    };
    loop {
        tokio::select! {
            Some(facts) = told.recv() => {
                facts.into_iter().for_each(|fact| drop(step(&mut world, fact)));
            }
            Some(command) = asked.recv() => match command {
                Command::Alive(answer) => drop(answer.send(())),
                Command::Ask(request, answer) => {
                    let reply = match request {
                        Request::EndpointList => Reply::Endpoints { endpoints: world.endpoints() },
                        Request::AddressList => Reply::Addresses { addresses: world.addresses() },
                        Request::Status => Reply::Status(Box::new(world.status())),
                        Request::EndpointDelete { attachment } => {
                            step(&mut world, Fact::Endpoint(EndpointFact::Delete { attachment })).unwrap();
                            Reply::Done
                        }
                        Request::EndpointCreate { attachment, netns, pod, identity } => {
                            let fact = EndpointFact::Reserve { attachment, netns, pod, identity };
                            match step(&mut world, Fact::Endpoint(fact)).unwrap() {
                                Answer::Planned(plan) => Reply::Planned(plan),
                                other => panic!("{other:?}"),
                            }
                        }
                        other => panic!("{other:?}"),
                    };
                    drop(answer.send(reply));
                }
                _ => {}
            },
            else => return,
        }
    }
}

fn attachment(pod: &str) -> Attachment {
    Attachment {
        container: pod.into(),
        interface: "eth0".into(),
    }
}

async fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn node(plane: &Plane, name: &str, address: &str) {
    let manifest = format!(
        "{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}, spec: {{taints: [{{key: node.cilium.io/agent-not-ready, effect: \
         NoExecute}}, {{key: other, effect: NoSchedule}}]}}}}"
    );
    plane.apply(&manifest).unwrap();
    let status = format!(
        r#"{{"status":{{"addresses":[{{"type":"Hostname","address":"{name}"}},{{"type":"InternalIP","address":"{address}"}}]}}}}"#
    );
    let patch = ["patch", "node", name, "--subresource=status", "-p", &status];
    plane.kubectl(&patch).unwrap();
}

fn ranges(plane: &Plane, name: &str, range: &str) {
    let manifest = format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {{name: {name}}}, spec: {{ipam: {{podCIDRs: [{range}]}}}}}}"
    );
    plane.apply(&manifest).unwrap();
}

fn pod(plane: &Plane, name: &str, node: &str, app: &str) {
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{app: {app}, pod-template-hash: x}}}}, spec: {{nodeName: \
         {node}, containers: [{{name: c, image: i, ports: [{{name: http, containerPort: 80}}]}}]}}}}"
    );
    plane.apply(&manifest).unwrap();
}

fn json(plane: &Plane, words: &[&str]) -> Option<Value> {
    let text = plane.kubectl(&[words, &["-o", "json"]].concat()).ok()?;
    serde_json::from_str(&text).ok()
}

fn record(plane: &Plane, pod: &str) -> Option<Value> {
    json(plane, &["-n", "shop", "get", "ciliumendpoint", pod])
}

async fn prepare() -> Plane {
    let plane = Plane::start();
    let kubernetes = kubernetes(&plane, "n1").await;
    install_definitions(&kubernetes.client).await.unwrap();
    plane
        .apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}")
        .unwrap();
    plane
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_two_nodes_come_and_go() {
    let plane = prepare().await;
    node(&plane, "n1", "192.0.2.1");
    node(&plane, "n2", "192.0.2.2");
    ranges(&plane, "n1", "10.1.0.0/24");
    ranges(&plane, "n2", "10.1.1.0/24");
    // Whose agent has not said yet how it is reached.
    ranges(&plane, "n3", "10.1.2.0/24");
    let (one, two) = (
        Node::start(&plane, "n1").await,
        Node::start(&plane, "n2").await,
    );
    nodes_are_told_of(&plane, &[&one, &two]).await;

    // Both make the identity of the same labels at one time.
    pod(&plane, "a", "n1", "web");
    pod(&plane, "b", "n2", "web");
    let (a, b) = tokio::join!(one.attach("a"), two.attach("b"));
    let web = a.unwrap();
    assert_eq!(b.unwrap(), web);
    assert!(ClusterId(1).identities(16).contains(&web));
    let identity = json(&plane, &["get", "ciliumidentity", &web.0.to_string()]).unwrap();
    let labels = &identity["security-labels"];
    assert_eq!(labels["k8s:app"], "web");
    assert_eq!(labels["k8s:io.cilium.k8s.namespace.labels.team"], "a");
    assert_eq!(labels.get("k8s:pod-template-hash"), None);
    assert_eq!(
        json(&plane, &["get", "ciliumidentities"]).unwrap()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    wait_for("the record of a", async || record(&plane, "a").is_some()).await;
    let a = record(&plane, "a").unwrap();
    assert_eq!(
        a["status"]["networking"]["addressing"][0]["ipv4"],
        "10.1.0.2"
    );
    assert_eq!(a["status"]["networking"]["node"], "192.0.2.1");
    assert_eq!(a["status"]["named-ports"][0]["name"], "http");
    assert_eq!(a["metadata"]["ownerReferences"][0]["kind"], "Pod");
    let knows = async |node: &Node, prefix: &str, identity: Identity| {
        let wanted = (prefix.to_owned(), identity);
        node.addresses().await.contains(&wanted)
    };
    wait_for("n2 knows a", async || knows(&two, "10.1.0.2/32", web).await).await;
    let Reply::Status(status) = two.ask(Request::Status).await else {
        panic!("a status");
    };
    assert!(status.synced && status.rejected.is_empty(), "{status:?}");

    // A pod's labels change, and with them who it is, for all.
    plane
        .kubectl(&["-n", "shop", "label", "pod", "a", "--overwrite", "app=db"])
        .unwrap();
    wait_for("n2 knows a anew", async || {
        let addresses = two.addresses().await;
        let a = addresses.iter().find(|(prefix, _)| prefix == "10.1.0.2/32");
        a.is_some_and(|(_, identity)| *identity != web)
    })
    .await;
    let db = one.endpoints().await[0].identity;
    assert_ne!(db, web);
    // An identity that is marked as unused is taken up again before it is given.
    let name = web.0.to_string();
    plane
        .kubectl(&["annotate", "ciliumidentity", &name, &format!("{UNUSED}=x")])
        .unwrap();
    pod(&plane, "c", "n1", "web");
    assert_eq!(one.attach("c").await.unwrap(), web);
    let mark = json(&plane, &["get", "ciliumidentity", &name]).unwrap();
    assert_eq!(mark["metadata"]["annotations"].get(UNUSED), None);

    let delete = Request::EndpointDelete {
        attachment: attachment("a"),
    };
    one.ask(delete).await;
    wait_for("the record of a is gone", async || {
        record(&plane, "a").is_none()
    })
    .await;
    wait_for("n2 knows it", async || {
        !knows(&two, "10.1.0.2/32", db).await
    })
    .await;
    assert!(record(&plane, "b").is_some());
    // Who deletes a record by hand gets it back.
    plane
        .kubectl(&["-n", "shop", "delete", "ciliumendpoint", "b"])
        .unwrap();
    wait_for("the record of b is back", async || {
        record(&plane, "b").is_some()
    })
    .await;
    let troubles = one.link.troubles.all();
    assert!(troubles.is_empty(), "{troubles:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_about_to_leave_knows_it() {
    let plane = prepare().await;
    node(&plane, "n1", "192.0.2.1");
    ranges(&plane, "n1", "10.1.0.0/24");
    let one = Node::start(&plane, "n1").await;
    nodes_are_told_of(&plane, &[&one]).await;
    assert!(!one.leaves.get());
    let taint = "ToBeDeletedByClusterAutoscaler=1:NoSchedule";
    let until = async |leaves: bool| {
        wait_for("the node to hear of it", async || {
            one.leaves.get() == leaves
        })
        .await;
    };
    plane.kubectl(&["taint", "node", "n1", taint]).unwrap();
    until(true).await;
    plane
        .kubectl(&["taint", "node", "n1", &format!("{taint}-")])
        .unwrap();
    until(false).await;
    plane.kubectl(&["delete", "node", "n1"]).unwrap();
    until(true).await;
}

async fn nodes_are_told_of(plane: &Plane, nodes: &[&Node]) {
    for node in nodes {
        wait_for("the node is ready", async || {
            let node = json(plane, &["get", "node", node.name]).unwrap();
            let conditions = node["status"]["conditions"].as_array().cloned();
            let taints = node["spec"]["taints"].as_array().unwrap();
            let told = |it: &Value| it["type"] == "NetworkUnavailable" && it["status"] == "False";
            conditions.is_some_and(|all| all.iter().any(told))
                && taints
                    .iter()
                    .all(|taint| taint["key"] != "node.cilium.io/agent-not-ready")
                && taints.iter().any(|taint| taint["key"] == "other")
        })
        .await;
        let described = json(plane, &["get", "ciliumnode", node.name]).unwrap();
        let addresses = &described["spec"]["addresses"];
        assert_eq!(addresses[0]["type"], "InternalIP", "{addresses}");
        assert_eq!(addresses[1]["type"], "CiliumInternalIP", "{addresses}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_api_server_what_runs_goes_on() {
    let mut plane = prepare().await;
    node(&plane, "n1", "192.0.2.1");
    let waiting = kubernetes(&plane, "n1").await;
    // Nobody has given ranges yet.
    let nothing = Own::default();
    let early = tokio::time::timeout(Duration::from_secs(3), waiting.learn(&nothing));
    assert!(early.await.is_err());
    let refusal = waiting.refusal();
    assert!(
        refusal.hint.contains("the operator has not given any yet"),
        "{refusal:?}"
    );
    ranges(&plane, "n1", "10.1.0.0/24");
    let one = Node::start(&plane, "n1").await;
    pod(&plane, "a", "n1", "web");
    let web = one.attach("a").await.unwrap();
    wait_for("the record of a", async || record(&plane, "a").is_some()).await;
    pod(&plane, "b", "n1", "new");
    plane.stop_server();
    wait_for("the trouble", async || !one.link.troubles.all().is_empty()).await;
    assert_eq!(one.endpoints().await.len(), 1);
    let refused = one.attach("nobody").await.unwrap_err();
    assert!(
        refused.contains("not known yet") && refused.contains("does not answer"),
        "{refused}"
    );
    let gone = Request::EndpointDelete {
        attachment: attachment("a"),
    };
    one.ask(gone).await;
    // A start without an API server is what it was.
    let remembered = tokio::time::timeout(STOP, waiting.learn(&Own::default())).await;
    assert_eq!(
        remembered.unwrap().pod_ranges,
        ["10.1.0.0/24".parse().unwrap()]
    );
    plane.start_server();
    wait_for("the record of a is gone", async || {
        record(&plane, "a").is_none()
    })
    .await;
    let new = one.attach("b").await.unwrap();
    assert_ne!(new, web);
    wait_for("no trouble is left", async || {
        one.link.troubles.all().is_empty()
    })
    .await;
    // Other ranges: with pods it says so, and without them it starts anew.
    plane.kubectl(&["delete", "ciliumnode", "n1"]).unwrap();
    ranges(&plane, "n1", "10.1.7.0/24");
    wait_for("the trouble", async || {
        let troubles = one.link.troubles.all();
        let mut troubles = troubles.values();
        troubles.any(|it| it.contains("has been given 10.1.7.0/24"))
    })
    .await;
    let gone = Request::EndpointDelete {
        attachment: attachment("b"),
    };
    one.ask(gone).await;
    let ended = tokio::time::timeout(PATIENCE, one.ended).await.unwrap();
    assert!(ended.unwrap().contains("must start anew"));
    // What is remembered counts only where nobody is heard.
    plane.kubectl(&["delete", "ciliumnode", "n1"]).unwrap();
    let early = tokio::time::timeout(Duration::from_secs(8), waiting.learn(&nothing));
    assert!(early.await.is_err());
    drop(one.tasks);
}
