//! Hierarchies of the first version, one for each controller, which may stand beside the unified one.

use super::{MOUNT, children, folder, remove_tree};
use crate::{Error, Result};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// `CGROUP_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP_MAGIC: u32 = 0x0027_e0eb;
/// What a group of this controller must be given before it takes a process.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Where they are mounted; nowhere on most machines of today.
pub fn roots() -> Vec<PathBuf> {
    let found = children(Path::new(MOUNT)).unwrap_or_default();
    let is_legacy = |dir: &PathBuf| {
        rustix::fs::statfs(dir).is_ok_and(|status| status.f_type as u32 == CGROUP_MAGIC)
    };
    found.into_iter().filter(is_legacy).collect()
}

/// Makes the group in every hierarchy there is, as those want it who run containers below it.
pub fn create_everywhere(name: &str) -> Result<()> {
    super::create(name)?;
    let name = plain(name)?;
    for root in roots() {
        let dir = root.join(&name);
        let fail = |error| Error::at("create cgroup", &dir, error);
        fs::create_dir_all(&dir).map_err(fail)?;
        for file in CPUSET {
            let from = root.join(file);
            if from.exists() {
                let text = fs::read(from).map_err(fail)?;
                fs::write(dir.join(file), text).map_err(fail)?;
            }
        }
    }
    Ok(())
}

/// Removes the group, which no process is in any more, since all were killed by the unified hierarchy.
pub fn remove(name: &str) -> Result<()> {
    let name = plain(name)?;
    for root in roots() {
        let dir = root.join(&name);
        match remove_tree(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::at("remove cgroup", &dir, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The name as a path below a root, and nowhere else.
fn plain(name: &str) -> Result<PathBuf> {
    folder(name).map(|_| PathBuf::from(name))
}
