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
    page.agent(status);
    page.world(status, counts);
    page.packets(status, counts);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn agent(&mut self, status: &Status) {
        let labels = [
            ("version", status.version.as_str()),
            ("cluster", &status.cluster),
            ("node", &status.node),
        ];
        self.head("tombolo_agent_info", "gauge", "What runs here.");
        self.line("tombolo_agent_info", &labels, 1);
        let help = "Since the agent started.";
        self.gauge("tombolo_agent_uptime_seconds", help, status.uptime_seconds);
        let help = "Things that are not as they should be.";
        self.gauge("tombolo_warnings", help, status.warnings.len() as u64);
    }

    fn world(&mut self, status: &Status, counts: Counts) {
        let help = "1 when every source of facts has told all it had at start.";
        self.gauge("tombolo_synced", help, u64::from(status.synced));
        self.counter(
            "tombolo_facts_total",
            "Facts that were handled.",
            counts.facts,
        );
        let help = "Records of facts that are refused.";
        self.family("tombolo_rejected_records", help, "reason", &status.rejected);
        self.gauge(
            "tombolo_endpoints",
            "Pods of this node.",
            status.endpoints as u64,
        );
        self.gauge(
            "tombolo_nodes",
            "Other nodes that are known.",
            status.nodes as u64,
        );
        let help = "Addresses and ranges that the kernel holds.";
        self.gauge("tombolo_addresses", help, status.addresses as u64);
        let help = "Addresses that new pods can get.";
        self.family(
            "tombolo_free_addresses",
            help,
            "family",
            &status.free_addresses,
        );
        let help = "Changes that the kernel does not hold yet.";
        self.gauge("tombolo_changes_pending", help, status.pending as u64);
        let help = "Changes that the kernel refused.";
        self.counter(
            "tombolo_changes_refused_total",
            help,
            counts.changes_refused,
        );
    }

    fn packets(&mut self, status: &Status, counts: Counts) {
        self.gauge(
            "tombolo_flows",
            "Entries of the flow table.",
            status.flows.used,
        );
        self.gauge(
            "tombolo_flows_max",
            "Room of the flow table.",
            status.flows.size,
        );
        let help = "Packets that no flow answered for.";
        self.counter("tombolo_slow_path_packets_total", help, counts.slow_path);
        let help = "Packets that were dropped.";
        self.family(
            "tombolo_dropped_packets_total",
            help,
            "reason",
            &status.drops,
        );
        let help = "Events that the kernel's ring had no room for.";
        self.counter("tombolo_events_lost_total", help, status.events_lost);
        self.gauge(
            "tombolo_monitors",
            "Those who watch packets.",
            counts.monitors as u64,
        );
        let help = "Flows that were lost by those who watch too slowly.";
        self.counter("tombolo_monitor_lost_total", help, counts.monitor_lost);
    }

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

    fn family(&mut self, name: &str, help: &str, label: &str, values: &BTreeMap<String, u64>) {
        let counter = name.ends_with("_total");
        self.head(name, if counter { "counter" } else { "gauge" }, help);
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
