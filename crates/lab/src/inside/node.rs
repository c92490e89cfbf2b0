//! The files of a Kubernetes node: kubelet, runtime and charts use their usual paths, and what they write is the node's own.
//!
//! Leaves no trace in this machine's own folders and settings.

use super::FOLDER;
use crate::{Error, error::Result};
use std::{fs, path::Path};
use tombolo_linux::{cgroup, mount};

/// What programs of the node may look into, and change without this machine noticing.
const COPIED: [&str; 4] = ["/etc", "/opt", "/var/lib", "/var/log"];
/// What this machine may have for a Kubernetes of its own, which the node must not find.
const FRESH: [&str; 6] = [
    "/etc/cni",
    "/opt/cni",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];
pub const IMAGES: &str = "/var/lib/containerd";
/// Where containers' mounts are to be seen by the node, and the node's by containers.
const SHARED: [&str; 2] = ["/var/lib/kubelet", PINS];
const PINS: &str = "/sys/fs/bpf";
/// The node's own control group, as a host's root is elsewhere: several nodes share this machine's hierarchies.
pub const GROUP: &str = "/run/lab/cgroup";
/// Settings of the whole machine that a kubelet changes. It finds the values that it wants, and changes nothing.
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];
/// Packages of the plugins that runtimes need put them here.
const PLUGINS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
pub const LOOPBACK: &str = "loopback";

/// Where this machine has the plugin that gives every pod its loopback device.
pub fn loopback() -> Option<std::path::PathBuf> {
    let places = PLUGINS
        .iter()
        .map(|folder| Path::new(folder).join(LOOPBACK));
    places.into_iter().find(|file| file.is_file())
}

pub fn furnish(images: &Path) -> Result<()> {
    let own = Path::new(FOLDER);
    let scratch = own.join("changes");
    let plugin = own.join(LOOPBACK);
    // Before anything hides where it is.
    if let Some(from) = loopback() {
        copy(&from, &plugin)?;
    }
    let held = own.join("images");
    fs::create_dir_all(&held).map_err(Error::file("create", &held))?;
    mount::bind(images, &held)?;
    // This process is in one beside those of pods, below the node's.
    let group = cgroup::own()?;
    fs::create_dir_all(GROUP).map_err(Error::file("create", GROUP))?;
    mount::bind(group.parent().unwrap_or(&group), GROUP)?;
    for folder in COPIED {
        if Path::new(folder).exists() {
            mount::overlay(folder, scratch.join(&folder[1..]))?;
        }
    }
    for folder in FRESH {
        mount::tmpfs_for_programs(folder)?;
    }
    // Two that lie on each other are one too many for runtimes, which take the lower for what is to be shared.
    mount::unmount_all(PINS)?;
    mount::bpffs(PINS)?;
    for folder in SHARED {
        mount::make_shared(folder)?;
    }
    fs::create_dir_all(IMAGES).map_err(Error::file("create", IMAGES))?;
    mount::bind(&held, IMAGES)?;
    let folder = Path::new("/opt/cni/bin");
    fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    if plugin.exists() {
        copy(&plugin, &folder.join(LOOPBACK))?;
    }
    let net = "/etc/cni/net.d";
    fs::create_dir_all(net).map_err(Error::file("create", net))?;
    settle(&own.join("settings"))
}

/// Copies a program; permissions come along.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(drop)
        .map_err(Error::file("write", to))
}

fn settle(folder: &Path) -> Result<()> {
    for (name, value) in SETTINGS {
        let setting = Path::new("/proc/sys").join(name);
        // Kernels differ in what they have.
        if setting.exists() {
            let file = folder.join(name);
            let parent = file.parent().expect("it is in a folder");
            fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
            fs::write(&file, value).map_err(Error::file("write", &file))?;
            mount::bind(&file, &setting)?;
        }
    }
    Ok(())
}
