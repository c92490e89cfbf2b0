//! Runs every test of the workspace and closes with one line of totals.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::process::{cargo, is_root};
use crate::setup;

#[derive(Args)]
pub struct Options {
    /// Arguments for the test programs, such as a part of a test's name
    #[arg(last = true)]
    filter: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    setup::run(setup::Extent::Running)?;
    // Builds the real programs too, which tests start and cargo does not build for other crates' tests.
    setup::comparisons()?;

    let mut tests = cargo(&["test", "--locked", "--no-fail-fast", "--"]);
    // Network namespaces, mounts and programs of one test are visible to the next: one at a time.
    tests.args(&options.filter).env("RUST_TEST_THREADS", "1");
    if !is_root() {
        let runner = format!(
            "CARGO_TARGET_{}_RUNNER",
            target().replace('-', "_").to_uppercase()
        );
        tests.env(runner, "sudo --preserve-env");
    }
    let (total, succeeded) = follow(&mut tests)?;
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        bail!("{} tests failed, see above", total.failed);
    }
    if !succeeded {
        bail!("not all test programs were built or ran to their end, see above");
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    passed: u64,
    failed: u64,
}

impl Total {
    /// Adds what one test program says at its end: `test result: ok. 3 passed; 0 failed; …`
    fn count(&mut self, line: &str) {
        let Some((_, figures)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for figure in figures.split("; ") {
            match figure.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

fn follow(tests: &mut Command) -> Result<(Total, bool)> {
    let mut child = tests
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut total = Total::default();
    let mut screen = std::io::stdout();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        screen.write_all(&line)?;
        screen.write_all(b"\n")?;
        total.count(&String::from_utf8_lossy(&line));
    }
    Ok((total, child.wait()?.success()))
}

/// The target triple of this machine.
fn target() -> String {
    format!(
        "{}-unknown-linux-{}",
        std::env::consts::ARCH,
        if cfg!(target_env = "musl") {
            "musl"
        } else {
            "gnu"
        }
    )
}

#[cfg(test)]
mod tests;
