//! `tombolo service`.

use crate::{client, output::Output, table};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use std::{net::IpAddr, path::Path};
use tombolo_model::local::{BackendView, Reply, Request, ServiceSummary, ServiceView};

#[cfg(test)]
mod tests;

#[derive(Subcommand)]
pub enum Service {
    /// List the services of this node's cluster
    #[command(visible_alias = "ls")]
    List(Output),
    /// Say of each backend of a service whether it gets connections from this node, how many, and why
    Explain(Explain),
}

#[derive(Args)]
pub struct Explain {
    /// The service
    #[arg(value_name = "NAMESPACE/NAME")]
    service: String,
    #[command(flatten)]
    output: Output,
}

impl Service {
    pub fn run(self, socket: &Path) -> Result<()> {
        match self {
            Service::List(output) => output.write(&ask(socket)?, |services| list(services)),
            Service::Explain(explain) => explain.run(socket),
        }
    }
}

impl Explain {
    fn run(self, socket: &Path) -> Result<()> {
        let Some((namespace, name)) = self.service.split_once('/') else {
            bail!(
                "`{0}` is no service: give NAMESPACE/NAME, such as default/{0}",
                self.service
            );
        };
        let request = Request::ServiceExplain {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        match client::ask(socket, &request)? {
            Reply::Service(service) => self.output.write(&service, |service| explain(service)),
            other => Err(client::unexpected(&other)),
        }
    }
}

fn ask(socket: &Path) -> Result<Vec<ServiceSummary>> {
    match client::ask(socket, &Request::ServiceList)? {
        Reply::Services { services } => Ok(services),
        other => Err(client::unexpected(&other)),
    }
}

fn list(services: &[ServiceSummary]) -> String {
    let rows = services.iter().map(|service| {
        [
            format!("{}/{}", service.namespace, service.name),
            addresses(&service.addresses),
            service.ports.join(","),
            reach(service.global, service.shared).to_owned(),
            service.affinity.clone(),
            service.backends.to_string(),
            match service.used_remote {
                0 => service.used.to_string(),
                remote => format!("{} ({remote} remote)", service.used),
            },
            match service.conditions.len() {
                0 => String::new(),
                count => format!("{count}: see `explain`"),
            },
        ]
    });
    let head = [
        "SERVICE", "ADDRESS", "PORTS", "SCOPE", "AFFINITY", "BACKENDS", "USED", "TROUBLE",
    ];
    table::render(head, rows)
}

fn addresses(addresses: &[IpAddr]) -> String {
    let words: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    if words.is_empty() {
        return "none".into();
    }
    words.join(",")
}

fn reach(global: bool, shared: bool) -> &'static str {
    match (global, shared) {
        (false, _) => "cluster",
        (true, false) => "global, not shared",
        (true, true) => "global",
    }
}

fn explain(service: &ServiceView) -> String {
    let mut text = format!(
        "{}/{}: {}, affinity {}",
        service.namespace,
        service.name,
        reach(service.global, service.shared),
        service.affinity
    );
    if !service.grades.is_empty() {
        text.push_str("; ");
        text.push_str(&service.grades);
    }
    if !service.algorithm.is_empty() {
        text.push_str("; from outside by ");
        text.push_str(&service.algorithm);
    }
    text.push('\n');
    for frontend in &service.frontends {
        let name = match frontend.port.as_str() {
            "" => String::new(),
            name => format!(" ({name})"),
        };
        let (kind, address, protocol) = (&frontend.kind, &frontend.address, &frontend.protocol);
        let sources = match frontend.sources.as_deref() {
            None => String::new(),
            Some([]) => ", closed to all".to_owned(),
            Some(ranges) => {
                let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
                format!(", for {} alone", ranges.join(", "))
            }
        };
        text.push_str(&format!("  {kind} {address}/{protocol}{name}{sources}\n"));
    }
    if let Some(check) = &service.health_check {
        let (port, endpoints) = (check.port, check.endpoints);
        text.push_str(&format!(
            "  health checks at port {port}: {endpoints} ready on this node\n"
        ));
    }
    for condition in &service.conditions {
        text.push_str(&format!("! {condition}\n"));
    }
    if service.backends.is_empty() {
        text.push_str("no backend: whoever calls it is refused\n");
        return text;
    }
    let head = [
        "PORT", "CLUSTER", "NODE", "ADDRESS", "STATE", "WEIGHT", "SHARE", "REASON",
    ];
    text.push_str(&table::render(head, service.backends.iter().map(row)));
    text
}

fn row(backend: &BackendView) -> [String; 8] {
    let port = match backend.port.as_str() {
        "" => backend.protocol.clone(),
        name => format!("{name}/{}", backend.protocol),
    };
    [
        port,
        backend.cluster.clone(),
        backend.node.clone().unwrap_or_else(|| "-".into()),
        backend.address.clone(),
        backend.state.clone(),
        backend.weight.to_string(),
        format!("{:.1} %", backend.share * 100.0),
        backend.reason.clone(),
    ]
}
