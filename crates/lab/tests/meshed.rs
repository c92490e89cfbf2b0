//! Labs with Tombolo installed by its chart: clusters are connected by commands and by hand, and their pods answer each other.
//!
//! Needs root, the built programs, a container runtime and helm, and says so.

mod support;

use serde_json::json;
use std::time::{Duration, Instant};
use support::{churn, pods, user::User, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn clusters_are_connected_by_commands_typed_in_order() {
    let user = User::with("typed", "--pod-ranges 11.0.0.0/8,12.0.0.0/8");
    pods::end_identities_soon(&user);
    user.connects(["cluster1", "cluster2"]);
    let screen = user.does("clustermesh status --context cluster1 --wait --wait-duration 90");
    assert!(screen.ends_with("Success\n"), "{screen}");
    assert!(
        screen.contains("All 2 nodes are connected to all clusters [min:1 / avg:1.0 / max:1]"),
        "{screen}"
    );
    let (well, status) = user.status("cluster1");
    assert!(well, "{status:#}");
    let of = &status["connectivity"]["clusters"]["cluster2"];
    assert_eq!(
        (&of["configured"], &of["connected"]),
        (&json!(2), &json!(2))
    );
    user.pods_answer(["cluster1", "cluster2"]);

    for part in [
        churn::a_node_comes_and_goes,
        churn::agents_are_upgraded_without_a_loss,
        churn::a_cluster_gets_another_number,
        churn::pods_come_and_go,
    ] {
        let start = Instant::now();
        part(&user);
        eprintln!("{:?}", start.elapsed());
    }

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
