//! Benchmarks that compare: every side is measured in every round, and each round has its own ratios.
//!
//! The machine's mood changes from minute to minute; ratios within a round mostly do not.

mod datapath;
mod kubernetes;
mod load;
mod mesh;
mod modes;
mod pods;
mod ports;
mod report;
mod service;
mod topology;

use clap::Subcommand;

#[derive(Subcommand)]
pub enum Subject {
    /// Packets from pod to pod across clusters, against what the kernel does by itself
    Datapath(datapath::Options),
    /// Connections through a service, against what kube-proxy's rules do
    Service(service::Options),
    /// Meshes of stores and without, by what they cost stores and the wires between clusters
    Modes(modes::Options),
    /// Real kube-apiservers on the store of the mesh, against the same on etcd
    Kubernetes(kubernetes::Options),
    /// The sharing of state between clusters, against a real etcd
    Mesh(mesh::Options),
    /// Hundreds of pods that come and go: how soon they answer another cluster, and what is left of them
    Pods,
}

pub fn run(subject: &Subject) -> anyhow::Result<()> {
    match subject {
        Subject::Datapath(options) => datapath::run(options),
        Subject::Service(options) => service::run(options),
        Subject::Modes(options) => modes::run(options),
        Subject::Kubernetes(options) => kubernetes::run(options),
        Subject::Mesh(options) => mesh::run(options),
        Subject::Pods => pods::run(),
    }
}
