//! What a lab is made of now, for people and for programs.

use crate::{
    error::Result,
    facts,
    plan::{NodeId, cluster_name},
    state::{Faults, Role, State},
};
use serde::Serialize;
use std::fmt::Write as _;
use tombolo_model::local::{Reply, Request};

#[derive(Serialize)]
pub struct LabStatus<'a> {
    name: &'a str,
    mode: String,
    nodes: Vec<NodeStatus>,
    pods: Vec<PodStatus>,
    /// What was done to clusters' wires.
    clusters: Vec<(String, Vec<String>)>,
    cuts: Vec<String>,
    /// Every process runs and every agent answers.
    healthy: bool,
}

#[derive(Serialize)]
struct NodeStatus {
    name: String,
    addresses: Vec<String>,
    processes: Vec<ProcessStatus>,
    agent: String,
    faults: Vec<String>,
}

#[derive(Serialize)]
struct ProcessStatus {
    role: &'static str,
    pid: u32,
    alive: bool,
}

#[derive(Serialize)]
struct PodStatus {
    name: String,
    identity: u32,
    addresses: Vec<String>,
}

pub fn status(state: &State) -> LabStatus<'_> {
    let nodes: Vec<NodeStatus> = state
        .nodes
        .keys()
        .map(|node| node_status(state, *node))
        .collect();
    let pods = state.pods.iter().map(|(id, pod)| PodStatus {
        name: id.to_string(),
        identity: pod.identity,
        addresses: facts::each(pod.addresses).map(|a| a.to_string()).collect(),
    });
    let alive = |node: &NodeStatus| node.processes.iter().all(|process| process.alive);
    let healthy = nodes
        .iter()
        .all(|node| alive(node) && node.agent == "ready");
    let clusters = state
        .clusters
        .iter()
        .filter(|(_, faults)| **faults != Faults::default());
    LabStatus {
        name: &state.name,
        mode: state.shape.routing.to_string(),
        pods: pods.collect(),
        clusters: clusters
            .map(|(cluster, faults)| (cluster_name(*cluster), faults.words()))
            .collect(),
        cuts: state
            .cuts
            .iter()
            .map(|(a, b)| format!("{}:{}", cluster_name(*a), cluster_name(*b)))
            .collect(),
        healthy,
        nodes,
    }
}

fn node_status(state: &State, node: NodeId) -> NodeStatus {
    let known = &state.nodes[&node];
    let processes = known.processes.iter().map(|(role, process)| ProcessStatus {
        role: role.name(),
        pid: process.pid,
        alive: process.is_alive(),
    });
    NodeStatus {
        name: node.to_string(),
        addresses: state
            .shape
            .node_addresses(node)
            .iter()
            .map(|net| net.addr().to_string())
            .collect(),
        processes: processes.collect(),
        agent: agent(state, node).unwrap_or_else(|error| error.to_string()),
        faults: known.faults.words(),
    }
}

fn agent(state: &State, node: NodeId) -> Result<String> {
    state.process(node, Role::Agent)?;
    Ok(match state.api(node)?.ask(&Request::Status)? {
        Reply::Status(status) if !status.synced => "not synced".into(),
        Reply::Status(status) if status.warnings.is_empty() => "ready".into(),
        Reply::Status(status) => format!("warns: {}", status.warnings.join("; ")),
        _ => "answers out of turn".into(),
    })
}

impl LabStatus<'_> {
    pub fn healthy(&self) -> bool {
        self.healthy
    }

    pub fn text(&self) -> String {
        let mut text = format!("lab {} ({})\n", self.name, self.mode);
        let mut line = |columns: [&str; 4]| {
            let [a, b, c, d] = columns;
            let row = format!("  {a:<12} {b:<34} {c:<34} {d}");
            let _ = writeln!(text, "{}", row.trim_end());
        };
        line(["NODE", "ADDRESSES", "PROCESSES", "AGENT"]);
        for node in &self.nodes {
            let processes: Vec<String> = node
                .processes
                .iter()
                .map(|p| {
                    format!(
                        "{} {}{}",
                        p.role,
                        p.pid,
                        if p.alive { "" } else { " (dead)" }
                    )
                })
                .collect();
            let faults: Vec<String> = node
                .faults
                .iter()
                .map(|fault| format!("[{fault}]"))
                .collect();
            let last = [vec![node.agent.clone()], faults].concat().join(" ");
            line([
                &node.name,
                &node.addresses.join(" "),
                &processes.join(", "),
                &last,
            ]);
        }
        line(["POD", "ADDRESSES", "IDENTITY", ""]);
        for pod in &self.pods {
            line([
                &pod.name,
                &pod.addresses.join(" "),
                &pod.identity.to_string(),
                "",
            ]);
        }
        for (cluster, faults) in &self.clusters {
            line([cluster, &faults.join(", "), "", ""]);
        }
        for pair in &self.cuts {
            line([pair, "cut", "", ""]);
        }
        text
    }
}
