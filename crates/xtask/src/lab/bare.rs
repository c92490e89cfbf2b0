//! Two bare clusters, in each routing mode in turn: who reaches whom, and how soon a new pod is known.

use std::process::Stdio;

use anyhow::{Result, bail};

use super::{build, tombolo};
use crate::process::{binaries, run as execute};
use crate::setup;

const MODES: [&str; 2] = ["tunnel", "native"];

pub fn run(keep: bool) -> Result<()> {
    setup::run(setup::Extent::Running)?;
    build()?;
    let mut tables = Vec::new();
    let mut failed = Vec::new();
    for mode in MODES {
        let mut up = tombolo(&["lab", "up", "--bare", "--clusters", "2", "--nodes", "2"])?;
        execute(up.args(["--routing-mode", mode]))?;
        let (table, well) = check()?;
        tables.push(table + &news()?);
        if !well {
            failed.push(mode);
        }
        if !keep || Some(&mode) != MODES.last() {
            execute(&mut tombolo(&["lab", "down"])?)?;
        }
    }
    println!("\n{}", tables.join("\n"));
    if keep {
        println!(
            "The lab is still there: see `{} lab --help`.",
            binaries("release").join("tombolo").display()
        );
    }
    if !failed.is_empty() {
        bail!(
            "not everything is as it should be in routing mode {}",
            failed.join(" and ")
        );
    }
    Ok(())
}

/// The table of who reaches whom, and whether it is as it should be.
fn check() -> Result<(String, bool)> {
    eprintln!("$ tombolo lab check");
    let mut check = tombolo(&["lab", "check"])?;
    let output = check
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    Ok((String::from_utf8(output.stdout)?, output.status.success()))
}

/// Adds a pod; what is said of who has learnt of it how soon.
fn news() -> Result<String> {
    eprintln!("$ tombolo lab pod add c1-n1");
    let mut add = tombolo(&["lab", "pod", "add", "c1-n1"])?;
    let output = add.stdin(Stdio::null()).output()?;
    let said = String::from_utf8(output.stderr)?;
    if !output.status.success() {
        bail!("`tombolo lab pod add c1-n1` failed: {}", said.trim());
    }
    Ok(format!("a new pod, {said}"))
}
