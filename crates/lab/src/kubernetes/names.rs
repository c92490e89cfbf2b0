//! The name server of each cluster: the real CoreDNS, by the objects that clusters of the field have it by.

use super::{at_once::at_once, images, kubectl::Kubectl, node};
use crate::{error::Result, state::State};
use serde_json::{Value, json};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "coredns";
/// Beyond the lab there is nobody to ask: this is the world, with one name in it that no service has, for those who want to see
/// that CoreDNS is asked.
const WORLD: &str = "\
. 60 IN SOA world. lab. 1 7200 1800 86400 60
. 60 IN NS world.
host.lab.test. 60 IN A 192.0.2.53
";

/// Gives one to each cluster, and waits for nothing.
pub fn give(state: &State) -> Result<()> {
    let clusters: Vec<u8> = state.shape.clusters().collect();
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": objects()});
    at_once(&clusters, |cluster| {
        Kubectl::of(state, *cluster).apply(&objects)
    })
    .map(drop)
}

fn corefile() -> String {
    let domain = node::DOMAIN;
    format!(
        ".:53 {{
    errors
    health
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    file /etc/coredns/world .
    cache 30
    loadbalance
}}
"
    )
}

fn objects() -> Vec<Value> {
    let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE, "labels": {"k8s-app": "kube-dns"}});
    let reads = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(NAME)}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                reads("", &["endpoints", "services", "pods", "namespaces"]),
                reads("discovery.k8s.io", &["endpointslices"]),
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        }),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(NAME), "data": {"Corefile": corefile(), "world": WORLD}}),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata("kube-dns"),
            "spec": {
                "selector": {"k8s-app": "kube-dns"},
                "clusterIP": node::DNS,
                "ipFamilyPolicy": "PreferDualStack",
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53},
                    {"name": "metrics", "port": 9153},
                ],
            },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(NAME),
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"k8s-app": "kube-dns"}},
                "template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}, "spec": pod()},
            },
        }),
    ]
}

fn pod() -> Value {
    json!({
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": NAME,
        "dnsPolicy": "Default",
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "containers": [{
            "name": NAME,
            "image": images::COREDNS,
            "imagePullPolicy": "Never",
            "args": ["-conf", "/etc/coredns/Corefile"],
            "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}, "limits": {"memory": "170Mi"}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": true}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
            "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 60},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                "readOnlyRootFilesystem": true,
            },
        }],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
    })
}
