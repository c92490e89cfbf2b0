//! Packages of Debian and its descendants.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

use super::{Missing, say};
use crate::process::{answer, find, privileged, run};

pub fn is_here() -> bool {
    find("apt-get").is_some() && find("dpkg-query").is_some()
}

pub fn install(missing: &[Missing]) -> Result<()> {
    update()?;
    for each in missing {
        let unknown: Vec<_> = each
            .packages
            .iter()
            .filter(|name| !is_offered(name))
            .collect();
        if let Some(name) = unknown.first() {
            bail!(
                "this distribution has no package `{name}`: install {} yourself, then run this again",
                each.what
            );
        }
        say(&format!(
            "installing {}: {}",
            each.packages.join(", "),
            each.why
        ));
    }
    let names: Vec<_> = missing
        .iter()
        .flat_map(|each| each.packages)
        .copied()
        .collect();
    get(&[&["install", "--yes", "--no-install-recommends"], &names[..]].concat())
}

/// Brings the lists of packages up to date, once in a run.
pub fn update() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    get(&["update"])
}

/// Whether a package can be installed from the sources apt knows.
pub fn is_offered(package: &str) -> bool {
    answer(Command::new("apt-cache").args(["show", "--no-all-versions", package]))
        .is_some_and(|text| !text.is_empty())
}

fn get(arguments: &[&str]) -> Result<()> {
    let mut command = privileged("apt-get")?;
    command
        .args([
            "-qq",
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Dpkg::Use-Pty=0",
        ])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // A line for every file unpacked tells nobody anything; errors go elsewhere.
        .stdout(Stdio::null());
    run(&mut command)
}
