//! The programs of machines: with which words each is started, and what it says of itself.

use crate::{
    Error,
    api::Api,
    error::Result,
    fabric::DEVICE,
    http, inside, kubernetes, mesh,
    plan::{MachineId, Mesh, Namespace, NodeId, cluster_name, pod_ranges},
    state::{Role, State},
};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use tombolo_linux::netns::Netns;
use tombolo_model::local::{Reply, Request, SOCKET_PATH, Status};

/// Many nodes share one machine's memory.
const FLOWS: u32 = 65_536;
pub const STORE_PORT: u16 = 2379;

/// Where a program tells how it is, for those on its machine.
fn health(role: Role) -> SocketAddr {
    let port = match role {
        Role::Store => 9963,
        Role::Kvstoremesh => 9964,
        Role::Apiserver => 9962,
        role => unreachable!("the {} serves no such pages", role.name()),
    };
    ([127, 0, 0, 1], port).into()
}

pub fn words(state: &State, machine: MachineId, role: Role) -> Result<Vec<String>> {
    let mut words = Words::default();
    match (machine, role) {
        (MachineId::Node(node), Role::Agent) => agent(state, node, &mut words),
        (MachineId::Control(cluster), Role::Store) => store(state, cluster, &mut words),
        (MachineId::Control(cluster), Role::Apiserver) => {
            writer(state, cluster, role, &mut words);
            words.option("objects", mesh::OBJECTS);
        }
        (MachineId::Control(cluster), Role::Kvstoremesh) => {
            writer(state, cluster, role, &mut words);
            words.option("clustermesh-config", mesh::PEERS);
        }
        _ => unreachable!("{machine} has no {}", role.name()),
    }
    Ok(words.0)
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn option(&mut self, name: &str, value: impl ToString) {
        self.0.extend([format!("--{name}"), value.to_string()]);
    }
}

fn agent(state: &State, node: NodeId, words: &mut Words) {
    let shape = &state.shape;
    words.0.push("agent".into());
    words.option("cluster-name", cluster_name(node.cluster));
    words.option("cluster-id", state.cluster_id(node.cluster));
    words.option("node-name", node);
    for net in shape.node_addresses(node) {
        words.option("node-ip", net.addr());
    }
    for range in pod_ranges(node) {
        words.option("pod-range", range);
    }
    words.option("routing-mode", shape.routing);
    words.option("uplink", DEVICE);
    if shape.mesh == Mesh::Facts {
        words.option("facts", inside::FACTS);
    } else {
        words.option("own-store", mesh::OWN_STORE);
        words.option("clustermesh-config", mesh::PEERS);
    }
    words.option("flow-table-size", FLOWS);
    if !shape.masquerade {
        words.0.push("--no-masquerade".into());
    }
}

fn store(state: &State, cluster: u8, words: &mut Words) {
    let machine = MachineId::Control(cluster);
    let addresses = state.shape.addresses(machine);
    // All of its addresses: a socket on `::` serves IPv4 too.
    let any: IpAddr = match addresses[0].addr() {
        IpAddr::V4(_) => [0; 4].into(),
        IpAddr::V6(_) => [0_u16; 8].into(),
    };
    words.0.push("store".into());
    words.option("cluster-name", cluster_name(cluster));
    words.option("listen", SocketAddr::from((any, STORE_PORT)));
    words.option("certificates", mesh::CERTIFICATES);
    words.option("health-listen", health(Role::Store));
}

/// Who writes into the own store.
fn writer(state: &State, cluster: u8, role: Role, words: &mut Words) {
    words.0.push(role.name().into());
    words.option("cluster-name", cluster_name(cluster));
    words.option("cluster-id", state.cluster_id(cluster));
    words.option("store", mesh::OWN_STORE);
    words.option("health-listen", health(role));
}

/// Why a program is not ready yet, if it is not.
pub fn trouble(state: &State, machine: MachineId, role: Role) -> Result<Option<String>> {
    if state.shape.kubernetes.is_some() {
        return kubernetes::trouble(state, machine, role);
    }
    if let (MachineId::Node(node), Role::Agent) = (machine, role) {
        let status = agent_status(state, node)?;
        return Ok((!status.synced).then(|| "it has not heard all yet".into()));
    }
    let page = page(state, machine, role, "/readyz")?;
    Ok((!page.well).then(|| page.body.trim().to_owned()))
}

/// What a program of a control machine tells of itself.
pub fn told(state: &State, machine: MachineId, role: Role) -> Result<Value> {
    let page = page(state, machine, role, "/status")?;
    serde_json::from_str(&page.body).map_err(|error| Error::Program {
        role: role.name(),
        machine,
        source: error.into(),
    })
}

fn page(state: &State, machine: MachineId, role: Role, path: &str) -> Result<http::Page> {
    state.process(machine, role)?;
    let netns = Netns::named(&Namespace::Machine(machine).name(&state.name))?;
    let page = netns.run(|| http::get(health(role), path))?;
    page.map_err(|source| Error::Program {
        role: role.name(),
        machine,
        source,
    })
}

impl State {
    pub fn api(&self, node: NodeId) -> Result<Api> {
        Ok(Api::of(node, self.path_in(node, SOCKET_PATH)?))
    }
}

pub fn agent_status(state: &State, node: NodeId) -> Result<Status> {
    state.process(node, Role::Agent)?;
    match state.api(node)?.ask(&Request::Status)? {
        Reply::Status(status) => Ok(*status),
        _ => Err(Error::Refused {
            node,
            message: "it answers out of turn".into(),
        }),
    }
}
