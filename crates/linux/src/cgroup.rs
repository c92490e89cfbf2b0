//! Control groups, to hold processes together and end them together, by the unified hierarchy.
//!
//! Where older hierarchies stand beside it, runtimes keep containers in those too: see `legacy`. Sets no limits. Names are relative to the hierarchy's root, such as `tombolo/lab/node1`.

use crate::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::{
    fs::{self, File},
    io,
    path::{Component, Path, PathBuf},
};

mod legacy;
pub use legacy::create_everywhere;

const MOUNT: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP2_MAGIC: u32 = 0x6367_7270;
/// Ending takes a process a moment after the signal; longer than this it hangs in the kernel.
const KILL_SECONDS_MAX: u64 = 10;
/// The state file changes once when the last process is gone; a few more for what else it tells.
const CHANGES_MAX: usize = 8;
const NAME_LENGTH_MAX: usize = 255;

/// Where the unified hierarchy is mounted, alone or beside the older ones.
pub fn root() -> PathBuf {
    if is_unified(Path::new(MOUNT)) {
        MOUNT.into()
    } else {
        Path::new(MOUNT).join("unified")
    }
}

/// Whether a folder is a group of the unified hierarchy.
pub fn is_unified(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|status| status.f_type as u32 == CGROUP2_MAGIC)
}

/// The folder of the group that this process is in.
pub fn own() -> Result<PathBuf> {
    let file = Path::new("/proc/self/cgroup");
    let fail = |error| Error::at("read", file, error);
    let text = fs::read_to_string(file).map_err(fail)?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let path = path.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
    Ok(root().join(path))
}

/// Makes the group and those above it, and returns its folder. That it exists is fine.
pub fn create(name: &str) -> Result<PathBuf> {
    let dir = folder(name)?;
    fs::create_dir_all(&dir).map_err(|error| Error::at("create cgroup", &dir, error))?;
    Ok(dir)
}

/// Kills all processes in and below the group, waits for their end, and removes it from every hierarchy. No such group
/// is fine.
pub fn remove(name: &str) -> Result<()> {
    let dir = folder(name)?;
    match fs::write(dir.join("cgroup.kill"), "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => {
            result.map_err(|error| Error::at("kill the processes of cgroup", &dir, error))?;
            wait_until_empty(&dir)?;
            remove_tree(&dir).map_err(|error| Error::at("remove cgroup", &dir, error))?;
        }
    }
    legacy::remove(name)
}

/// The groups right below the root of any hierarchy.
pub fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for root in [root()].into_iter().chain(legacy::roots()) {
        let fail = |error| Error::at("list the cgroups of", &root, error);
        let found = children(&root).map_err(fail)?;
        let found = found.iter().filter_map(|dir| dir.file_name()?.to_str());
        names.extend(found.map(str::to_owned));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Moves a process, with all its threads, into the group.
pub fn add(name: &str, pid: u32) -> Result<()> {
    let file = folder(name)?.join("cgroup.procs");
    fs::write(&file, pid.to_string()).map_err(|error| Error::at("move a process to", &file, error))
}

/// The processes in the group and below it; none if there is no such group.
pub fn pids(name: &str) -> Result<Vec<u32>> {
    let dir = folder(name)?;
    let mut found = Vec::new();
    match gather(&dir, &mut found) {
        Err(error) if !is_gone(&error) => {
            Err(Error::at("list the processes of cgroup", &dir, error))
        }
        _ => Ok(found),
    }
}

/// A name must stay below the root: `remove` kills.
fn folder(name: &str) -> Result<PathBuf> {
    let mut parts = Path::new(name).components();
    let is_plain = !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)));
    if !is_plain || name.len() > NAME_LENGTH_MAX {
        return Err(Error::Name {
            what: "cgroup",
            name: name.to_owned(),
            length_max: NAME_LENGTH_MAX,
        });
    }
    Ok(root().join(name))
}

fn wait_until_empty(dir: &Path) -> Result<()> {
    let path = dir.join("cgroup.events");
    let fail = |error: io::Error| Error::at("read", &path, error);
    let events = File::open(&path).map_err(fail)?;
    let patience = Timespec {
        tv_sec: KILL_SECONDS_MAX as i64,
        tv_nsec: 0,
    };
    for _ in 0..CHANGES_MAX {
        // Reading arms the notice of the next change.
        let mut text = [0; 256];
        let read = rustix::io::pread(&events, &mut text, 0).map_err(|error| fail(error.into()))?;
        if !text[..read]
            .split(|byte| *byte == b'\n')
            .any(|line| line == b"populated 1")
        {
            return Ok(());
        }
        match rustix::event::poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&patience)) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(fail(error.into())),
        }
    }
    let subject = format!("the processes of cgroup {}", dir.display());
    Err(Error::TimedOut {
        operation: "end",
        subject,
        seconds: KILL_SECONDS_MAX,
    })
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for child in children(dir)? {
        remove_tree(&child)?;
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn gather(dir: &Path, found: &mut Vec<u32>) -> io::Result<()> {
    let text = fs::read_to_string(dir.join("cgroup.procs"))?;
    found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for child in children(dir)? {
        match gather(&child, found) {
            Err(error) if !is_gone(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// A file of a group that is removed while it is open says `ENODEV`.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

#[cfg(test)]
mod tests;
