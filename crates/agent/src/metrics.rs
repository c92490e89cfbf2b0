//! The agent's numbers in Prometheus' text format.

use std::{collections::BTreeMap, fmt::Write as _};
use tombolo_model::local::Status;

#[cfg(test)]
mod tests;

/// What the loop counts, beside what a status tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub changes_refused: u64,
    pub facts: u64,
    pub monitors: usize,
    pub monitor_lost: u64,
    pub slow_path: u64,
}

pub fn render(status: &Status, counts: Counts) -> String {
    let mut page = Page::default();
    let labels = [
        ("version", status.version.as_str()),
        ("cluster", &status.cluster),
        ("node", &status.node),
    ];
    page.head("tombolo_agent_info", "gauge", "What runs here.");
    page.line("tombolo_agent_info", &labels, 1);
    page.gauge(
        "tombolo_agent_uptime_seconds",
        "Since the agent started.",
        status.uptime_seconds,
    );
    page.gauge(
        "tombolo_synced",
        "1 when every source of facts has told all it had at start.",
        u64::from(status.synced),
    );
    page.gauge(
        "tombolo_endpoints",
        "Pods of this node.",
        status.endpoints as u64,
    );
    page.gauge(
        "tombolo_nodes",
        "Other nodes that are known.",
        status.nodes as u64,
    );
    page.gauge(
        "tombolo_addresses",
        "Addresses and ranges that the kernel holds.",
        status.addresses as u64,
    );
    page.gauge(
        "tombolo_changes_pending",
        "Changes that the kernel does not hold yet.",
        status.pending as u64,
    );
    page.counter(
        "tombolo_changes_refused_total",
        "Changes that the kernel refused.",
        counts.changes_refused,
    );
    page.counter(
        "tombolo_facts_total",
        "Facts that were handled.",
        counts.facts,
    );
    page.gauge(
        "tombolo_flows",
        "Entries of the flow table.",
        status.flows.used,
    );
    page.gauge(
        "tombolo_flows_max",
        "Room of the flow table.",
        status.flows.size,
    );
    page.counter(
        "tombolo_slow_path_packets_total",
        "Packets that no flow answered for.",
        counts.slow_path,
    );
    page.family(
        "tombolo_free_addresses",
        "gauge",
        "Addresses that new pods can get.",
        "family",
        &status.free_addresses,
    );
    page.family(
        "tombolo_dropped_packets_total",
        "counter",
        "Packets that were dropped.",
        "reason",
        &status.drops,
    );
    page.family(
        "tombolo_rejected_records",
        "gauge",
        "Records of facts that are refused.",
        "reason",
        &status.rejected,
    );
    page.counter(
        "tombolo_events_lost_total",
        "Events that the kernel's ring had no room for.",
        status.events_lost,
    );
    page.gauge(
        "tombolo_monitors",
        "Those who watch packets.",
        counts.monitors as u64,
    );
    page.counter(
        "tombolo_monitor_lost_total",
        "Flows that were lost by those who watch too slowly.",
        counts.monitor_lost,
    );
    page.gauge(
        "tombolo_warnings",
        "Things that are not as they should be.",
        status.warnings.len() as u64,
    );
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{}\"", escape(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, &[], value);
    }

    fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: &BTreeMap<String, u64>,
    ) {
        self.head(name, kind, help);
        for (text, value) in values {
            self.line(name, &[(label, text)], *value);
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
