//! The screen, for people.

use super::{Count, Status};
use crate::output::{Colour, Style};
use std::collections::BTreeMap;

pub fn render(status: &Status, colour: Colour) -> String {
    let access = &status.access_information;
    let mut text = format!(
        "Cluster {}, id {}\n",
        colour.paint(Style::Strong, &access.cluster_name),
        access.cluster_id
    );
    let mut line = |good: bool, what: String| {
        let (style, mark) = if good {
            (Style::Good, "✓")
        } else {
            (Style::Bad, "✗")
        };
        text.push_str(&format!("{} {what}\n", colour.paint(style, mark)));
    };
    if access.service_type.is_empty() {
        line(false, "Service clustermesh-apiserver not found".into());
    } else {
        line(
            true,
            format!(
                "Service clustermesh-apiserver of type {} found",
                access.service_type
            ),
        );
        match access.endpoints.as_slice() {
            [] => line(false, "Access information is not available yet".into()),
            endpoints => line(
                true,
                format!("Access information is available: {}", endpoints.join(", ")),
            ),
        }
        let ready = if access.ready { "ready" } else { "not ready" };
        line(
            access.ready,
            format!("Deployment clustermesh-apiserver is {ready}"),
        );
    }
    let nodes = &status.connectivity;
    let all = nodes.clusters.len();
    let spread = format!(
        "[min:{} / avg:{:.1} / max:{}]",
        nodes.connected.min, nodes.connected.avg, nodes.connected.max
    );
    if all == 0 {
        line(true, "No cluster is connected, and none is listed".into());
    } else if nodes.not_ready == 0 && nodes.total > 0 {
        line(
            true,
            format!(
                "All {} nodes are connected to all clusters {spread}",
                nodes.total
            ),
        );
    } else {
        let not = nodes.not_ready;
        line(
            false,
            format!(
                "{not} of {} nodes are not connected to all clusters {spread}",
                nodes.total
            ),
        );
    }
    if all > 0 {
        text.push_str("Cluster connections:\n");
    }
    for (name, count) in &nodes.clusters {
        text.push_str(&format!("  {name}: {}", spell(count, nodes.total)));
        if let Some(mirror) = status.kvstoremesh.clusters.get(name) {
            text.push_str(&format!(
                "; kvstoremesh: {}",
                spell(mirror, status.kvstoremesh.total)
            ));
        }
        text.push('\n');
    }
    if let Some(services) = services(&status.kvstoremesh.clusters) {
        text.push_str(&format!("Global services: {services}\n"));
    }
    for error in &status.errors {
        text.push_str(&format!(
            "{} {}\n",
            colour.paint(Style::Bad, "error:"),
            error.sentence
        ));
        for (index, hint) in error.hint.lines().enumerate() {
            let mark = if index == 0 { "hint:" } else { "     " };
            text.push_str(&format!("  {mark} {hint}\n"));
        }
    }
    if status.success {
        text.push_str(&format!("{}\n", colour.paint(Style::Good, "Success")));
    }
    text
}

/// How many there are, and of which clusters.
fn services(clusters: &BTreeMap<String, Count>) -> Option<String> {
    let each = clusters
        .iter()
        .map(|(name, count)| format!("{} of {name}", count.global_services));
    let each: Vec<_> = each.collect();
    (!each.is_empty()).then(|| each.join(", "))
}

fn spell(count: &Count, total: usize) -> String {
    let mut text = format!(
        "{}/{total} configured, {}/{total} connected",
        count.configured, count.connected
    );
    if count.connected > 0 || count.seconds_behind > 0 {
        text.push_str(&format!(", {} s behind", count.seconds_behind));
    }
    if let Some(days) = count.certificate_days {
        text.push_str(&format!(", certificate {days} days"));
    }
    text
}
