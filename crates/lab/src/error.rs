//! What can go wrong with a lab, each in words that say what to do next.

use crate::plan::{MachineId, NodeId, PlanError};
use std::{io, path::PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Binaries(#[from] crate::binaries::Error),
    #[error(transparent)]
    Host(#[from] tombolo_linux::Error),
    #[error("cannot {operation} {}", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no state of a lab; clear the lab away with `tombolo lab down --name {lab}`", path.display())]
    State {
        lab: String,
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("there is no lab named {lab}; make one with `tombolo lab up --name {lab}`")]
    NoLab { lab: String },
    #[error(
        "a lab named {lab} is there already; remove it with `tombolo lab down --name {lab}` or choose another --name"
    )]
    LabExists { lab: String },
    #[error(
        "a lab named {lab} was left half-made or half-removed ({remains}); clear it away with `tombolo lab down --name {lab}`"
    )]
    Remains { lab: String, remains: String },
    #[error(
        "another command is changing the lab {lab} (process {pid}); wait for it to end and try again"
    )]
    Busy { lab: String, pid: u32 },
    #[error(
        "`tombolo lab {verb}` is for bare labs, and the lab {lab} has Kubernetes: use kubectl with KUBECONFIG=$(tombolo lab \
         kubeconfig --name {lab})"
    )]
    NotBare { lab: String, verb: &'static str },
    #[error("the lab {lab} is a bare one, without Kubernetes; make another without --bare")]
    NoKubernetes { lab: String },
    #[error(
        "a lab of this shape needs {needed} MiB of memory and {available} MiB are free; end other programs, or make it smaller \
         with --clusters and --nodes"
    )]
    Memory { needed: u64, available: u64 },
    #[error(
        "a lab of this shape needs {needed} inotify instances and {available} of the {max} that a user may have are free; allow \
         more with `sysctl -w fs.inotify.max_user_instances={enough}`, or make it smaller with --clusters and --nodes"
    )]
    Inotify {
        needed: u64,
        available: u64,
        max: u64,
        enough: u64,
    },
    #[error("cannot make a certificate")]
    Certificate {
        #[source]
        source: rcgen::Error,
    },
    #[error(
        "Tombolo is not ready in {cluster} after {seconds} s: {what}; see `kubectl --context {cluster} -n kube-system describe pods`"
    )]
    NotInstalled {
        cluster: String,
        seconds: u64,
        what: String,
    },
    #[error("the pods of {cluster} are not ready after {seconds} s: {what}")]
    PodsNotReady {
        cluster: String,
        seconds: u64,
        what: String,
    },
    #[error(
        "{cluster} does not know its nodes {nodes} after {seconds} s; see `tombolo lab logs NODE kubelet`"
    )]
    NoNodes {
        cluster: String,
        nodes: String,
        seconds: u64,
    },
    #[error("{lab} has no {what} named {name}; it has {known}")]
    Unknown {
        lab: String,
        what: &'static str,
        name: String,
        known: String,
    },
    #[error("{what} needs a lab made with --fabric router; this one joins its two nodes by a wire")]
    NoFabric { what: &'static str },
    #[error(
        "{pair} is a pair of clusters, which can only be cut and healed; name a node or one cluster"
    )]
    Pair { pair: String },
    #[error("{what} {value} is out of range; use {low} to {high}")]
    OutOfRange {
        what: &'static str,
        value: String,
        low: u32,
        high: u32,
    },
    #[error("{program} is not there; build it with `cargo build -p tombolo-cni` or install it beside the tombolo program", program = path.display())]
    NoProgram { path: PathBuf },
    #[error("cannot run {tool}; install the Debian package {package}")]
    NoTool {
        tool: &'static str,
        package: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{said}")]
    Inside { said: String },
    #[error("a lab needs root: {} missing; run the command with sudo", missing.join(", "))]
    Rights { missing: Vec<&'static str> },
    #[error("{tool} failed: {said}")]
    Tool { tool: String, said: String },
    #[error("the {role} of {machine} ended while it was waited for; its last words:\n{log}")]
    Died {
        role: &'static str,
        machine: MachineId,
        log: String,
    },
    #[error(
        "the {role} of {machine} was waited for for more than {seconds} s: {what}; its last words:\n{log}"
    )]
    TimedOut {
        role: &'static str,
        machine: MachineId,
        what: String,
        seconds: u64,
        log: String,
    },
    #[error("{role} of {machine} does not run; see `tombolo lab status`")]
    NotRunning {
        role: &'static str,
        machine: MachineId,
    },
    #[error("{machine} has no {role}; it has {known}")]
    NoRole {
        role: &'static str,
        machine: MachineId,
        known: String,
    },
    #[error(
        "{what} needs a lab whose clusters have stores; make it with `tombolo lab up --bare --mesh kvstoremesh`"
    )]
    NoMesh { what: &'static str },
    #[error("{machine} has several programs; name one of {known}")]
    WhichRole { machine: MachineId, known: String },
    #[error(
        "after {seconds} s not every agent knows what it should: {differences}; see `tombolo lab status`"
    )]
    NotLearnt { seconds: u64, differences: String },
    #[error("cannot speak to the {role} of {machine}; see `tombolo lab logs {machine} {role}`")]
    Program {
        role: &'static str,
        machine: MachineId,
        #[source]
        source: io::Error,
    },
    #[error("cannot speak to the agent of {node}; see `tombolo lab logs {node}`")]
    Agent {
        node: NodeId,
        #[source]
        source: io::Error,
    },
    #[error("the agent of {node} refused: {message}")]
    Refused { node: NodeId, message: String },
    #[error("{node} already has all the pods its range can hold")]
    NodeFull { node: NodeId },
    #[error(
        "{cluster} already has all the nodes that a cluster can have; delete one with `tombolo lab node delete`"
    )]
    ClusterFull { cluster: String },
    #[error("{what} could not be taken down wholly: {}; run the command again", problems.join("; "))]
    Remaining { what: String, problems: Vec<String> },
}

impl Error {
    pub(crate) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File {
            operation,
            path,
            source,
        }
    }
}
