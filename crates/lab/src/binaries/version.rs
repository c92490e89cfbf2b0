//! Which version a program is, by its own word.

use super::{Binary, Demand};
use std::{
    fmt,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Programs of this kind answer in a tenth of it on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Eq)]
pub enum Check {
    Good(String),
    Bad(Problem),
}

/// Reads on after the program's name.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    Other { is: String, wanted: &'static str },
    Silent,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Other { is, wanted } => write!(out, "is {is}, not {wanted}"),
            Problem::Silent => write!(out, "does not tell its version"),
        }
    }
}

pub fn check(binary: &'static Binary, path: &Path, demand: Demand) -> Check {
    let Some(version) = of(path, binary.ask) else {
        return Check::Bad(Problem::Silent);
    };
    let (good, wanted) = match demand {
        Demand::Series => (is_of(&version, binary.series), binary.series),
        Demand::Exact => (version == binary.version, binary.version),
    };
    if good {
        Check::Good(version)
    } else {
        Check::Bad(Problem::Other {
            is: version,
            wanted,
        })
    }
}

/// What a program says that it is.
pub fn of(path: &Path, words: &[&str]) -> Option<String> {
    ask(path, words).as_deref().and_then(read)
}

fn ask(path: &Path, words: &[&str]) -> Option<String> {
    let mut command = Command::new(path);
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let deadline = Instant::now() + PATIENCE;
    // What is asked for is a line or two, which a pipe holds.
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first word that is a version, without what stands before and after its three numbers.
fn read(text: &str) -> Option<String> {
    text.split_whitespace()
        .flat_map(|word| word.split(['-', '+', ',', '~']))
        .map(|word| word.trim_start_matches('v'))
        .find(|word| {
            let numbers = word.split('.');
            numbers.clone().count() == 3 && numbers.into_iter().all(is_number)
        })
        .map(str::to_owned)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_of(version: &str, series: &str) -> bool {
    version
        .strip_prefix(series)
        .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
