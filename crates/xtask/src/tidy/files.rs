//! What holds for any text file: sizes, blanks, tabs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Finding, Findings};

const LINES_MAX: usize = 600;
const LINES_GOAL: usize = 300;

/// Text files of the repository, as paths relative to its root.
pub fn list(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
        {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "target" || name == ".git" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if is_text(&name) || folder.ends_with(".ci") {
                let path = entry.path();
                let path = path.strip_prefix(root).unwrap_or(&path);
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

fn is_text(name: &str) -> bool {
    [".rs", ".md", ".toml", ".sh", ".json", ".yaml", ".yml"]
        .iter()
        .any(|end| name.ends_with(end))
}

pub fn check(path: &str, text: &str, found: &mut Findings) {
    for (number, line) in (1..).zip(text.lines()) {
        if line.contains('\t') {
            found
                .breaches
                .push(Finding::new(path, number, "tab: indent with blanks"));
        }
        if line.ends_with(' ') {
            found
                .breaches
                .push(Finding::new(path, number, "blank at the end of the line"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found
            .breaches
            .push(Finding::new(path, 0, "no newline at the end of the file"));
    }
    if path.ends_with(".rs") {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            let text = format!("{lines} lines, at most {LINES_MAX}: split the file by its ideas");
            found.breaches.push(Finding::new(path, 0, text));
        } else if lines > LINES_GOAL {
            found
                .remarks
                .push(Finding::new(path, 0, format!("{lines} lines")));
        }
    }
}
