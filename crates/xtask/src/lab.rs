//! The README's first command: two clusters on this machine, meshed and seen working.
//!
//! Everything it shows comes from `tombolo`; here it is only built, and called as a user would call it.

mod bare;
mod mesh;
mod steps;

use std::process::Command;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::process::{binaries, cargo, privileged, run as execute};

#[derive(Args)]
pub struct Options {
    /// Leave the lab running, to look around in
    #[arg(long)]
    keep: bool,
    /// Nodes and pods as plain namespaces without Kubernetes, in both routing modes: who reaches whom
    #[arg(long)]
    bare: bool,
    /// What goes to standard output at the end; the steps go to standard error
    #[arg(short, long, value_enum, default_value_t = Output::Text, conflicts_with = "bare")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub fn run(options: &Options) -> Result<()> {
    match options.bare {
        true => bare::run(options.keep),
        false => mesh::run(options.keep, options.output == Output::Json),
    }
}

/// Builds what a lab runs: the program and the CNI plugin, optimised.
pub fn build() -> Result<()> {
    let packages = ["--package", "tombolo-cli", "--package", "tombolo-cni"];
    execute(cargo(&["build", "--locked", "--release", "--bins"]).args(packages))
}

/// The program as built, with the rights a lab needs.
pub fn tombolo(arguments: &[&str]) -> Result<Command> {
    let mut command = privileged(binaries("release").join("tombolo"))?;
    command.args(arguments);
    Ok(command)
}
