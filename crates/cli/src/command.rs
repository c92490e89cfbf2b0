//! The commands, a file for each noun.

use crate::{
    client,
    output::{self, Output},
};
use anyhow::{Context as _, Result};
use clap::Subcommand;
use clap_complete::Shell;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use tombolo_model::local::{Reply, Request};

mod address;
mod certificates;
mod clustermesh;
mod cni;
mod endpoint;
mod identity;
mod install;
mod monitor;
mod node;
mod programs;
mod service;
mod status;
#[cfg(test)]
mod testing;
mod version;

#[derive(Subcommand)]
pub enum Command {
    /// Install Tombolo in a cluster, by helm
    Install(install::Install),
    /// Upgrade it, or change its values
    Upgrade(install::Upgrade),
    /// Take it away again
    Uninstall(install::Uninstall),
    /// Connect clusters with each other, and see how that goes
    #[command(subcommand)]
    Clustermesh(clustermesh::Clustermesh),
    /// Write the chart into a folder, for helm
    Chart(install::Chart),
    /// Run the agent of this node
    Agent(Box<tombolo_agent::Options>),
    /// Hold a cluster's part of the mesh's state in memory, and serve it as an etcd
    Store(Box<tombolo_control::StoreOptions>),
    /// Tell a cluster's peers, through its store, of its nodes, pods, identities and services
    Apiserver(Box<tombolo_control::ApiserverOptions>),
    /// Copy the stores of a cluster's peers into its own
    Kvstoremesh(Box<tombolo_control::KvstoremeshOptions>),
    /// Do what is done once in a cluster: definitions of resources, ranges of nodes, care of identities
    Operator(Box<tombolo_control::OperatorOptions>),
    /// Make and look after the certificates of a cluster's store
    #[command(subcommand)]
    Certificates(certificates::Verb),
    /// Show whether this node, or a program of its cluster, is healthy; the exit code is 0 only if it is
    Status(status::Options),
    /// Print packets as they are dropped, and with --all as connections are opened
    Monitor(monitor::Monitor),
    /// Look at this node's pods
    #[command(subcommand)]
    Endpoint(endpoint::Endpoint),
    /// Look at the nodes of the mesh
    #[command(subcommand)]
    Node(node::Node),
    /// Look at the addresses that this node knows, and who and where they are
    #[command(subcommand)]
    Ip(address::Ip),
    /// Look at the cluster's services, and why who of their backends gets what from this node
    #[command(subcommand)]
    Service(service::Service),
    /// Look at the identities that this node knows
    #[command(subcommand)]
    Identity(identity::Identity),
    /// Look after the kernel programs of this node
    #[command(subcommand)]
    Programs(programs::Programs),
    /// Put the plugin of this node into its place, or take it away
    #[command(subcommand)]
    Cni(cni::Cni),
    /// Make clusters on this machine to try things in
    #[command(subcommand)]
    Lab(tombolo_lab::Command),
    /// Print a script that completes command lines, for a shell to source
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write manual pages, one for each command, into a folder
    Man {
        /// The folder, which is made
        folder: PathBuf,
    },
    /// Print the version of this program
    Version(Output),
}

impl Command {
    pub fn run(self, socket: &Path) -> Result<ExitCode> {
        match self {
            Command::Install(install) => install.run()?,
            Command::Upgrade(upgrade) => upgrade.run()?,
            Command::Uninstall(uninstall) => uninstall.run()?,
            Command::Chart(chart) => chart.run()?,
            Command::Clustermesh(verb) => return verb.run(),
            Command::Cni(cni) => cni.run(socket)?,
            Command::Agent(options) => tombolo_agent::run(*options)?,
            Command::Store(options) => tombolo_control::run_store(*options)?,
            Command::Apiserver(options) => tombolo_control::run_apiserver(*options)?,
            Command::Kvstoremesh(options) => tombolo_control::run_kvstoremesh(*options)?,
            Command::Operator(options) => tombolo_control::run_operator(*options)?,
            Command::Certificates(verb) => verb.run()?,
            Command::Status(options) => return status::run(socket, &options),
            Command::Monitor(monitor) => monitor.run(socket)?,
            Command::Endpoint(endpoint) => endpoint.run(socket)?,
            Command::Node(node) => node.run(socket)?,
            Command::Ip(ip) => ip.run(socket)?,
            Command::Service(service) => service.run(socket)?,
            Command::Identity(identity) => identity.run(socket)?,
            Command::Programs(programs) => programs.run(socket)?,
            Command::Lab(lab) => return Ok(tombolo_lab::run(lab)?),
            Command::Completions { shell } => complete(shell)?,
            Command::Man { folder } => manual(&folder)?,
            Command::Version(output) => version::run(output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn complete(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::command_line(), "tombolo", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}

fn manual(folder: &Path) -> Result<()> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(crate::command_line(), folder));
    written.with_context(|| format!("cannot write manual pages into {}", folder.display()))
}

/// Asks for something that is either done or refused.
fn ask_to(socket: &Path, request: &Request) -> Result<()> {
    match client::ask(socket, request)? {
        Reply::Done => Ok(()),
        other => Err(client::unexpected(&other)),
    }
}
