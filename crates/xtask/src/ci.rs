//! Every check of the repository but its tests, in one run; all are made before the first failure is returned.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process::{cargo, quiet, root, run as execute};
use crate::setup::{self, kept_cargo_deny};
use crate::tidy;

type Step = fn() -> Result<()>;

pub fn run() -> Result<()> {
    setup::run(setup::Extent::Everything)?;
    let steps: [(&str, Step); 5] = [
        ("tidy", tidy::run),
        ("rustfmt", format),
        ("clippy", clippy),
        ("kernel programs", kernel_programs),
        ("dependencies", dependencies),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        if let Err(error) = step() {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("ci: all checks passed");
    Ok(())
}

fn format() -> Result<()> {
    component("fmt", "rustfmt")?;
    execute(&mut cargo(&["fmt", "--all", "--check"])).context("run `cargo fmt`")
}

fn clippy() -> Result<()> {
    component("clippy", "clippy")?;
    execute(&mut cargo(&[
        "clippy",
        "--locked",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

fn component(verb: &str, name: &str) -> Result<()> {
    quiet(cargo(&[verb, "--version"]).stdout(Stdio::null()))
        .with_context(|| format!("{name} is not installed: run `rustup component add {name}`"))
}

/// No clippy exists for the kernel's target on stable toolchains; the compiler's own warnings are denied instead.
/// They reach us as warnings of datapath's build script, which cargo repeats also when nothing is rebuilt.
fn kernel_programs() -> Result<()> {
    let mut build = cargo(&["check", "--locked", "--package", "tombolo-datapath"]);
    let output = build
        .stdin(Stdio::null())
        .output()
        .context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let warnings: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("warning: tombolo-datapath@"))
        .collect();
    if !output.status.success() || !warnings.is_empty() {
        eprintln!("{text}");
        bail!("the kernel programs do not compile without warnings");
    }
    Ok(())
}

fn dependencies() -> Result<()> {
    let program = kept_cargo_deny().context("cargo-deny is missing: run `cargo xtask setup`")?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(["--workspace", "--all-features", "--locked"])
            .args(arguments)
            .current_dir(root());
        command
    };
    execute(&mut deny(&["check", "licenses", "bans", "sources"]))?;
    if quiet(deny(&["fetch", "db"]).stderr(Stdio::null())).is_err() {
        eprintln!(
            "dependencies: known vulnerabilities were NOT checked, the advisory database is out of reach"
        );
        return Ok(());
    }
    execute(&mut deny(&["check", "--disable-fetch", "advisories"]))
}
