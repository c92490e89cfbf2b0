//! What there is to do on a machine, and who does it where.

use crate::plan::{MachineId, Mesh};
use serde::{Deserialize, Serialize};

/// What a process does on its machine.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
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
        }
    }

    /// The programs of a machine, in the order in which they are started.
    pub fn of(machine: MachineId, mesh: Mesh) -> &'static [Role] {
        match (machine, mesh) {
            (MachineId::Node(_), _) => &[Role::Agent],
            (MachineId::Control(_), Mesh::Kvstoremesh) => {
                &[Role::Store, Role::Apiserver, Role::Kvstoremesh]
            }
            (MachineId::Control(_), _) => &[Role::Store, Role::Apiserver],
        }
    }
}
