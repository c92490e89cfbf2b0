//! The operator against a real API server.

#[path = "../../../k8s/tests/plane/mod.rs"]
pub mod plane;

use super::{
    IdentityOptions, Operator, OperatorOptions, PeerOptions, RangeOptions, Shown, definitions,
    election::Election,
};
use crate::{KubernetesOptions, LogFormat, Troubles};
use plane::{PATIENCE, Plane};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

async fn operator(plane: &Plane) -> Arc<Operator> {
    of_cluster(plane, "cluster1", 1).await
}

pub async fn of_cluster(plane: &Plane, name: &str, id: u16) -> Arc<Operator> {
    let options = OperatorOptions {
        cluster_name: name.into(),
        cluster_id: id,
        max_connected_clusters: 255,
        mesh: super::mesh::MeshApiOptions {
            mesh_api: true,
            mesh_host_network: true,
            ..Default::default()
        },
        kubernetes: KubernetesOptions {
            kubeconfig: Some(plane.kubeconfig("master")),
            context: None,
        },
        ranges: RangeOptions {
            cluster_pool_ipv4: vec!["10.1.0.0/16".parse().unwrap()],
            cluster_pool_ipv4_mask_size: 24,
            cluster_pool_ipv6: vec!["fd00:1::/104".parse().unwrap()],
            cluster_pool_ipv6_mask_size: 120,
            service_range: Vec::new(),
        },
        identities: IdentityOptions {
            identity_gc_after: 4,
        },
        peers: PeerOptions::default(),
        namespace: "kube-system".into(),
        health_listen: "127.0.0.1:0".parse().unwrap(),
        log_format: LogFormat::Text,
    };
    Arc::new(Operator {
        client: options.kubernetes.connect().await.unwrap(),
        options,
        writer: "tombolo-here".into(),
        troubles: Troubles::default(),
        shown: Shown::default(),
        others: watch::Sender::default(),
    })
}

async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An operator of its own name that stands for election until it is dropped.
struct Replica {
    operator: Arc<Operator>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Replica {
    async fn start(plane: &Plane, name: &str) -> Replica {
        let operator = operator(plane).await;
        let stop = CancellationToken::new();
        let election = Election::new(&operator.client, "kube-system", name);
        let mut task = JoinSet::new();
        let (elected, stopped) = (Arc::clone(&operator), stop.clone());
        task.spawn(async move { election.run(&elected, stopped).await });
        Replica {
            operator,
            stop,
            task,
        }
    }

    fn leads(&self) -> bool {
        self.operator.shown.lock().leads
    }

    fn leader(&self) -> String {
        self.operator.shown.lock().leader.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_leads_and_another_takes_over() {
    let plane = Plane::start();
    let mut one = Replica::start(&plane, "one").await;
    wait_for("one leads", || one.leads()).await;
    let mut two = Replica::start(&plane, "two").await;
    wait_for("two knows it", || two.leader() == "one").await;
    wait_for("the definitions", || one.operator.shown.lock().definitions).await;
    assert!(!two.leads());
    // One ends as it should: the next one need not wait for the lease to end.
    let asked = Instant::now();
    one.stop.cancel();
    one.task.join_next().await.unwrap().unwrap();
    assert!(!one.operator.shown.lock().leads);
    wait_for("two leads", || two.leads()).await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{asked:?}");
    // Two is gone without a word.
    two.task.abort_all();
    let gone = Instant::now();
    let three = Replica::start(&plane, "three").await;
    wait_for("three leads", || three.leads()).await;
    assert!(gone.elapsed() > Duration::from_secs(10), "{gone:?}");
    let lease = plane.kubectl(&["-n", "kube-system", "get", "lease", "tombolo-operator"]);
    assert!(lease.unwrap().contains("three"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_an_api_server_leads_no_more() {
    let mut plane = Plane::start();
    let one = Replica::start(&plane, "one").await;
    wait_for("one leads", || one.leads()).await;
    plane.stop_server();
    wait_for("it gives up", || !one.leads()).await;
    let troubles = one.operator.troubles.all();
    assert!(
        troubles
            .values()
            .any(|trouble| trouble.contains("does not answer")),
        "{troubles:?}"
    );
    plane.start_server();
    wait_for("it leads again", || one.leads()).await;
    let deadline = Instant::now() + PATIENCE;
    while !one.operator.troubles.all().is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(one.operator.troubles.all(), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_installed_and_refuse_what_is_wrong() {
    let plane = Plane::start();
    let operator = operator(&plane).await;
    let found = plane.kubectl(&["get", "ciliumnodes"]);
    assert!(found.unwrap_err().contains("doesn't have a resource type"));
    definitions::install(&operator).await;
    // A second time changes nothing.
    let version = || {
        let path = "jsonpath={.items[*].metadata.resourceVersion}";
        plane.kubectl(&["get", "crd", "-o", path]).unwrap()
    };
    let before = version();
    definitions::install(&operator).await;
    assert_eq!(version(), before);

    for (what, manifest, complaint) in MANIFESTS {
        let applied = plane.apply(manifest);
        match complaint {
            None => drop(applied.unwrap_or_else(|error| panic!("{what}: {error}"))),
            Some(complaint) => {
                let error = applied.expect_err(what);
                assert!(error.contains(complaint), "{what}: {error}");
            }
        }
    }
    let nodes = plane.kubectl(&["get", "ciliumnodes"]).unwrap();
    assert!(
        nodes.contains("192.0.2.1") && nodes.contains("10.1.0.0/24"),
        "{nodes}"
    );
    let endpoints = plane.kubectl(&["get", "ciliumendpoints"]).unwrap();
    assert!(
        endpoints.contains("65537") && endpoints.contains("10.1.0.7"),
        "{endpoints}"
    );
    let meshes = plane.kubectl(&["get", "clustermesh"]).unwrap();
    assert!(meshes.contains("cluster-b"), "{meshes}");
    let change = ["patch", "ciliumidentity", "65537", "--type=merge", "-p"];
    let change = [&change[..], &[r#"{"security-labels":{"k8s:app":"other"}}"#]].concat();
    let error = plane.kubectl(&change).unwrap_err();
    assert!(error.contains("never change"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_of_others_and_newer_ones_stay() {
    let plane = Plane::start();
    let operator = operator(&plane).await;
    definitions::install(&operator).await;
    let label = |label: &str| {
        let words = [
            "label",
            "--overwrite",
            "crd",
            "ciliumnodes.cilium.io",
            label,
        ];
        plane.kubectl(&words).unwrap();
    };
    let short_names = || {
        let path = "jsonpath={.spec.names.shortNames}";
        let words = ["get", "crd", "ciliumnodes.cilium.io", "-o", path];
        plane.kubectl(&words).unwrap()
    };
    let patch = r#"{"spec":{"names":{"shortNames":["other"]}}}"#;
    let words = [
        "patch",
        "crd",
        "ciliumnodes.cilium.io",
        "--type=merge",
        "-p",
        patch,
    ];
    plane.kubectl(&words).unwrap();
    label("tombolo.io/schema=1000");
    definitions::install(&operator).await;
    assert_eq!(short_names(), r#"["other"]"#);
    label("tombolo.io/schema=0");
    definitions::install(&operator).await;
    assert_eq!(short_names(), r#"["cn","ciliumn"]"#);
    label("io.cilium.k8s.crd.schema.version=1.31.0");
    let refused = definitions::install_all(&operator.client)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("is Cilium's own definition"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_get_ranges_and_give_them_back() {
    let plane = Plane::start();
    let one = Replica::start(&plane, "one").await;
    let node = |name: &str| {
        let manifest = format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}}}");
        plane.apply(&manifest).unwrap();
    };
    let ranges = |name: &str| {
        let path = "jsonpath={.spec.ipam.podCIDRs}";
        plane.kubectl(&["get", "ciliumnode", name, "-o", path])
    };
    node("n1");
    node("n2");
    let has = |name: &str, wanted: &str| ranges(name).is_ok_and(|ranges| ranges == wanted);
    wait_for("n1 has ranges", || {
        has("n1", r#"["10.1.0.0/24","fd00:1::/120"]"#)
    })
    .await;
    wait_for("n2 has ranges", || {
        has("n2", r#"["10.1.1.0/24","fd00:1::100/120"]"#)
    })
    .await;
    let reason = |name: &str| {
        let path = "jsonpath={.status.conditions[0].reason}";
        plane
            .kubectl(&["get", "ciliumnode", name, "-o", path])
            .unwrap_or_default()
    };
    wait_for("n1 is told", || reason("n1") == "Given").await;
    // Nobody collects what a node owned here: the operator does.
    plane.kubectl(&["delete", "node", "n1"]).unwrap();
    wait_for("n1 is gone", || ranges("n1").is_err()).await;
    // Another cluster's pods have addresses of the pool: new nodes get none, and both are named.
    let peer = (
        "cluster2".to_owned(),
        vec!["10.1.128.0/20".parse().unwrap()],
    );
    one.operator.others.send_replace(BTreeMap::from([peer]));
    node("n3");
    let trouble = || {
        one.operator
            .troubles
            .all()
            .into_values()
            .collect::<String>()
    };
    wait_for("the refusal", || {
        trouble().contains("10.1.128.0/20, which is of the pods of the cluster cluster2")
    })
    .await;
    wait_for("n3 is told why", || reason("n3") == "NoRange").await;
    assert_eq!(ranges("n3").unwrap(), "[]");
    let events = || {
        let path = "jsonpath={range .items[*]}{.regarding.name} {.reason} {.type}{\"\\n\"}{end}";
        plane
            .kubectl(&["get", "events.events.k8s.io", "-o", path])
            .unwrap()
    };
    wait_for("the event", || events().contains("n3 NoPodRange Warning")).await;
    // It is said once, and not again and again.
    let version = || {
        let path = "jsonpath={.metadata.resourceVersion}";
        plane
            .kubectl(&["get", "ciliumnode", "n3", "-o", path])
            .unwrap()
    };
    let before = version();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(version(), before);
    one.operator.others.send_replace(BTreeMap::new());
    wait_for("n3 has ranges", || {
        has("n3", r#"["10.1.2.0/24","fd00:1::200/120"]"#)
    })
    .await;
    wait_for("no trouble is left", || trouble().is_empty()).await;
    // A service range within the pool.
    let range = "{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: [10.1.64.0/24]}}";
    plane.apply(range).unwrap();
    wait_for("the refusal", || {
        node("n4");
        trouble().contains("10.1.64.0/24, which is of this cluster's services")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_that_nobody_uses_end() {
    let plane = Plane::start();
    let one = Replica::start(&plane, "one").await;
    wait_for("the definitions", || one.operator.shown.lock().definitions).await;
    let identity = |number: u32| {
        plane.apply(&format!("{{apiVersion: cilium.io/v2, kind: CiliumIdentity, metadata: {{name: '{number}'}}, security-labels: {{'k8s:app': web}}}}")).unwrap();
    };
    let path = "jsonpath={.metadata.annotations}";
    let there = |number: &str| plane.kubectl(&["get", "ciliumidentity", number, "-o", path]);
    [65_600, 65_601, 140_000].into_iter().for_each(identity);
    plane
        .apply("{apiVersion: cilium.io/v2, kind: CiliumEndpoint, metadata: {name: web, namespace: default}, status: {identity: {id: 65601}}}")
        .unwrap();
    wait_for("the mark", || {
        there("65600").is_ok_and(|it| it.contains("unused-since"))
    })
    .await;
    wait_for("the end", || there("65600").is_err()).await;
    assert!(there("65601").is_ok_and(|it| !it.contains("unused-since")));
    // Of the time when this cluster had another number.
    wait_for("the end of the other", || there("140000").is_err()).await;
    assert_eq!(one.operator.troubles.all(), BTreeMap::new());
}

type Case = (&'static str, &'static str, Option<&'static str>);

const MANIFESTS: [Case; 13] = [
    (
        "a node",
        "{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {name: n1}, spec: {addresses: [{type: InternalIP, ip: 192.0.2.1}, {type: \
         Hostname, ip: n1}], ipam: {podCIDRs: [10.1.0.0/24, 'fd00:1::/120']}, encryption: {key: 0}}}",
        None,
    ),
    (
        "a range that is none",
        "{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {name: n2}, spec: {ipam: {podCIDRs: [10.1.0.0]}}}",
        Some("spec.ipam.podCIDRs[0]"),
    ),
    (
        "an address that is none",
        "{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {name: n2}, spec: {addresses: [{type: InternalIP, ip: here}]}}",
        Some("spec.addresses[0].ip"),
    ),
    (
        "a key that is too large",
        "{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {name: n2}, spec: {encryption: {key: 256}}}",
        Some("spec.encryption.key"),
    ),
    (
        "an identity",
        "{apiVersion: cilium.io/v2, kind: CiliumIdentity, metadata: {name: '65537'}, security-labels: {'k8s:app': web}}",
        None,
    ),
    (
        "an identity without a number",
        "{apiVersion: cilium.io/v2, kind: CiliumIdentity, metadata: {name: web}, security-labels: {'k8s:app': web}}",
        Some("it is not the number of an identity"),
    ),
    (
        "an identity without labels",
        "{apiVersion: cilium.io/v2, kind: CiliumIdentity, metadata: {name: '65538'}}",
        Some("security-labels"),
    ),
    (
        "an endpoint",
        "{apiVersion: cilium.io/v2, kind: CiliumEndpoint, metadata: {name: web, namespace: default}, status: {id: 7, state: ready, identity: \
         {id: 65537, labels: ['k8s:app=web']}, networking: {node: 192.0.2.1, addressing: [{ipv4: 10.1.0.7, ipv6: 'fd00:1::7'}]}}}",
        None,
    ),
    (
        "an endpoint nowhere",
        "{apiVersion: cilium.io/v2, kind: CiliumEndpoint, metadata: {name: web2, namespace: default}, status: {networking: {addressing: \
         [{ipv4: nowhere}]}}}",
        Some("status.networking.addressing[0].ipv4"),
    ),
    (
        "a mesh",
        "{apiVersion: cilium.io/v2alpha1, kind: ClusterMesh, metadata: {name: my-mesh}, spec: {clusters: [{name: cluster-b, secret: {name: \
         cluster-b-secret, namespace: kube-system}}]}}",
        None,
    ),
    (
        "a mesh with a cluster twice",
        "{apiVersion: cilium.io/v2alpha1, kind: ClusterMesh, metadata: {name: other}, spec: {clusters: [{name: b, secret: {name: s, namespace: \
         ns}}, {name: b, secret: {name: s, namespace: ns}}]}}",
        Some("spec.clusters[1]"),
    ),
    (
        "a mesh with a cluster of the name default",
        "{apiVersion: cilium.io/v2alpha1, kind: ClusterMesh, metadata: {name: other}, spec: {clusters: [{name: default, secret: {name: s, \
         namespace: ns}}]}}",
        Some("a name of its own"),
    ),
    (
        "a mesh with a name that is none",
        "{apiVersion: cilium.io/v2alpha1, kind: ClusterMesh, metadata: {name: other}, spec: {clusters: [{name: Cluster_B, secret: {name: s, \
         namespace: ns}}]}}",
        Some("spec.clusters[0].name"),
    ),
];
