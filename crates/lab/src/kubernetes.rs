//! Clusters of real Kubernetes: which programs there are, with which words each is started, and what it says of itself.
//!
//! ```text
//!   this machine ── door ──► kube-apiserver ◄── kube-controller-manager, kube-scheduler     c1-control
//!                            │      │     ▲
//!                            ▼      ▼     └──── kubelet ──► containerd ──► pods             c1-n1, c1-n2, …
//!                         etcd   kubelet
//! ```
//! There is no kube-proxy: services are Tombolo's. Nothing here knows what Tombolo makes of Kubernetes.

mod api;
mod at_once;
mod authority;
mod check;
mod control;
mod door;
mod images;
mod install;
mod join;
mod kubeconfig;
mod kubectl;
mod names;
mod node;
mod ready;
mod room;
mod status;
mod up;

use crate::{
    Error,
    error::Result,
    plan::{MachineId, Objects},
    process::own_program,
    state::{Kubernetes, Role, State},
};
use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

pub use check::check;
pub use door::run as run_door;
pub use images::load as load_images;
pub use join::{add as add_node, delete as delete_node};
pub use kubeconfig::path as kubeconfig;
pub use ready::trouble;
pub use status::{ClusterStatus, clusters};
pub use up::up;

/// Folders of labs for what is too large for memory.
pub const DISK: &str = "/var/lib/tombolo-lab";
/// Certificates, keys and configurations, on every machine its own.
const FOLDER: &str = "/run/lab/kubernetes";
const API_PORT: u16 = 6443;

/// What a lab keeps on disk.
pub fn disk(lab: &str) -> PathBuf {
    Path::new(DISK).join(lab)
}

/// Makes the machine's folder on disk.
pub fn make_disk(state: &State, machine: MachineId) -> Result<PathBuf> {
    let folder = disk(&state.name).join(machine.to_string());
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    Ok(folder)
}

/// The program of a role, and its words.
pub fn words(
    state: &State,
    machine: MachineId,
    role: Role,
    objects: Objects,
) -> Result<(PathBuf, Vec<String>)> {
    let cluster = machine.cluster();
    let words = match (machine, role) {
        (_, Role::Store) => return Ok((own_program()?, control::store(state, cluster))),
        (_, Role::Door) => return Ok((own_program()?, door::words(state, cluster))),
        (_, Role::Etcd) => control::etcd(state, cluster),
        (_, Role::KubeApiserver) => control::api_server(state, cluster, objects),
        (_, Role::KubeControllerManager) => control::controller_manager(state, cluster),
        (_, Role::KubeScheduler) => control::scheduler(),
        (_, Role::Containerd) => node::containerd(),
        (MachineId::Node(node), Role::Kubelet) => node::kubelet(state, node),
        _ => unreachable!("{machine} has no {}", role.name()),
    };
    let program = state.kubernetes.binaries.get(role.name());
    let program = program.expect("a lab remembers its programs");
    Ok((program.clone(), words))
}

/// What a program finds in its environment beside what the lab itself has.
pub fn environment(role: Role) -> &'static [(&'static str, &'static str)] {
    match role {
        // Half of what a lab's start takes of processors is its; a fifth of that it spends on looking for garbage.
        Role::KubeApiserver => &[("GOGC", "300")],
        _ => &[],
    }
}

/// Where a cluster's API server listens, IPv4 first.
fn api_addresses(state: &State, cluster: u8) -> Vec<IpAddr> {
    let addresses = state.shape.addresses(MachineId::Control(cluster));
    addresses.iter().map(|net| net.addr()).collect()
}

fn api_server(state: &State, cluster: u8) -> String {
    format!("https://{}:{API_PORT}", api_addresses(state, cluster)[0])
}

/// The lab's clusters of Kubernetes, which a bare one has none of.
pub fn of(state: &State) -> Result<&Kubernetes> {
    match state.shape.kubernetes {
        Some(_) => Ok(&state.kubernetes),
        None => Err(Error::NoKubernetes {
            lab: state.name.clone(),
        }),
    }
}
