//! `tombolo status`.

use crate::{
    client,
    output::{Colour, Output, Style},
    table,
};
use anyhow::Result;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Display, path::Path, process::ExitCode};
use tombolo_model::local::{self, Reply, Request};

#[cfg(test)]
mod tests;

/// What the agent answered, judged.
#[derive(Serialize)]
struct Status {
    healthy: bool,
    /// Why not, a sentence each.
    problems: Vec<String>,
    #[serde(flatten)]
    agent: local::Status,
}

pub fn run(socket: &Path, output: Output) -> Result<ExitCode> {
    let status = match client::ask(socket, &Request::Status)? {
        Reply::Status(status) => Status::of(*status),
        other => return Err(client::unexpected(&other)),
    };
    output.write(&status, |status| render(status, Colour::of_stdout()))?;
    Ok(if status.healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Status {
    fn of(agent: local::Status) -> Status {
        let mut problems = agent.warnings.clone();
        if !agent.synced {
            problems.push("not every source of facts has told all it had at start".to_owned());
        }
        if agent.pending > 0 {
            let count = agent.pending;
            problems.push(format!(
                "{count} changes were refused by the kernel and are tried again; see the agent's log"
            ));
        }
        Status {
            healthy: problems.is_empty(),
            problems,
            agent,
        }
    }
}

fn render(status: &Status, colour: Colour) -> String {
    let agent = &status.agent;
    let health = if status.healthy {
        colour.paint(Style::Good, "healthy")
    } else {
        colour.paint(Style::Bad, "not healthy")
    };
    let mut text = format!(
        "{} of cluster {} (id {}): {health}\n",
        colour.paint(Style::Strong, &agent.node),
        agent.cluster,
        agent.cluster_id,
    );
    for (name, value) in facts(agent) {
        text.push_str(&format!("  {name:<15}{value}\n"));
    }
    for problem in &status.problems {
        let mark = colour.paint(Style::Bad, "warning:");
        text.push_str(&format!("{mark} {problem}\n"));
    }
    text
}

fn facts(agent: &local::Status) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        (
            "agent",
            format!("{}, up {}", agent.version, duration(agent.uptime_seconds)),
        ),
        (
            "routing",
            format!("{}, MTU of pods {}", agent.routing, agent.pod_mtu),
        ),
        ("uplinks", table::list(&agent.uplinks)),
        ("pod ranges", table::list(&agent.pod_ranges)),
        ("free addresses", free(&agent.free_addresses)),
        ("endpoints", agent.endpoints.to_string()),
        ("nodes", agent.nodes.to_string()),
        ("addresses", agent.addresses.to_string()),
        (
            "flows",
            format!("{} of {}", agent.flows.used, agent.flows.size),
        ),
        ("dropped", pairs(&agent.drops)),
        ("refused facts", pairs(&agent.rejected)),
    ];
    if agent.events_lost > 0 {
        facts.push(("events lost", agent.events_lost.to_string()));
    }
    for (_, value) in &mut facts {
        if value.is_empty() {
            "none".clone_into(value);
        }
    }
    facts
}

/// IPv6 ranges have more addresses than digits are worth reading.
fn free(addresses: &BTreeMap<String, u64>) -> String {
    table::list(addresses.iter().map(|(family, count)| match count {
        0..=1_000_000_000_000 => format!("{family} {count}"),
        _ => format!("{family} > 10^12"),
    }))
}

fn pairs<'a, K: Display + 'a, V: Display + 'a>(
    pairs: impl IntoIterator<Item = (&'a K, &'a V)>,
) -> String {
    table::list(
        pairs
            .into_iter()
            .map(|(name, value)| format!("{name} {value}")),
    )
}

/// The two largest units.
fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}
