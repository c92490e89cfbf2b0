//! The report as people read it: a row for each kind of way, then what failed and what to do about it.

use super::{FAMILIES, Family, PROTOCOLS, Pair, Protocol, Report, Way};
use std::{fmt::Write as _, time::Duration};

const FAILURES_SHOWN: usize = 20;
const WAYS: [Way; 8] = [
    Way::SameNode,
    Way::AcrossNodes,
    Way::AcrossClusters,
    Way::PodToOwnHost,
    Way::HostToOwnPod,
    Way::PodToRemoteHost,
    Way::HostToRemotePod,
    Way::PodToWorld,
];

pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let mode = report.pairs.first().map_or("", |pair| &pair.mode);
    let _ = write!(text, "{mode:<24}");
    for (protocol, family) in columns() {
        let head = format!("{} {}", protocol_name(protocol), family_name(family));
        let _ = write!(text, "{head:>16}");
    }
    text.push('\n');
    for way in WAYS {
        let of_way: Vec<&Pair> = report.pairs.iter().filter(|pair| pair.way == way).collect();
        if of_way.is_empty() {
            continue;
        }
        let _ = write!(text, "  {:<22}", way_name(way));
        for (protocol, family) in columns() {
            let of_column = of_way
                .iter()
                .filter(|p| p.protocol == protocol && p.family == family);
            let _ = write!(text, "{:>16}", cell(of_column.copied()));
        }
        text.push('\n');
    }
    failures(&mut text, report);
    let total = &report.total;
    let _ = writeln!(
        text,
        "{} of {} reachable, {} seen with a wrong source",
        total.reachable, total.pairs, total.wrong_source
    );
    text
}

fn columns() -> impl Iterator<Item = (Protocol, Family)> {
    FAMILIES
        .into_iter()
        .flat_map(|family| PROTOCOLS.map(|protocol| (protocol, family)))
}

/// How many of how many, and the median of their times.
fn cell<'a>(pairs: impl Iterator<Item = &'a Pair>) -> String {
    let pairs: Vec<&Pair> = pairs.collect();
    if pairs.is_empty() {
        return "-".into();
    }
    let well = pairs.iter().filter(|pair| pair.well()).count();
    let count = if well == pairs.len() {
        format!("{well} ok")
    } else {
        format!("{well} of {}", pairs.len())
    };
    let mut times: Vec<Duration> = pairs.iter().filter_map(|pair| pair.rtt_us).collect();
    times.sort();
    match times.get(times.len() / 2) {
        Some(time) => format!("{count} {}", short(*time)),
        None => count,
    }
}

fn short(time: Duration) -> String {
    match time.as_micros() {
        us @ 0..10_000 => format!("{us} µs"),
        us => format!("{} ms", us / 1000),
    }
}

fn failures(text: &mut String, report: &Report) {
    let failed: Vec<&Pair> = report.pairs.iter().filter(|pair| !pair.well()).collect();
    for pair in failed.iter().take(FAILURES_SHOWN) {
        let why = match (&pair.error, pair.source_seen) {
            (Some(error), _) => error.clone(),
            (None, Some(seen)) => format!("seen as {seen}"),
            (None, None) => "no answer".into(),
        };
        let _ = writeln!(
            text,
            "  ✗ {} → {} {} {}: {why}",
            pair.from,
            pair.to,
            protocol_name(pair.protocol),
            family_name(pair.family),
        );
    }
    if failed.len() > FAILURES_SHOWN {
        let _ = writeln!(
            text,
            "  … and {} more; all are in -o json",
            failed.len() - FAILURES_SHOWN
        );
    }
    if let Some(first) = failed.first() {
        let node = first
            .from
            .rsplit_once("-p")
            .map_or(first.from.as_str(), |(node, _)| node);
        let _ = writeln!(
            text,
            "  see what the programs drop: tombolo lab exec {node} -- tombolo monitor, and: tombolo lab status"
        );
    }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Icmp => "ICMP",
    }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "v4",
        Family::Ipv6 => "v6",
    }
}

fn way_name(way: Way) -> &'static str {
    match way {
        Way::SameNode => "pods of one node",
        Way::AcrossNodes => "pods across nodes",
        Way::AcrossClusters => "pods across clusters",
        Way::PodToOwnHost => "pod to own host",
        Way::HostToOwnPod => "host to own pod",
        Way::PodToRemoteHost => "pod to other host",
        Way::HostToRemotePod => "host to other's pod",
        Way::PodToWorld => "pod to world",
    }
}
