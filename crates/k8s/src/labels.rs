//! Which of a pod's labels make its identity, as the identities of all clusters of a mesh are made.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

const SOURCE: &str = "k8s";
const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels";
const CLUSTER: &str = "io.cilium.k8s.policy.cluster";
const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";

/// Beginnings of keys. The longest that fits decides; a key that none fits is taken.
const TAKEN: [&str; 5] = [
    NAMESPACE,
    NAMESPACE_LABELS,
    "app.kubernetes.io",
    CLUSTER,
    SERVICE_ACCOUNT,
];
const LEFT: [&str; 14] = [
    "io.kubernetes",
    "kubernetes.io",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    "k8s.io",
    "pod-template-generation",
    "pod-template-hash",
    "controller-revision-hash",
    "annotation",
    "controller-uid",
    "etcd_node",
    "topology.kubernetes.io",
];
/// Fits wherever it stands.
const LEFT_WITHIN: &str = "beta.kubernetes.io";

/// What is known of a pod that its identity is made of.
#[derive(Clone, Copy, Debug)]
pub struct PodLabels<'a> {
    pub cluster: &'a str,
    pub namespace: &'a str,
    pub service_account: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    pub namespace_labels: &'a BTreeMap<String, String>,
}

impl PodLabels<'_> {
    /// As a CiliumIdentity has them.
    pub fn security_labels(&self) -> BTreeMap<String, String> {
        let own = self
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()));
        let namespace = self
            .namespace_labels
            .iter()
            .map(|(key, value)| (format!("{NAMESPACE_LABELS}.{key}"), value.clone()));
        // Last, for no pod may say of itself what these say.
        let given = [
            (NAMESPACE, self.namespace),
            (CLUSTER, self.cluster),
            (SERVICE_ACCOUNT, self.service_account),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        own.filter(|(key, _)| !is_given(key))
            .chain(namespace)
            .chain(given)
            .filter(|(key, _)| is_taken(key))
            .map(|(key, value)| (format!("{SOURCE}:{key}"), value))
            .collect()
    }
}

/// A pod that calls a label of its own so pretends to be what it is not.
fn is_given(key: &str) -> bool {
    let reserved = [NAMESPACE, NAMESPACE_LABELS, CLUSTER, SERVICE_ACCOUNT];
    reserved.iter().any(|reserved| key.starts_with(reserved))
}

fn is_taken(key: &str) -> bool {
    let longest = |beginnings: &[&str]| {
        let fitting = beginnings.iter().filter(|begin| key.starts_with(**begin));
        fitting.map(|begin| begin.len()).max().unwrap_or(0)
    };
    let within = key
        .rfind(LEFT_WITHIN)
        .map_or(0, |at| at + LEFT_WITHIN.len());
    let left = longest(&LEFT).max(within);
    left == 0 || longest(&TAKEN) > left
}
