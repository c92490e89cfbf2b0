//! The parts of our style that a machine can hold: who imports whom, sizes, forbidden names, module heads, links.
//!
//! Reads sources as text and tokens. It does not compile, so it also covers the kernel programs; rustfmt and clippy
//! have their own say.

mod crates;
mod files;
mod links;
mod rust;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::process::root;

/// Something found in a file.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; 0 when the whole file is meant.
    line: usize,
    text: String,
}

impl Finding {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.text),
            line => write!(out, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// Breaches must be mended; remarks are for the reader.
#[derive(Debug, Default)]
struct Findings {
    breaches: Vec<Finding>,
    remarks: Vec<Finding>,
}

pub fn run() -> Result<()> {
    let found = check(root())?;
    for remark in &found.remarks {
        println!("note: {remark}");
    }
    for breach in &found.breaches {
        eprintln!("tidy: {breach}");
    }
    if !found.breaches.is_empty() {
        bail!(
            "{} breaches of the repository's rules, see above",
            found.breaches.len()
        );
    }
    println!("tidy: no breaches, {} notes", found.remarks.len());
    Ok(())
}

fn check(root: &Path) -> Result<Findings> {
    let mut found = Findings::default();
    let mut paths = files::list(root)?;
    paths.sort();
    for path in &paths {
        let text =
            fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?;
        files::check(path, &text, &mut found);
        if path.ends_with(".rs") {
            rust::check(path, &text, &mut found);
        }
        if path.ends_with(".md") {
            links::check(root, path, &text, &mut found);
        }
        if path.ends_with("Cargo.toml") {
            crates::check(path, &text, &mut found);
        }
    }
    crates::check_described(root, &paths, &mut found);
    Ok(found)
}

#[cfg(test)]
mod tests;
