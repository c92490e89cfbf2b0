//! What a lab needs of this machine and can't be given later: looked at before anything is made.

use crate::{Error, error::Result};
use rustix::{
    fs::inotify::{self, CreateFlags},
    process::{Resource, getrlimit},
};
use std::fs;

/// What the programs of a cluster and of a node have been seen to take, with what starting takes for a while.
const CLUSTER: Room = Room {
    memory_mib: 600,
    inotify: 15,
};
pub const NODE: Room = Room {
    memory_mib: 200,
    inotify: 12,
};
const INOTIFY_MAX: &str = "/proc/sys/fs/inotify/max_user_instances";
/// Enough for several labs, and what many distributions have.
const INOTIFY_ADVICE_MIN: u64 = 1024;
/// Descriptors that this process may have open beside what it tries.
const OPEN_MAX: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    memory_mib: u64,
    /// Instances of inotify of one user.
    inotify: u64,
}

impl Room {
    pub fn of(clusters: u64, nodes_per_cluster: u64) -> Room {
        let nodes = clusters * nodes_per_cluster;
        Room {
            memory_mib: clusters * CLUSTER.memory_mib + nodes * NODE.memory_mib,
            inotify: clusters * CLUSTER.inotify + nodes * NODE.inotify,
        }
    }

    /// Refuses what would not fit.
    pub fn check(self) -> Result<()> {
        let (needed, available) = (self.memory_mib, available_mib()?);
        if available < needed {
            return Err(Error::Memory { needed, available });
        }
        let (needed, available) = (self.inotify, available_inotify(self.inotify));
        if available < needed {
            let max = number(INOTIFY_MAX)?;
            let enough = max.saturating_sub(available) + needed;
            return Err(Error::Inotify {
                needed,
                available,
                max,
                enough: enough.next_power_of_two().max(INOTIFY_ADVICE_MIN),
            });
        }
        Ok(())
    }
}

fn available_mib() -> Result<u64> {
    let file = "/proc/meminfo";
    let text = fs::read_to_string(file).map_err(Error::file("read", file))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    // A kernel that does not tell is no reason to refuse.
    Ok(kib.map_or(u64::MAX, |kib| kib / 1024))
}

/// How many instances can be had, up to so many. No file tells how many a user has: they are made, and let go.
fn available_inotify(needed: u64) -> u64 {
    // What one process may have open is no reason to refuse.
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let tried = needed.min(open.saturating_sub(OPEN_MAX));
    let made = (0..tried).map_while(|_| inotify::init(CreateFlags::CLOEXEC).ok());
    let made = made.collect::<Vec<_>>().len() as u64;
    if made == tried { needed } else { made }
}

fn number(file: &str) -> Result<u64> {
    let text = fs::read_to_string(file).map_err(Error::file("read", file))?;
    let number = text.trim().parse();
    number.map_err(|_| Error::file("understand", file)(std::io::ErrorKind::InvalidData.into()))
}
