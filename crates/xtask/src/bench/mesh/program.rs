//! Programs that run beside us: started, looked at from outside, ended when dropped.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::process::binaries;

/// No step of a load takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Program {
    /// Its log is kept in `log`, for the error that tells of its end.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        Self::fed(command, Stdio::null(), log)
    }

    /// The same with something to read.
    pub fn fed(command: &mut Command, input: Stdio, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
        command.stdin(input).stdout(Stdio::null()).stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let log = log.to_owned();
        Ok(Self { child, log })
    }

    /// Asks `is_ready` until it is, or the program has ended.
    pub fn wait(&mut self, is_ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_ready() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("a program does not start; it says:\n{log}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The time that all its threads have had on CPUs.
    pub fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(self.file("task"))? {
            // A thread may end meanwhile; these programs' do not.
            let text = fs::read_to_string(thread?.path().join("schedstat"));
            let text = text.context("reading how long a thread ran")?;
            let first = text.split(' ').next().unwrap_or_default();
            nanoseconds += first.parse::<u64>().context("reading schedstat")?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The CPU time that it takes while something is done.
    pub fn spends<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
        let before = self.cpu()?;
        let done = act()?;
        Ok((done, self.cpu()?.saturating_sub(before)))
    }

    /// What it has in memory now, in megabytes.
    pub fn memory(&self) -> Result<f64> {
        self.megabytes("VmRSS:")
    }

    /// The most that it ever had.
    pub fn memory_peak(&self) -> Result<f64> {
        self.megabytes("VmHWM:")
    }

    fn megabytes(&self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(self.file("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes = kilobytes.with_context(|| format!("no {field} of a process"))?;
        Ok(kilobytes.parse::<f64>()? / 1024.0)
    }

    /// Something of what the kernel tells of it.
    pub fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(name)
    }
}

/// The load program at work; it tells what it sees in lines of JSON.
pub struct Load {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Load {
    pub fn start(arguments: &[String]) -> Result<Self> {
        let mut command = Command::new(binaries("release").join("examples/load"));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let output = child.stdout.take().context("no pipe from the load")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Its next line, and when it came.
    pub fn next(&self) -> Result<(Instant, Value)> {
        let next = self.lines.recv_timeout(PATIENCE);
        let (at, line) = next.map_err(|_| anyhow!("the load has ended, or hangs; see above"))?;
        Ok((at, serde_json::from_str(&line)?))
    }

    /// Runs a load to its end.
    pub fn run(arguments: &[String]) -> Result<Value> {
        Ok(Self::start(arguments)?.next()?.1)
    }
}

/// The number of a field.
pub fn number(value: &Value, field: &str) -> Result<f64> {
    let number = value.get(field).and_then(Value::as_f64);
    number.with_context(|| format!("the load did not tell {field}: {value}"))
}

/// Words of a command line out of what can be written.
macro_rules! words {
    ($($word:expr),* $(,)?) => { [$($word.to_string()),*] };
}
pub(super) use words;
