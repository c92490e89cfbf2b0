//! Away with a lab, whatever is left of it.
//!
//! What belongs to a lab is found by its names, so neither its state nor any of its processes is needed.
//! Pods, pins, mounts and programs need no removal of their own: they end with the last process of their machine.

use crate::{
    Error,
    error::Result,
    inside::KEPT,
    kubernetes::{DISK, disk},
    plan::{MachineId, Namespace, check_name},
    state::{self, FOLDER, folder},
};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};
use tombolo_linux::{cgroup, netns::Netns};

/// What is there of a lab.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remains {
    pub namespaces: Vec<String>,
    pub cgroups: Vec<String>,
    pub folder: bool,
    /// The folder for what is too large for memory.
    pub disk: bool,
    /// The lab holds the folder that its nodes mount over.
    pub hold: bool,
}

impl Remains {
    pub fn is_empty(&self) -> bool {
        let folders = self.folder || self.disk || self.hold;
        self.namespaces.is_empty() && self.cgroups.is_empty() && !folders
    }

    pub fn words(&self) -> String {
        format!(
            "{} network namespaces, {} cgroups{}",
            self.namespaces.len(),
            self.cgroups.len(),
            if self.folder || self.disk || self.hold {
                ", its folder"
            } else {
                ""
            }
        )
    }
}

pub fn remains(lab: &str) -> Result<Remains> {
    let netns_folder = Netns::path("x");
    let netns_folder = netns_folder.parent().expect("namespaces lie in a folder");
    Ok(Remains {
        namespaces: entries(netns_folder, |name| Namespace::parse(lab, name).is_some())?,
        cgroups: cgroups(lab)?,
        folder: folder(lab).exists(),
        disk: disk(lab).exists(),
        hold: hold(lab).exists(),
    })
}

fn cgroups(lab: &str) -> Result<Vec<String>> {
    let mut names = cgroup::names()?;
    names.retain(|name| MachineId::from_cgroup(lab, name).is_some());
    Ok(names)
}

/// Keeps the folder that nodes mount over from being removed with another lab.
pub fn hold(lab: &str) -> PathBuf {
    Path::new(KEPT).join(format!("lab-{lab}"))
}

fn entries(folder: &Path, belongs: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", folder)(error)),
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| belongs(name)).collect();
    names.sort();
    Ok(names)
}

/// Takes all away that can be, goes on after failures, and tells of them all. Nothing to do is fine.
pub fn down(lab: &str) -> Result<bool> {
    check_name(lab)?;
    let remains = remains(lab)?;
    if remains.is_empty() {
        return Ok(false);
    }
    let _lock = if remains.folder {
        Some(state::take_lock(lab)?)
    } else {
        None
    };
    let mut problems = Vec::new();
    let mut note = |result: Result<()>| problems.extend(result.err().map(|error| chain(&error)));
    for name in &remains.cgroups {
        note(cgroup::remove(name).map_err(Error::from));
    }
    // Only then what never reached its cgroup.
    if let Ok(state) = state::load(lab) {
        let processes = state
            .machines
            .values()
            .flat_map(|machine| machine.processes.values());
        for process in processes {
            note(process.stop(Duration::ZERO));
        }
    }
    for name in &remains.namespaces {
        note(Netns::delete(name).map_err(Error::from));
    }
    if !problems.is_empty() {
        return Err(Error::Remaining {
            what: "the lab".into(),
            problems,
        });
    }
    for folder in [hold(lab), disk(lab), folder(lab)] {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::file("remove", folder)(error));
            }
            _ => {}
        }
    }
    // Shared with other labs, and with an agent of this machine's own: gone when empty.
    for shared in [FOLDER, KEPT, DISK] {
        let _ = fs::remove_dir(shared);
    }
    Ok(true)
}

pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
