//! Services by Tombolo: the data path's own tables and programs, at a control group that this process is in.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process::binaries;

/// A control group of version 2, taken away when dropped.
pub struct Group(PathBuf);

/// This process is in the group, until it is dropped.
pub struct Inside {
    former: PathBuf,
}

impl Group {
    pub fn make() -> Result<Self> {
        let folder = root()?.join(format!("tombolo-bench-{}", process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Sockets that this process opens meanwhile are led to services.
    pub fn enter(&self) -> Result<Inside> {
        let own = fs::read_to_string("/proc/self/cgroup").context("reading our control group")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let former = root()?.join(own.context("this process is in no control group of version 2")?);
        join(&self.0)?;
        Ok(Inside { former })
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("control group {} is left over: {error}", self.0.display());
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Err(error) = join(&self.former) {
            eprintln!("this process stays in its control group: {error:#}");
        }
    }
}

fn join(group: &Path) -> Result<()> {
    fs::write(group.join("cgroup.procs"), process::id().to_string())
        .with_context(|| format!("moving into {}", group.display()))
}

fn root() -> Result<PathBuf> {
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    let found = places
        .into_iter()
        .find(|place| place.join("cgroup.controllers").exists());
    found.context("there is no control group of version 2 below /sys/fs/cgroup: mount one")
}

/// What loading has cost.
#[derive(Clone, Copy)]
pub struct Loaded {
    pub seconds: f64,
    pub maps_bytes: f64,
    pub resident_bytes: f64,
}

/// A process that holds services; they go with it.
pub struct Table {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub loaded: Loaded,
}

impl Table {
    /// How many services of how many backends, how many backends the large one has, and who answers for the first.
    pub fn start(
        group: &Path,
        (services, backends, large): (usize, usize, usize),
        server: SocketAddrV4,
    ) -> Result<Self> {
        let mut command = Command::new("unshare");
        command
            .arg("--net")
            .arg(binaries("release").join("examples/services"));
        command.arg(group);
        command.args([services, backends, large].map(|number| number.to_string()));
        command.arg(server.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting the table of services")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("no pipe from the table")?;
        let mut table = Self {
            child,
            input,
            output: BufReader::new(output),
            loaded: Loaded {
                seconds: 0.0,
                maps_bytes: 0.0,
                resident_bytes: 0.0,
            },
        };
        let line = table.line()?;
        let told: Value = serde_json::from_str(&line).context("reading what was loaded")?;
        let number = |name: &str| {
            told.get(name)
                .and_then(Value::as_f64)
                .context("a number is missing")
        };
        table.loaded = Loaded {
            seconds: number("seconds")?,
            maps_bytes: number("maps_bytes")?,
            resident_bytes: number("resident_bytes")?,
        };
        Ok(table)
    }

    /// Changes one backend of the large service, and says in how many microseconds.
    pub fn change(&mut self) -> Result<f64> {
        let input = self.input.as_mut().context("the table has ended")?;
        input.write_all(b"change\n")?;
        self.line()?.trim().parse().context("reading a time")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the table of services has ended: {}", self.child.wait()?);
        }
        Ok(line)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // It ends with its input, and takes its pins along.
        drop(self.input.take());
        if let Err(error) = self.child.wait() {
            eprintln!("waiting for the table of services: {error}");
        }
    }
}
