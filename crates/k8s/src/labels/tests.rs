use super::{PodLabels, is_taken};
use std::collections::BTreeMap;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn an_identity_has_the_labels_that_say_what_its_pods_are() {
    let labels = map(&[
        ("app", "frontend"),
        ("pod-template-hash", "5d8f"),
        ("app.kubernetes.io/name", "web"),
    ]);
    let namespace_labels = map(&[("kubernetes.io/metadata.name", "shop"), ("team", "a")]);
    let pod = PodLabels {
        cluster: "cluster1",
        namespace: "shop",
        service_account: "default",
        labels: &labels,
        namespace_labels: &namespace_labels,
    };
    let wanted = map(&[
        ("k8s:app", "frontend"),
        ("k8s:app.kubernetes.io/name", "web"),
        (
            "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name",
            "shop",
        ),
        ("k8s:io.cilium.k8s.namespace.labels.team", "a"),
        ("k8s:io.cilium.k8s.policy.cluster", "cluster1"),
        ("k8s:io.cilium.k8s.policy.serviceaccount", "default"),
        ("k8s:io.kubernetes.pod.namespace", "shop"),
    ]);
    assert_eq!(pod.security_labels(), wanted);
}

#[test]
fn a_pod_can_not_pretend_to_be_another_namespaces() {
    let labels = map(&[
        ("io.kubernetes.pod.namespace", "kube-system"),
        ("io.cilium.k8s.policy.cluster", "cluster2"),
        ("io.cilium.k8s.namespace.labels.team", "admin"),
        ("io.cilium.k8s.policy.serviceaccount", "admin"),
    ]);
    let nothing = BTreeMap::new();
    let pod = PodLabels {
        cluster: "cluster1",
        namespace: "shop",
        service_account: "",
        labels: &labels,
        namespace_labels: &nothing,
    };
    let wanted = map(&[
        ("k8s:io.cilium.k8s.policy.cluster", "cluster1"),
        ("k8s:io.kubernetes.pod.namespace", "shop"),
    ]);
    assert_eq!(pod.security_labels(), wanted);
}

#[test]
fn the_longest_beginning_decides() {
    let table = [
        ("app", true),
        ("example.com/role", true),
        ("kubernetes.io/arch", false),
        ("app.kubernetes.io/part-of", true),
        ("io.kubernetes.pod.namespace", true),
        ("io.kubernetes.pod.name", false),
        ("statefulset.kubernetes.io/pod-name", false),
        ("apps.kubernetes.io/pod-index", false),
        ("batch.kubernetes.io/job-name", true),
        ("batch.kubernetes.io/controller-uid", false),
        ("node.beta.kubernetes.io/x", false),
        ("failure-domain.beta.kubernetes.io/zone", false),
        ("k8s.io/thing", false),
        ("topology.kubernetes.io/zone", false),
        ("controller-revision-hash", false),
        ("controller-uid", false),
        ("annotation.kubectl", false),
        ("etcd_node", false),
        (
            "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name",
            true,
        ),
    ];
    for (key, taken) in table {
        assert_eq!(is_taken(key), taken, "{key}");
    }
}
