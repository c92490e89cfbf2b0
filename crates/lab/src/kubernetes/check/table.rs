//! The report as people read it.

use super::{Report, pods::Row};
use std::{collections::BTreeSet, fmt::Write as _};

const FAILURES_SHOWN: usize = 10;

pub fn text(report: &Report) -> String {
    let columns: BTreeSet<(&str, &str)> = report
        .pods
        .iter()
        .map(|row| (row.family.as_str(), row.way.as_str()))
        .collect();
    let mut text = format!("{:<28}", "who asks → who answers");
    for (family, way) in &columns {
        let _ = write!(text, "{:>16}", format!("{} {family}", way.to_uppercase()));
    }
    text.push('\n');
    let mut lines: Vec<(&str, &str)> = Vec::new();
    for row in &report.pods {
        let line = (row.from.as_str(), row.to.as_str());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    for (from, to) in lines {
        let _ = write!(text, "  {:<26}", format!("{from} → {to}"));
        for (family, way) in &columns {
            let row = report.pods.iter().find(|row| {
                (row.from.as_str(), row.to.as_str()) == (from, to)
                    && (row.family.as_str(), row.way.as_str()) == (family, way)
            });
            let _ = write!(text, "{:>16}", row.map_or("-".to_owned(), cell));
        }
        text.push('\n');
    }
    for seen in &report.seen {
        let _ = writeln!(text, "{seen}");
    }
    for failure in report.failures.iter().take(FAILURES_SHOWN) {
        let _ = writeln!(text, "  ✗ {failure}");
    }
    if let Some(more) = report.failures.len().checked_sub(FAILURES_SHOWN + 1) {
        let _ = writeln!(text, "  … and {} more; all are in -o json", more + 1);
    }
    if !report.failures.is_empty() {
        text.push_str("  see `tombolo clustermesh status`, and what a node drops: `tombolo lab exec NODE -- tombolo monitor`\n");
    }
    text
}

/// How many of how many, and the median of their times.
fn cell(row: &Row) -> String {
    let time = match row.median_microseconds {
        _ if row.answered == 0 => return format!("0 of {}", row.asked),
        us @ 0..10_000 => format!("{us} µs"),
        us => format!("{} ms", us / 1000),
    };
    match row.answered == row.asked {
        true => format!("{} ok {time}", row.asked),
        false => format!("{} of {} {time}", row.answered, row.asked),
    }
}
