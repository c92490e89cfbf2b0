//! What there is to do on a machine, and who does it where.

use crate::plan::{MachineId, Mesh, Objects, Shape};
use serde::{Deserialize, Serialize};

/// What a process does on its machine.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds the namespaces.
    #[value(skip)]
    Init,
    /// Delays what the machine sends and gets.
    #[value(skip)]
    Relay,
    Store,
    Apiserver,
    Kvstoremesh,
    Agent,
    Etcd,
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    /// Leads from a port of this machine to the cluster's API server.
    Door,
    Containerd,
    Kubelet,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Init => "init",
            Role::Relay => "relay",
            Role::Store => "store",
            Role::Apiserver => "apiserver",
            Role::Kvstoremesh => "kvstoremesh",
            Role::Agent => "agent",
            Role::Etcd => "etcd",
            Role::KubeApiserver => "kube-apiserver",
            Role::KubeControllerManager => "kube-controller-manager",
            Role::KubeScheduler => "kube-scheduler",
            Role::Door => "door",
            Role::Containerd => "containerd",
            Role::Kubelet => "kubelet",
        }
    }

    /// The programs of a machine, in the order in which they are started.
    pub fn of(machine: MachineId, shape: &Shape) -> &'static [Role] {
        match shape.kubernetes {
            Some(objects) => of_kubernetes(machine, objects),
            None => of_bare(machine, shape.mesh),
        }
    }
}

fn of_bare(machine: MachineId, mesh: Mesh) -> &'static [Role] {
    match (machine, mesh) {
        (MachineId::Node(_), _) => &[Role::Agent],
        (MachineId::Control(_), Mesh::Kvstoremesh) => {
            &[Role::Store, Role::Apiserver, Role::Kvstoremesh]
        }
        (MachineId::Control(_), _) => &[Role::Store, Role::Apiserver],
    }
}

fn of_kubernetes(machine: MachineId, objects: Objects) -> &'static [Role] {
    match (machine, objects) {
        (MachineId::Node(_), _) => &[Role::Containerd, Role::Kubelet],
        (MachineId::Control(_), Objects::Etcd) => &[
            Role::Etcd,
            Role::KubeApiserver,
            Role::Door,
            Role::KubeControllerManager,
            Role::KubeScheduler,
        ],
        (MachineId::Control(_), Objects::Embedded) => &[
            Role::Store,
            Role::KubeApiserver,
            Role::Door,
            Role::KubeControllerManager,
            Role::KubeScheduler,
        ],
    }
}
