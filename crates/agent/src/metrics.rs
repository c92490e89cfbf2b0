//! The agent's numbers in Prometheus' text format.

use tombolo_control::{Page, render_peers};
use tombolo_model::local::{PathStatus, Status};

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
    pub connections_ended: u64,
}

pub fn render(status: &Status, counts: Counts) -> String {
    let mut page = Page::default();
    agent(&mut page, status);
    world(&mut page, status, counts);
    packets(&mut page, status, counts);
    render_peers(&mut page, &status.peers);
    paths(&mut page, status, counts);
    names(&mut page, status);
    page.text()
}

fn agent(page: &mut Page, status: &Status) {
    let labels = [
        ("version", status.version.as_str()),
        ("cluster", &status.cluster),
        ("node", &status.node),
    ];
    page.head("tombolo_agent_info", "gauge", "What runs here.");
    page.line("tombolo_agent_info", &labels, 1);
    let help = "Since the agent started.";
    page.gauge("tombolo_agent_uptime_seconds", help, status.uptime_seconds);
    let help = "Things that are not as they should be.";
    page.gauge("tombolo_warnings", help, status.warnings.len() as u64);
}

fn world(page: &mut Page, status: &Status, counts: Counts) {
    let help =
        "1 when every source of facts has told all it had at start, or was waited for long enough.";
    page.gauge("tombolo_synced", help, u64::from(status.synced));
    let help = "Clusters that have not told all they have since the start.";
    page.gauge(
        "tombolo_clusters_awaited",
        help,
        status.awaited.len() as u64,
    );
    let help = "Entries from before the start that are kept for those clusters.";
    page.gauge("tombolo_entries_kept", help, status.kept as u64);
    page.counter(
        "tombolo_facts_total",
        "Facts that were handled.",
        counts.facts,
    );
    let help = "Records of facts that are refused.";
    page.family("tombolo_rejected_records", help, "reason", &status.rejected);
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
    let help = "Addresses and ranges that the kernel holds.";
    page.gauge("tombolo_addresses", help, status.addresses as u64);
    let help = "Addresses that new pods can get.";
    page.family(
        "tombolo_free_addresses",
        help,
        "family",
        &status.free_addresses,
    );
    let help = "Changes that the kernel does not hold yet.";
    page.gauge("tombolo_changes_pending", help, status.pending as u64);
    let help = "Changes that the kernel refused.";
    page.counter(
        "tombolo_changes_refused_total",
        help,
        counts.changes_refused,
    );
}

/// The way to other clusters' nodes and backends.
fn paths(page: &mut Page, status: &Status, counts: Counts) {
    let help = "Nodes of other clusters that are asked whether they answer, by what came of it.";
    by_state(
        page,
        status,
        ("tombolo_remote_cluster_nodes", help),
        |path| [path.answering, path.suspect, path.silent, path.unknown],
    );
    let help = "Backends of other clusters that are asked whether they answer, by what came of it.";
    by_state(
        page,
        status,
        ("tombolo_remote_cluster_backends", help),
        |path| {
            let of = path.backends;
            [of.answering, of.suspect, of.silent, of.unknown]
        },
    );
    let help = "Connections that were ended because their backends were dead.";
    page.counter(
        "tombolo_connections_ended_total",
        help,
        counts.connections_ended,
    );
}

fn by_state(
    page: &mut Page,
    status: &Status,
    (name, help): (&str, &str),
    counts: impl Fn(PathStatus) -> [usize; 4],
) {
    const STATES: [&str; 4] = ["answering", "suspect", "silent", "unknown"];
    page.head(name, "gauge", help);
    for peer in &status.peers {
        let Some(path) = peer.path else { continue };
        for (state, count) in STATES.into_iter().zip(counts(path)) {
            let labels = [("target_cluster", peer.cluster.as_str()), ("state", state)];
            page.line(name, &labels, count as u64);
        }
    }
}

fn names(page: &mut Page, status: &Status) {
    let Some(names) = &status.names else { return };
    let name = "tombolo_names_questions_total";
    let help = "Questions for names that were asked on this node, by what became of them.";
    page.head(name, "counter", help);
    for (outcome, count) in [
        ("answered", names.answered),
        ("forwarded", names.forwarded),
        ("failed", names.failed),
        ("refused", names.refused),
    ] {
        page.line(name, &[("outcome", outcome)], count);
    }
    let help = "Pods of the cluster's own name servers that are ready.";
    page.gauge("tombolo_names_servers", help, names.servers as u64);
}

fn packets(page: &mut Page, status: &Status, counts: Counts) {
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
    let help = "Packets that no flow answered for.";
    page.counter("tombolo_slow_path_packets_total", help, counts.slow_path);
    let help = "Packets that were dropped.";
    page.family(
        "tombolo_dropped_packets_total",
        help,
        "reason",
        &status.drops,
    );
    let help = "Events that the kernel's ring had no room for.";
    page.counter("tombolo_events_lost_total", help, status.events_lost);
    page.gauge(
        "tombolo_monitors",
        "Those who watch packets.",
        counts.monitors as u64,
    );
    let help = "Flows that were lost by those who watch too slowly.";
    page.counter("tombolo_monitor_lost_total", help, counts.monitor_lost);
}
