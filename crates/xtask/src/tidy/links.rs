//! Links in documents lead to files and headings that exist. Addresses on the web are not visited.

use std::fs;
use std::path::Path;

use super::{Finding, Findings};

pub fn check(root: &Path, path: &str, text: &str, found: &mut Findings) {
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if let Err(text) = resolve(root, path, target) {
                found.breaches.push(Finding::new(path, number, text));
            }
        }
    }
}

fn resolve(root: &Path, from: &str, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let from = root.join(from);
    let goal = match file {
        "" => from,
        file => from.parent().unwrap_or(root).join(file),
    };
    if !goal.exists() {
        return Err(format!("the link `{target}` leads nowhere"));
    }
    if heading.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(&goal).unwrap_or_default();
    let known = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line) == heading);
    known
        .then_some(())
        .ok_or_else(|| format!("the link `{target}` names a heading that does not exist"))
}

/// The anchor that forges give a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}
