//! What a lab is made of now, for people and for programs.

use crate::{
    error::Result,
    facts,
    kubernetes::{self, ClusterStatus},
    learn,
    plan::{MachineId, PodId, cluster_name},
    programs,
    state::{Faults, Pod, Role, State},
};
use serde::Serialize;
use serde_json::Value;
use std::{fmt::Write as _, path::PathBuf};
use tombolo_model::local::Status;

#[derive(Serialize)]
pub struct LabStatus<'a> {
    name: &'a str,
    mode: String,
    mesh: String,
    /// Clusters of Kubernetes, of a lab that is no bare one.
    kubernetes: Vec<ClusterStatus>,
    machines: Vec<MachineStatus>,
    pods: Vec<PodStatus>,
    /// What was done to clusters' wires.
    clusters: Vec<(String, Vec<String>)>,
    cuts: Vec<String>,
    /// Pairs of clusters that were taken out of each other's mesh.
    strangers: Vec<String>,
    /// Every program runs and says of itself that it is ready, and every agent knows what it should.
    healthy: bool,
}

#[derive(Serialize)]
struct MachineStatus {
    name: String,
    addresses: Vec<String>,
    processes: Vec<ProcessStatus>,
    faults: Vec<String>,
}

#[derive(Serialize)]
pub struct ProcessStatus {
    role: &'static str,
    pid: u32,
    alive: bool,
    /// `ready`, or what is missing.
    state: String,
    /// What it tells of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<Value>,
}

#[derive(Serialize)]
pub struct PodStatus {
    name: String,
    identity: u32,
    addresses: Vec<String>,
}

pub fn status(state: &State) -> LabStatus<'_> {
    let machines: Vec<MachineStatus> = state
        .machines
        .keys()
        .map(|machine| machine_status(state, *machine))
        .collect();
    let pods = state.pods.iter().map(|(id, known)| pod(*id, known));
    let mut processes = machines.iter().flat_map(|machine| &machine.processes);
    let kubernetes = kubernetes::clusters(state);
    let healthy = processes.all(|process| process.state == READY)
        && kubernetes.iter().all(ClusterStatus::well);
    let clusters = state
        .clusters
        .iter()
        .filter(|(_, faults)| **faults != Faults::default());
    let pair = |(a, b): &(u8, u8)| format!("{}:{}", cluster_name(*a), cluster_name(*b));
    LabStatus {
        name: &state.name,
        mode: state.shape.routing.to_string(),
        mesh: state.shape.mesh.to_string(),
        pods: pods.collect(),
        clusters: clusters
            .map(|(cluster, faults)| (cluster_name(*cluster), faults.words()))
            .collect(),
        cuts: state.cuts.iter().map(pair).collect(),
        strangers: state.strangers.iter().map(pair).collect(),
        healthy,
        kubernetes,
        machines,
    }
}

const READY: &str = "ready";

pub fn pod(id: PodId, pod: &Pod) -> PodStatus {
    PodStatus {
        name: id.to_string(),
        identity: pod.identity,
        addresses: facts::each(pod.addresses).map(|a| a.to_string()).collect(),
    }
}

/// A process of the lab, by itself.
#[derive(Serialize)]
pub struct Listed {
    machine: String,
    role: &'static str,
    pid: u32,
    alive: bool,
    log: PathBuf,
}

/// All processes, without a word with any of them.
pub fn processes(state: &State) -> Vec<Listed> {
    let machines = state.machines.iter();
    let processes = machines.flat_map(|(machine, known)| {
        let listed = known.processes.iter().map(|(role, process)| Listed {
            machine: machine.to_string(),
            role: role.name(),
            pid: process.pid,
            alive: process.is_alive(),
            log: state.log_file(*machine, *role),
        });
        listed.collect::<Vec<_>>()
    });
    processes.collect()
}

pub fn list(listed: &[Listed]) -> String {
    let mut text = format!(
        "{:<12} {:<12} {:<8} {:<6} LOG\n",
        "MACHINE", "ROLE", "PID", "ALIVE"
    );
    for process in listed {
        let alive = if process.alive { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "{:<12} {:<12} {:<8} {alive:<6} {}",
            process.machine,
            process.role,
            process.pid,
            process.log.display()
        );
    }
    text
}

fn machine_status(state: &State, machine: MachineId) -> MachineStatus {
    let known = &state.machines[&machine];
    let processes = known.processes.iter().map(|(role, process)| {
        let alive = process.is_alive();
        let (said, told) = match alive {
            true => ask(state, machine, *role).unwrap_or_else(|error| (error.to_string(), None)),
            false => ("dead".into(), None),
        };
        ProcessStatus {
            role: role.name(),
            pid: process.pid,
            alive,
            state: said,
            told,
        }
    });
    let addresses = state.shape.addresses(machine);
    MachineStatus {
        name: machine.to_string(),
        addresses: addresses.iter().map(|net| net.addr().to_string()).collect(),
        processes: processes.collect(),
        faults: known.faults.words(),
    }
}

/// How a process is that runs, in a few words and in its own.
fn ask(state: &State, machine: MachineId, role: Role) -> Result<(String, Option<Value>)> {
    match (machine, role) {
        (_, Role::Init | Role::Relay) => Ok((READY.into(), None)),
        _ if state.shape.kubernetes.is_some() => {
            let trouble = kubernetes::trouble(state, machine, role)?;
            Ok((trouble.unwrap_or_else(|| READY.into()), None))
        }
        (MachineId::Node(node), _) => {
            let status = programs::agent_status(state, node)?;
            let told = serde_json::to_value(&status).expect("a status is plain data");
            let trouble = match agent_trouble(&status) {
                None => learn::trouble(state, node)?,
                trouble => trouble,
            };
            Ok((trouble.unwrap_or_else(|| READY.into()), Some(told)))
        }
        (MachineId::Control(_), _) => {
            let told = programs::told(state, machine, role)?;
            let trouble = programs::trouble(state, machine, role)?;
            Ok((trouble.unwrap_or_else(|| READY.into()), Some(told)))
        }
    }
}

fn agent_trouble(status: &Status) -> Option<String> {
    let unready = status.peers.iter().filter(|peer| !peer.ready);
    let unready: Vec<&str> = unready.map(|peer| peer.cluster.as_str()).collect();
    if !status.warnings.is_empty() {
        Some(format!("warns: {}", status.warnings.join("; ")))
    } else if !unready.is_empty() {
        Some(format!("does not follow {}", unready.join(", ")))
    } else if !status.synced {
        Some("not synced".into())
    } else {
        None
    }
}

impl LabStatus<'_> {
    pub fn healthy(&self) -> bool {
        self.healthy
    }

    pub fn text(&self) -> String {
        let kind = match self.kubernetes.is_empty() {
            true => format!("{}, {}", self.mode, self.mesh),
            false => "Kubernetes".to_owned(),
        };
        let mut text = format!("lab {} ({kind})\n", self.name);
        let mut line = |columns: [&str; 4]| {
            let [a, b, c, d] = columns;
            let row = format!("  {a:<12} {b:<34} {c:<30} {d}");
            let _ = writeln!(text, "{}", row.trim_end());
        };
        if !self.kubernetes.is_empty() {
            line(["CLUSTER", "CONTEXT", "NODES", "TOMBOLO"]);
        }
        for cluster in &self.kubernetes {
            let nodes = format!("{} of {} ready", cluster.nodes_ready, cluster.nodes);
            let context = format!("{} (on {})", cluster.name, cluster.store);
            line([
                &cluster_name(cluster.number),
                &context,
                &nodes,
                &cluster.tombolo,
            ]);
        }
        line(["MACHINE", "ADDRESSES", "PROCESS", "STATE"]);
        for machine in &self.machines {
            let mut first = (machine.name.clone(), machine.addresses.join(" "));
            for process in &machine.processes {
                let (name, addresses) = std::mem::take(&mut first);
                let role = format!("{} {}", process.role, process.pid);
                line([&name, &addresses, &role, &process.state]);
            }
            for fault in &machine.faults {
                line(["", "", "", &format!("[{fault}]")]);
            }
        }
        if self.kubernetes.is_empty() {
            line(["POD", "ADDRESSES", "IDENTITY", ""]);
        }
        for pod in &self.pods {
            let identity = pod.identity.to_string();
            line([&pod.name, &pod.addresses.join(" "), &identity, ""]);
        }
        for (cluster, faults) in &self.clusters {
            line([cluster, &faults.join(", "), "", ""]);
        }
        for pair in &self.cuts {
            line([pair, "cut", "", ""]);
        }
        for pair in &self.strangers {
            line([pair, "out of each other's mesh", "", ""]);
        }
        text
    }
}
