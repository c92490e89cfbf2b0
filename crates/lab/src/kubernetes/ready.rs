//! Whether a program of Kubernetes is ready, by its own word.

use super::{
    api::Api,
    control::{CONTROLLER_MANAGER_PORT, ETCD_METRICS, SCHEDULER_PORT, STORE_HEALTH},
    node::{KUBELET_HEALTH, RUNTIME},
};
use crate::{
    Error,
    error::Result,
    http,
    plan::{MachineId, Namespace},
    state::{Role, State},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};
use tombolo_linux::netns::Netns;

const PATIENCE: Duration = Duration::from_secs(2);

/// Why it is not ready yet, if it is not.
pub fn trouble(state: &State, machine: MachineId, role: Role) -> Result<Option<String>> {
    state.process(machine, role)?;
    match role {
        Role::Init | Role::Relay => Ok(None),
        Role::Etcd => page(state, machine, role, ETCD_METRICS, "/readyz"),
        Role::Store => page(state, machine, role, STORE_HEALTH, "/readyz"),
        Role::Kubelet => page(state, machine, role, KUBELET_HEALTH, "/healthz"),
        Role::KubeApiserver => {
            let page = Api::of(state, machine.cluster())?.page("/readyz")?;
            Ok((!page.well).then(|| page.body.trim().to_owned()))
        }
        Role::Door => {
            let port = state.kubernetes.doors[&machine.cluster()];
            Ok(closed(
                role,
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)),
            ))
        }
        Role::KubeControllerManager => listens(state, machine, role, CONTROLLER_MANAGER_PORT),
        Role::KubeScheduler => listens(state, machine, role, SCHEDULER_PORT),
        Role::Containerd => {
            let socket = state.path_in(machine, RUNTIME)?;
            let connected = UnixStream::connect(&socket);
            Ok(connected.err().map(|error| format!("{RUNTIME}: {error}")))
        }
        Role::Apiserver | Role::Kvstoremesh | Role::Agent => {
            unreachable!("{machine} has no {}", role.name())
        }
    }
}

fn page(
    state: &State,
    machine: MachineId,
    role: Role,
    port: u16,
    path: &str,
) -> Result<Option<String>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let page = inside(state, machine)?.run(|| http::get(address, path))?;
    let page = page.map_err(|source| Error::Program {
        role: role.name(),
        machine,
        source,
    })?;
    Ok((!page.well).then(|| page.body.trim().to_owned()))
}

/// Its pages are for those alone who show a certificate; that it listens is told to all.
fn listens(state: &State, machine: MachineId, role: Role, port: u16) -> Result<Option<String>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = inside(state, machine)?.run(|| TcpStream::connect_timeout(&address, PATIENCE))?;
    Ok(closed(role, stream))
}

fn closed(role: Role, stream: io::Result<TcpStream>) -> Option<String> {
    let error = stream.err()?;
    Some(format!("the {} can't be reached: {error}", role.name()))
}

fn inside(state: &State, machine: MachineId) -> Result<Netns> {
    Ok(Netns::named(
        &Namespace::Machine(machine).name(&state.name),
    )?)
}
