//! Two clusters with real API servers, connected as guides tell people to.

use std::{fs, time::Instant};

use tokio::task::JoinSet;

use super::*;
use crate::operator::{
    definitions,
    tests::{
        of_cluster,
        plane::{PATIENCE, Plane},
    },
};

/// A cluster whose operator leads until this is dropped.
struct Cluster {
    plane: Plane,
    name: &'static str,
    _tasks: JoinSet<()>,
}

impl Cluster {
    async fn start(name: &'static str, id: u16) -> Cluster {
        let plane = Plane::start();
        let operator = of_cluster(&plane, name, id).await;
        definitions::install(&operator).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { keep(&operator).await });
        let cluster = Cluster {
            plane,
            name,
            _tasks: tasks,
        };
        let node = format!("{{apiVersion: v1, kind: Node, metadata: {{name: n{id}}}}}");
        cluster.plane.apply(&node).unwrap();
        let status = format!(
            r#"{{"status":{{"addresses":[{{"type":"InternalIP","address":"192.0.2.{id}"}}]}}}}"#
        );
        let node = format!("n{id}");
        let words = [
            "patch",
            "node",
            &node,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ];
        cluster.plane.kubectl(&words).unwrap();
        cluster
            .wait("it is reached", || {
                let text = cluster.read("cluster-mesh-config", "cluster.id");
                String::from_utf8_lossy(&text).contains(&format!("https://192.0.2.{id}:2379"))
            })
            .await;
        cluster
    }

    async fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(
                Instant::now() < end,
                "{}: waited in vain: {what}\n{}",
                self.name,
                self.mesh("{.status}")
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// As the articles have people read it.
    fn read(&self, secret: &str, key: &str) -> Vec<u8> {
        let path = format!("jsonpath={{.data.{}}}", key.replace('.', r"\."));
        let found =
            self.plane
                .kubectl(&["get", "secret", "-n", "kube-system", secret, "-o", &path]);
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.decode(found.unwrap_or_default().trim()).unwrap()
    }

    /// Makes the Secret of another cluster's files.
    fn make_secret(&self, name: &str, of: &Cluster) {
        let mut words = vec!["create", "secret", "generic", name, "-n", "kube-system"];
        let mut given = Vec::new();
        for key in ["cluster.id", "cluster.secret"] {
            let file = self.plane.folder.join(format!("{}.{key}", of.name));
            fs::write(&file, of.read("cluster-mesh-config", key)).unwrap();
            given.push(format!("--from-file={key}={}", file.display()));
        }
        words.extend(given.iter().map(String::as_str));
        self.plane.kubectl(&words).unwrap();
    }

    fn list(&self, peer: &str) {
        let text = format!(
            "{{apiVersion: cilium.io/v2alpha1, kind: ClusterMesh, metadata: {{name: my-mesh}}, spec: {{clusters: [{{name: {peer}, secret: \
             {{name: {peer}-secret, namespace: kube-system}}}}]}}}}"
        );
        self.plane.apply(&text).unwrap();
    }

    fn mesh(&self, path: &str) -> String {
        let path = format!("jsonpath={path}");
        let found = self
            .plane
            .kubectl(&["get", "clustermesh", "my-mesh", "-o", &path]);
        found.unwrap_or_else(|error| error)
    }

    async fn reason(&self, expected: &str) {
        let path = "{.status.clusters[0].conditions[0].reason}";
        self.wait(expected, || self.mesh(path) == expected).await;
    }

    fn message(&self) -> String {
        self.mesh("{.status.clusters[0].conditions[0].message}")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_that_are_given_each_others_files_trust_each_other() {
    let a = Cluster::start("cluster-a", 1).await;
    let b = Cluster::start("cluster-b", 2).await;
    // The mistake that guides invite: each gets the Secret made of its own files, under the name for the other one.
    a.make_secret("cluster-a-secret", &a);
    b.make_secret("cluster-b-secret", &b);
    a.list("cluster-b");
    b.list("cluster-a");
    a.reason("SecretsSwapped").await;
    b.reason("SecretsSwapped").await;
    let message = a.message();
    assert!(
        message.contains("Secret kube-system/cluster-b-secret is not there"),
        "{message}"
    );
    assert!(message.contains("kube-system/cluster-a-secret holds cluster-a's own cluster.id: that one belongs on cluster-b"), "{message}");
    // What the message says, but for the contexts, which are other kubeconfigs here.
    for (cluster, wrong) in [(&a, "cluster-a-secret"), (&b, "cluster-b-secret")] {
        cluster
            .plane
            .kubectl(&["delete", "secret", "-n", "kube-system", wrong])
            .unwrap();
    }
    a.make_secret("cluster-b-secret", &b);
    b.make_secret("cluster-a-secret", &a);
    a.reason("Trusted").await;
    b.reason("Trusted").await;
    assert_eq!(a.mesh("{.status.clusters[0].id}"), "2");
    // Each now has what lets the other in, and what it comes with.
    for (cluster, peer) in [(&a, "cluster-b"), (&b, "cluster-a")] {
        let file = String::from_utf8(cluster.read(MIRROR, peer)).unwrap();
        assert!(
            file.contains(&format!("https://{peer}.mesh.cilium.io:2379")),
            "{file}"
        );
        assert!(
            !cluster
                .read(STORE, &format!("remote-{peer}.trust"))
                .is_empty()
        );
        assert!(!cluster.read(AGENTS, peer).is_empty());
    }
    // Another one takes the peer's place, with the secret of this one.
    a.plane
        .kubectl(&["delete", "secret", "-n", "kube-system", "cluster-b-secret"])
        .unwrap();
    a.reason("SecretMissing").await;
    a.wait("it is let in no more", || {
        a.read(STORE, "remote-cluster-b.trust").is_empty()
    })
    .await;
}
