//! Labs with Tombolo installed by its chart: clusters are connected by commands and by hand, and their pods answer each other.
//!
//! Needs root, the built programs, a container runtime and helm, and says so.

mod support;

use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};
use support::{
    Lab,
    kubernetes::{Cluster, binary},
    program, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(90);

/// A lab, and what people have who use its clusters.
struct User {
    lab: Lab,
    configuration: String,
    folder: PathBuf,
}

impl User {
    fn with(name: &str, words: &str) -> User {
        let lab = Lab::planned(name);
        lab.run(&format!("up {words}"));
        let configuration = lab.run("kubeconfig").trim().to_owned();
        let folder = std::env::temp_dir().join(format!("tombolo-{}", lab.name));
        fs::create_dir_all(&folder).unwrap();
        User {
            lab,
            configuration,
            folder,
        }
    }

    fn output(&self, command: &mut Command) -> Output {
        let kubectl = binary("kubectl");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [kubectl.parent().unwrap().to_owned()];
        let folders = folders.into_iter().chain(std::env::split_paths(&path));
        command
            .env("KUBECONFIG", &self.configuration)
            .env("PATH", std::env::join_paths(folders).unwrap())
            .current_dir(&self.folder)
            .output()
            .unwrap()
    }

    /// What is typed in a shell.
    #[track_caller]
    fn types(&self, line: &str) -> String {
        let output = self.output(Command::new("sh").args(["-e", "-c", line]));
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn tombolo(&self, words: &str) -> Output {
        self.output(Command::new(program("tombolo")).args(words.split_whitespace()))
    }

    #[track_caller]
    fn does(&self, words: &str) -> String {
        let output = self.tombolo(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "tombolo {words}: {said}{complaint}"
        );
        said
    }

    fn status(&self, context: &str) -> (bool, Value) {
        let output = self.tombolo(&format!("clustermesh status --context {context} -o json"));
        let status = serde_json::from_slice(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        (
            output.status.success(),
            status.unwrap_or_else(|error| panic!("{error}: {complaint}")),
        )
    }

    /// Every pod of each cluster is answered by every pod of the other one, which sees its own address.
    fn pods_answer(&self, contexts: [&str; 2]) {
        let clusters = contexts.map(|context| Cluster::of(&self.lab, context));
        for cluster in &clusters {
            cluster.deploy_echo(2);
        }
        for (here, there) in [(0, 1), (1, 0)] {
            for from in clusters[here].pods() {
                for to in clusters[there].pods() {
                    for url in ["http://ADDRESS:8080/", "tcp://ADDRESS", "udp://ADDRESS"] {
                        let url = url.replace("ADDRESS", &to.address);
                        let answer = clusters[here].ask(&from, &url);
                        assert_eq!(answer["pod"], to.name, "{url}: {answer}");
                        assert_eq!(answer["cluster"], contexts[there], "{url}: {answer}");
                        assert_eq!(answer["from"], from.address, "{url}: {answer}");
                    }
                }
            }
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

#[test]
fn clusters_are_connected_by_commands_typed_in_order() {
    let user = User::with("typed", "--pod-ranges 11.0.0.0/8,12.0.0.0/8");
    user.does("clustermesh enable --context cluster1");
    user.does("clustermesh enable --context cluster2");
    for context in ["cluster1", "cluster2"] {
        user.does(&format!(
            "clustermesh status --context {context} --wait --wait-duration 90"
        ));
    }
    user.does("clustermesh connect --context cluster1 --destination-context cluster2");
    let screen = user.does("clustermesh status --context cluster1 --wait --wait-duration 90");
    assert!(screen.ends_with("Success\n"), "{screen}");
    assert!(
        screen.contains("All 2 nodes are connected to all clusters [min:1 / avg:1.0 / max:1]"),
        "{screen}"
    );
    user.does("clustermesh status --context cluster2 --wait --wait-duration 90");
    let (well, status) = user.status("cluster1");
    assert!(well, "{status:#}");
    let of = &status["connectivity"]["clusters"]["cluster2"];
    assert_eq!(
        (&of["configured"], &of["connected"]),
        (&json!(2), &json!(2))
    );
    user.pods_answer(["cluster1", "cluster2"]);

    // Whoever asks for the exit code learns of what is wrong.
    user.types("kubectl --context cluster2 -n kube-system scale deployment clustermesh-apiserver --replicas=0");
    wait_until("the other cluster to miss it", PATIENCE, || {
        !user.status("cluster1").0
    });
    user.types("kubectl --context cluster2 -n kube-system scale deployment clustermesh-apiserver --replicas=1");
    user.does("clustermesh status --context cluster1 --wait --wait-duration 90");
    user.does("clustermesh disconnect --context cluster1 --destination-context cluster2");
    let none = |context: &str| user.status(context).1["connectivity"]["clusters"] == json!({});
    wait_until("nobody to be listed", PATIENCE, || {
        none("cluster1") && none("cluster2")
    });

    // Nothing of it is left in a node's folders.
    user.does("uninstall --context cluster2");
    wait_until("plugin and configuration to go", PATIENCE, || {
        let left = user.lab.run("exec c2-n1 -- ls /opt/cni/bin /etc/cni/net.d");
        !left.contains("tombolo")
    });
}

const MESH: &str = "kubectl --context OWN apply -f - <<END
apiVersion: cilium.io/v2alpha1
kind: ClusterMesh
metadata: {name: my-mesh}
spec:
  clusters:
  - name: PEER
    secret: {name: PEER-secret, namespace: kube-system}
END";

#[test]
fn the_mistake_that_guides_invite_is_mended_by_what_is_printed() {
    let user = User::with(
        "byhand",
        "--names cluster-a,cluster-b --pod-ranges 11.0.0.0/8,12.0.0.0/8",
    );
    for context in ["cluster-a", "cluster-b"] {
        user.does(&format!("clustermesh enable --context {context}"));
        user.does(&format!(
            "clustermesh status --context {context} --wait --wait-duration 90"
        ));
        for key in ["id", "secret"] {
            user.types(&format!(
                "kubectl --context {context} get secret -n kube-system cluster-mesh-config -o jsonpath='{{.data.cluster\\.{key}}}' \
                 | base64 --decode > {context}.{key}"
            ));
        }
        // Each gets the Secret that is made of its own files.
        user.types(&format!(
            "kubectl --context {context} create secret generic {context}-secret --from-file=cluster.id={context}.id \
             --from-file=cluster.secret={context}.secret -n kube-system"
        ));
    }
    for (here, there) in [("cluster-a", "cluster-b"), ("cluster-b", "cluster-a")] {
        user.types(&MESH.replace("OWN", here).replace("PEER", there));
    }
    let mut commands = String::new();
    wait_until("the mistake to be told", PATIENCE, || {
        let (well, status) = user.status("cluster-a");
        assert!(!well, "{status:#}");
        let errors = status["errors"].as_array().unwrap();
        let mut errors = errors.iter().filter(|error| {
            let sentence = error["sentence"].as_str().unwrap_or_default();
            sentence.contains("Secret kube-system/cluster-b-secret is not there")
                && sentence.contains("cluster-a-secret holds cluster-a's own cluster.id")
        });
        let found = errors.next().and_then(|error| error["hint"].as_str());
        commands = found.unwrap_or_default().to_owned();
        found.is_some()
    });
    let reason = "kubectl --context cluster-a get clustermesh my-mesh -o jsonpath='{.status.clusters[0].conditions[0].reason}'";
    assert_eq!(user.types(reason), "SecretsSwapped");
    user.types(&commands);
    for context in ["cluster-a", "cluster-b"] {
        user.does(&format!(
            "clustermesh status --context {context} --wait --wait-duration 90"
        ));
    }
    assert_eq!(user.types(reason), "Trusted");
    user.pods_answer(["cluster-a", "cluster-b"]);
}
