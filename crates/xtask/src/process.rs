//! Running other programs, and the places they work in.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Where built tools are kept from one checkout to the next.
pub fn kept_tools() -> Result<PathBuf> {
    let home =
        variable("HOME").context("HOME is not set, so there is no place to keep tools: set it")?;
    Ok(Path::new(&home).join(".cache/tombolo"))
}

/// The folder of the finished binaries of one profile.
pub fn binaries(profile: &str) -> PathBuf {
    let target = variable("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join(profile)
}

#[expect(
    clippy::disallowed_methods,
    reason = "xtask is a program, its input is its environment"
)]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// The cargo that runs us, in the root of the repository.
pub fn cargo(arguments: &[&str]) -> Command {
    let program = variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `program` with the rights of root: as it is, or through sudo.
pub fn privileged(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if find("sudo").is_none() {
        bail!("this needs root and there is no sudo: run it as root");
    }
    let mut command = Command::new("sudo");
    command.arg("--preserve-env").arg(program);
    Ok(command)
}

/// Says what is run, runs it, and fails if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", spell(command));
    quiet(command)
}

/// Runs without saying so, and fails if it fails.
pub fn quiet(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", spell(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", spell(command));
    }
    Ok(())
}

/// What a program prints, or `None` if it is absent or fails.
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

/// Looks for a program where root would find it: `sbin` is not on the path of ordinary users.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn spell(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![
        program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy(),
    ];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}
