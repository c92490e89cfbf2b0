//! `tombolo status`.

mod clusters;
mod program;

#[cfg(test)]
mod tests;

use crate::{
    client,
    output::{Colour, Output, Style},
    table,
};
use anyhow::Result;
use clap::Args;
use program::Program;
use serde::{Serialize, Serializer};
use std::{collections::BTreeMap, fmt::Display, path::Path, process::ExitCode};
use tombolo_model::local::{self, Reply, Request};

#[derive(Args, Debug)]
pub struct Options {
    /// Ask the store, apiserver or kvstoremesh whose --health-listen this is, instead of the agent
    #[arg(long, value_name = "ADDRESS:PORT")]
    of: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What was answered, judged.
#[derive(Serialize)]
struct Status<T> {
    healthy: bool,
    /// Why not, a sentence each.
    problems: Vec<Problem>,
    #[serde(flatten)]
    told: T,
}

/// What is not as it should be, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    sentence: String,
    hint: String,
}

impl Problem {
    fn new(sentence: String, hint: &str) -> Problem {
        Problem {
            sentence,
            hint: hint.to_owned(),
        }
    }
}

/// Programs read sentences; where there is a hint, it stands beside what it is about.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.sentence)
    }
}

pub fn run(socket: &Path, options: &Options) -> Result<ExitCode> {
    let colour = Colour::of_stdout();
    let healthy = if let Some(address) = &options.of {
        let (page, program) = program::ask(address)?;
        let status = Status::of(program.problems(), page);
        let text = |status: &Status<_>| render_program(status, &program, colour);
        options.output.write(&status, text)?;
        status.healthy
    } else {
        let agent = match client::ask(socket, &Request::Status)? {
            Reply::Status(status) => *status,
            other => return Err(client::unexpected(&other)),
        };
        let status = Status::of(problems(&agent), agent);
        options
            .output
            .write(&status, |status| render(status, colour))?;
        status.healthy
    };
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl<T> Status<T> {
    fn of(problems: Vec<Problem>, told: T) -> Status<T> {
        Status {
            healthy: problems.is_empty(),
            problems,
            told,
        }
    }

    fn health(&self, colour: Colour) -> String {
        if self.healthy {
            colour.paint(Style::Good, "healthy").to_string()
        } else {
            colour.paint(Style::Bad, "not healthy").to_string()
        }
    }

    fn warnings(&self, colour: Colour) -> String {
        let mark = colour.paint(Style::Bad, "warning:");
        let lines = self.problems.iter().map(|Problem { sentence, hint }| {
            if hint.is_empty() {
                format!("{mark} {sentence}\n")
            } else {
                format!("{mark} {sentence}\n  hint: {hint}\n")
            }
        });
        lines.collect()
    }
}

fn problems(agent: &local::Status) -> Vec<Problem> {
    let plain = |sentence: String| Problem::new(sentence, "");
    let mut problems: Vec<Problem> = agent.warnings.iter().cloned().map(plain).collect();
    problems.extend(clusters::problems(&agent.cluster, &agent.peers));
    if agent.kept > 0 && !agent.awaited.is_empty() {
        let (count, clusters) = (agent.kept, table::list(&agent.awaited));
        problems.push(Problem::new(
            format!("{count} entries from before the agent's start are kept, not all of {clusters} has been read since"),
            "traffic goes on by them; they are renewed or go when those clusters are read",
        ));
    }
    if !agent.synced {
        problems.push(plain(
            "not every source of facts has told all it had at start".to_owned(),
        ));
    }
    if agent.pending > 0 {
        let count = agent.pending;
        problems.push(plain(format!(
            "{count} changes were refused by the kernel and are tried again; see the agent's log"
        )));
    }
    problems
}

fn render(status: &Status<local::Status>, colour: Colour) -> String {
    let agent = &status.told;
    let mut text = format!(
        "{} of cluster {} (id {}): {}\n",
        colour.paint(Style::Strong, &agent.node),
        agent.cluster,
        agent.cluster_id,
        status.health(colour),
    );
    for (name, value) in facts(agent) {
        text.push_str(&format!("  {name:<15}{value}\n"));
    }
    if !agent.peers.is_empty() {
        text.push_str(&clusters::table(&agent.cluster, &agent.peers));
    }
    text + &status.warnings(colour)
}

fn render_program<T>(status: &Status<T>, program: &Program, colour: Colour) -> String {
    program.render(&status.health(colour), colour) + &status.warnings(colour)
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
    if let Some(names) = &agent.names {
        facts.push(("names", self::names(names)));
    }
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

fn names(names: &local::NamesStatus) -> String {
    if names.addresses.is_empty() {
        return "asked of the cluster's name servers alone until all its services are known".into();
    }
    let mut text = format!(
        "answered {}, forwarded {} to {} name servers, failed {}",
        names.answered, names.forwarded, names.servers, names.failed
    );
    if names.refused > 0 {
        text.push_str(&format!(", refused {}", names.refused));
    }
    text
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
