//! The one place for automation: what a developer, a user of the README or CI runs is a verb of `cargo xtask`.
//!
//! Imports no crate of ours; it drives cargo and the built binaries from outside.

mod bench;
mod chroot;
mod ci;
mod lab;
mod process;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Automation of the Tombolo repository")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing on this machine to build, run and check Tombolo
    Setup,
    /// Bring up two clusters of two nodes, mesh them, show that their pods answer each other, take them down
    Lab(lab::Options),
    /// Run all tests
    Test(test::Options),
    /// Check the structure of the sources: crate table, sizes, forbidden imports, links
    Tidy,
    /// Run every check but the tests: tidy, rustfmt, clippy, cargo-deny
    Ci,
    /// Measure
    #[command(subcommand)]
    Bench(bench::Subject),
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    if matches!(verb, Verb::Lab(_) | Verb::Test(_) | Verb::Bench(_)) {
        chroot::leave()?;
    }
    match verb {
        Verb::Setup => set_up(),
        Verb::Lab(options) => lab::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Tidy => tidy::run(),
        Verb::Ci => ci::run(),
        Verb::Bench(subject) => bench::run(&subject),
    }
}

fn set_up() -> anyhow::Result<()> {
    setup::run(setup::Extent::Everything)?;
    setup::comparisons()
}
