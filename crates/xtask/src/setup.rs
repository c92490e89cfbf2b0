//! Installs what is missing on this machine, and says what and why.
//!
//! Idempotent: what is there is left alone. Chooses no toolchain for the user's own work and changes no default.

mod apt;
mod comparisons;
mod machine;
mod tools;

pub use comparisons::comparisons;
pub use tools::kept_cargo_deny;

use std::fs;

use anyhow::{Result, bail};

use crate::process::{privileged, run as execute};

/// How much the caller is going to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Build and run; the checks of CI need more.
    Running,
    Everything,
}

/// Something the machine lacks.
struct Missing {
    what: &'static str,
    why: &'static str,
    /// Packages of Debian and its descendants.
    packages: &'static [&'static str],
}

pub fn run(extent: Extent) -> Result<()> {
    machine::check()?;
    let missing = missing();
    if missing.is_empty() {
        say("packages: nothing is missing");
    } else if apt::is_here() {
        apt::install(&missing)?;
    } else {
        return Err(refuse(&missing));
    }
    tools::bpf_linker()?;
    if extent == Extent::Everything {
        tools::cargo_deny()?;
    }
    mount_bpffs()
}

fn say(line: &str) {
    eprintln!("setup: {line}");
}

fn missing() -> Vec<Missing> {
    let compiler = (!tools::has_bpf_compiler()).then_some(Missing {
        what: "a Rust compiler for eBPF (elsewhere: `rustup toolchain install nightly --component rust-src`)",
        why: "the kernel programs are compiled for a target that stable toolchains have no core library for",
        packages: &["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"],
    });
    let programs = machine::PROGRAMS
        .iter()
        .filter(|needed| crate::process::find(needed.program).is_none())
        .map(|needed| Missing {
            what: needed.program,
            why: needed.why,
            packages: needed.packages,
        });
    let plugin = (!machine::has_loopback_plugin()).then_some(Missing {
        what: "the CNI plugin `loopback`",
        why: "container runtimes give every pod its loopback device by it",
        packages: &["containernetworking-plugins"],
    });
    compiler.into_iter().chain(programs).chain(plugin).collect()
}

fn refuse(missing: &[Missing]) -> anyhow::Error {
    eprintln!("setup: this is not Debian or Ubuntu; please install, then run this again:");
    for each in missing {
        eprintln!("  - {}: {}", each.what, each.why);
    }
    if !tools::bpf_linker_works() {
        eprintln!("  - bpf-linker (`cargo install bpf-linker`): it links the kernel programs");
    }
    anyhow::anyhow!("{} things are missing, see above", missing.len())
}

/// Programs and maps outlive the agent by being pinned here.
fn mount_bpffs() -> Result<()> {
    const PLACE: &str = "/sys/fs/bpf";
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mounted = mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(PLACE) && line.split(' ').nth(2) == Some("bpf"));
    if mounted {
        return Ok(());
    }
    say("mounting a BPF file system on /sys/fs/bpf: pinned programs and maps live there");
    if execute(privileged("mount")?.args(["-t", "bpf", "bpf", PLACE])).is_err() {
        bail!(
            "cannot mount a BPF file system on {PLACE}: run this outside of a container, or mount it there yourself"
        );
    }
    Ok(())
}
