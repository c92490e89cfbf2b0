//! `tombolo endpoint`.

use super::ask_to;
use crate::{client, output::Output, table};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tombolo_model::{
    change::PolicyEntry,
    id::EndpointId,
    local::{self, EndpointState, Reply, Request},
};

#[cfg(test)]
mod tests;

#[derive(Subcommand)]
pub enum Endpoint {
    /// List the pods of this node
    #[command(visible_alias = "ls")]
    List(Output),
    /// Replace the rules of a pod, until policies come from Kubernetes
    Policy(Policy),
}

#[derive(Args)]
pub struct Policy {
    /// The pod's number in `tombolo endpoint list`
    id: u16,
    /// A JSON list of rules, or `-` for the standard input; an empty list allows everything
    #[arg(long, value_name = "PATH")]
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Endpoint {
    pub fn run(self, socket: &Path) -> Result<()> {
        match self {
            Endpoint::List(output) => output.write(&ask(socket)?, |endpoints| render(endpoints)),
            Endpoint::Policy(policy) => policy.run(socket),
        }
    }
}

impl Policy {
    fn run(self, socket: &Path) -> Result<()> {
        let entries = read_entries(&self.file)?;
        let request = Request::PolicySet {
            endpoint: EndpointId(self.id),
            entries: entries.clone(),
        };
        ask_to(socket, &request)?;
        self.output.write(&entries, |entries| match entries.len() {
            0 => format!("endpoint {}: everything is allowed\n", self.id),
            1 => format!("endpoint {}: 1 rule\n", self.id),
            count => format!("endpoint {}: {count} rules\n", self.id),
        })
    }
}

fn ask(socket: &Path) -> Result<Vec<local::Endpoint>> {
    match client::ask(socket, &Request::EndpointList)? {
        Reply::Endpoints { endpoints } => Ok(endpoints),
        other => Err(client::unexpected(&other)),
    }
}

fn read_entries(file: &Path) -> Result<Vec<PolicyEntry>> {
    let text = if file == Path::new("-") {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(file)
    };
    let text = text.with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no list of rules like \
             [{{\"direction\": \"ingress\", \"identity\": 0, \"verdict\": \"deny\"}}]",
            file.display()
        )
    })
}

fn render(endpoints: &[local::Endpoint]) -> String {
    table::render(
        [
            "ID",
            "POD",
            "IDENTITY",
            "IPV4",
            "IPV6",
            "INTERFACE",
            "STATE",
            "RULES",
        ],
        endpoints.iter().map(|endpoint| {
            [
                endpoint.id.to_string(),
                pod(endpoint),
                endpoint.identity.to_string(),
                endpoint
                    .addresses
                    .v4
                    .map(|v4| v4.to_string())
                    .unwrap_or_default(),
                endpoint
                    .addresses
                    .v6
                    .map(|v6| v6.to_string())
                    .unwrap_or_default(),
                endpoint.host_interface.clone(),
                match endpoint.state {
                    EndpointState::Reserved => "reserved".to_owned(),
                    EndpointState::Ready => "ready".to_owned(),
                },
                endpoint.rules.to_string(),
            ]
        }),
    )
}

/// The name that Kubernetes gave the pod, or what the runtime calls the container.
fn pod(endpoint: &local::Endpoint) -> String {
    let name = &endpoint.pod;
    if name.name.is_empty() {
        let attachment = &endpoint.attachment;
        return format!("{}:{}", attachment.container, attachment.interface);
    }
    format!("{}/{}", name.namespace, name.name)
}
