//! Processes of a lab: started detached in a node's namespaces and cgroup, known again by pid and start time.

use crate::{Error, error::Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::{
    env,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tombolo_linux::{
    cgroup,
    process::{self, CommandExt as _},
};

/// How much of a log is shown when its process failed.
const LAST_WORDS_LINES: usize = 12;
const LAST_WORDS_BYTES: u64 = 16 * 1024;

/// A pid is given again to others; together with the time its process started it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// In ticks since the machine started.
    pub start_time: u64,
}

impl Process {
    pub fn is_alive(self) -> bool {
        process::alive(self.pid, self.start_time)
    }

    /// Asks it to end, waits, then ends it.
    pub fn stop(self, grace: Duration) -> Result<()> {
        if self.is_alive() {
            process::terminate(self.pid, grace)?;
        }
        Ok(())
    }

    /// Ends it without a chance to clean up.
    pub fn kill(self) -> Result<()> {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid as i32)
        {
            // Gone in between is as good as killed.
            let _ = kill_process(pid, Signal::KILL);
            process::terminate(self.pid, Duration::ZERO)?;
        }
        Ok(())
    }
}

/// The namespaces that a program is started in. Files, so that they may belong to any process.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    pub net: Option<PathBuf>,
    pub mount: Option<PathBuf>,
    pub uts: Option<PathBuf>,
    /// Its own copy of the mounts and a host name of its own, for the first process of a node.
    pub new_mounts: bool,
}

impl Namespaces {
    pub fn of_net(name: &str) -> Namespaces {
        Namespaces {
            net: Some(tombolo_linux::netns::Netns::path(name)),
            ..Namespaces::default()
        }
    }

    /// The words that start a program inside; every one of them replaces itself by the next, so the pid stays.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["nsenter".to_owned()];
        let kinds = [
            ("net", &self.net),
            ("mount", &self.mount),
            ("uts", &self.uts),
        ];
        for (kind, path) in kinds {
            words.extend(
                path.iter()
                    .map(|path| format!("--{kind}={}", path.display())),
            );
        }
        words.push("--".into());
        if self.new_mounts {
            let unshare = [
                "unshare",
                "--mount",
                "--uts",
                "--propagation",
                "private",
                "--",
            ];
            words.extend(unshare.map(str::to_owned));
        }
        words
    }
}

pub struct Start<'a> {
    pub namespaces: &'a Namespaces,
    pub cgroup: &'a str,
    pub log: &'a Path,
    pub program: &'a Path,
    pub arguments: &'a [String],
    /// Beside what this process has itself.
    pub environment: &'a [(&'a str, &'a str)],
}

impl Start<'_> {
    /// Starts it so that it outlives this command.
    pub fn detached(&self) -> Result<Process> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log)
            .map_err(Error::file("open", self.log))?;
        let errors = log.try_clone().map_err(Error::file("open", self.log))?;
        let exe = own_program()?;
        let mut command = Command::new(&exe);
        command.args(["lab", "join", self.cgroup, "--"]);
        command.args(self.namespaces.words());
        command.arg(self.program).args(self.arguments);
        command.envs(self.environment.iter().copied());
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command
            .detached()
            .spawn()
            .map_err(Error::file("start", exe))?;
        let pid = child.id();
        // Whoever dies at once is found dead by those who wait for it.
        let start_time = process::start_time(pid).unwrap_or(0);
        Ok(Process { pid, start_time })
    }
}

/// The program that this is: what the lab starts is always of the same build.
pub fn own_program() -> Result<PathBuf> {
    env::current_exe().map_err(Error::file("find", "the running program"))
}

/// A program that is installed, or built, beside this one.
pub fn beside_own_program(name: &str) -> Result<PathBuf> {
    let path = own_program()?.with_file_name(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::NoProgram { path })
    }
}

/// Becomes `words` after entering `cgroup`; returns only if that fails.
pub fn join_and_become(cgroup: &str, words: &[String]) -> Error {
    if let Err(error) = cgroup::add(cgroup, std::process::id()) {
        return error.into();
    }
    become_program(words)
}

/// Becomes `words`; returns only if that fails.
pub fn become_program(words: &[String]) -> Error {
    let (program, arguments) = words.split_first().expect("callers give a program");
    let error = Command::new(program).args(arguments).exec();
    match program.as_str() {
        "nsenter" => no_tool("nsenter")(error),
        _ => Error::file("start", program)(error),
    }
}

/// Runs a program of the machine's to its end.
pub fn run_tool(tool: &'static str, command: &mut Command) -> Result<Output> {
    let output = command.output().map_err(no_tool(tool))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Tool {
        tool: format!("{tool} ({})", output.status),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn no_tool(tool: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::NoTool {
        tool,
        package: match tool {
            "tc" => "iproute2",
            "ldd" => "libc-bin",
            "ctr" => "containerd",
            "busybox" => "busybox-static",
            _ => "util-linux",
        },
        source,
    }
}

/// The end of a log.
pub fn last_words(log: &Path) -> String {
    let text = match read_end(log) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return format!("  ({} can't be read: {error})", log.display()),
    };
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return "  (nothing)".into();
    }
    let from = lines.len().saturating_sub(LAST_WORDS_LINES);
    let shown: Vec<String> = lines[from..]
        .iter()
        .map(|line| format!("  {line}"))
        .collect();
    shown.join("\n")
}

fn read_end(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
