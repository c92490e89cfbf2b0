//! A node of a cluster: certificates, configurations and words of its runtime and its kubelet.

use super::{
    FOLDER, api_server,
    authority::{self, Authority, Owner},
    kubeconfig,
};
use crate::{
    Error,
    error::Result,
    plan::{MachineId, NodeId},
    state::State,
};
use serde_json::{Value, json};
use std::{fs, net::IpAddr};

/// Where the runtime listens, as it does by itself.
pub const RUNTIME: &str = "/run/containerd/containerd.sock";
pub const KUBELET_HEALTH: u16 = 10248;
pub const PAUSE: &str = "tombolo.io/pause:1";
/// Where pods ask for names, and what those of services end in.
pub const DNS: &str = "172.20.0.10";
pub const DOMAIN: &str = "cluster.local";
const PODS_MAX: u32 = 250;

/// Gives the node all that its programs are started with.
pub fn found(state: &State, node: NodeId, authority: &Authority) -> Result<()> {
    let folder = state.path_in(node, FOLDER)?;
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    authority.write_certificate(&folder, "ca")?;
    let (name, addresses) = (node.to_string(), addresses(state, node));
    let owner = Owner {
        name: &format!("system:node:{name}"),
        group: Some("system:nodes"),
        hosts: &[&name],
        addresses: &addresses,
    };
    let pair = authority.issue(&owner)?;
    pair.write(&folder, "kubelet")?;
    let entry = kubeconfig::Entry {
        context: state.cluster_name(node.cluster),
        server: api_server(state, node.cluster),
        authority: &authority.certificate,
        pair,
    };
    authority::write(
        &folder.join("kubelet.kubeconfig"),
        &kubeconfig::text(&[entry]),
    )?;
    let configuration = kubelet_configuration(&MachineId::Node(node).cgroup(&state.name));
    authority::write(&folder.join("kubelet.json"), &configuration.to_string())?;
    authority::write(&folder.join("containerd.toml"), &containerd_configuration())
}

fn addresses(state: &State, node: NodeId) -> Vec<IpAddr> {
    let addresses = state.shape.node_addresses(node);
    addresses.iter().map(|net| net.addr()).collect()
}

pub fn containerd() -> Vec<String> {
    vec![format!("--config={FOLDER}/containerd.toml")]
}

/// All else is as the program has it by itself.
fn containerd_configuration() -> String {
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Whoever may not lower its own score can't lower that of its pods; machines that are containers themselves may not.
  restrict_oom_score_adj = true
"#
    )
}

pub fn kubelet(state: &State, node: NodeId) -> Vec<String> {
    let addresses = addresses(state, node);
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    vec![
        format!("--config={FOLDER}/kubelet.json"),
        format!("--kubeconfig={FOLDER}/kubelet.kubeconfig"),
        format!("--hostname-override={node}"),
        format!("--node-ip={}", addresses.join(",")),
    ]
}

/// The group is the node's own: several kubelets share this machine's hierarchies.
fn kubelet_configuration(cgroup: &str) -> Value {
    json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": "::",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": format!("{FOLDER}/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": format!("{FOLDER}/kubelet.crt"),
        "tlsPrivateKeyFile": format!("{FOLDER}/kubelet.key"),
        "healthzPort": KUBELET_HEALTH,
        "containerRuntimeEndpoint": format!("unix://{RUNTIME}"),
        "clusterDomain": DOMAIN,
        "clusterDNS": [DNS],
        "maxPods": PODS_MAX,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{cgroup}"),
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        // Its own folder would be made on this machine.
        "volumePluginDir": "/var/lib/kubelet/plugins-of-volumes",
        // The disk is this machine's, and who fills it is none of the lab's pods.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
            "memory.available": "50Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
    })
}
