//! A process that is watched from outside: whether it lives, what it takes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

const LAST_WORDS_LINES: usize = 8;

/// Ends when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(command: &mut Command, log: &Path) -> Result<Process> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Process {
            child,
            log: log.to_owned(),
        })
    }

    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_WORDS_LINES)..];
            bail!(
                "ended with {status}; last in {}:\n{}",
                self.log.display(),
                last.join("\n")
            );
        }
        Ok(())
    }

    /// Resident now.
    pub fn megabytes(&self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// The most that ever was resident.
    pub fn megabytes_max(&self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kilobytes.with_context(|| format!("the kernel tells no {name}"))? / 1024.0)
    }

    /// Time that the program and the kernel for it have had on all CPUs.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the name in brackets, which may have blanks.
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' '));
        let ticks = fields.and_then(|mut fields| {
            let user: f64 = fields.nth(11)?.parse().ok()?;
            let system: f64 = fields.next()?.parse().ok()?;
            Some(user + system)
        });
        let ticks = ticks.context("the kernel tells no times")?;
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
