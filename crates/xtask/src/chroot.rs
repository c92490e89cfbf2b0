//! A plain chroot, such as one made by debootstrap, has a root that is no mount point: there no process can have mounts of its
//! own, and no container runtime can start a container. Before what needs either, the root is made one, for us alone.

use std::fs;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount_change, move_mount,
    open_tree, unmount,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::process::is_root;

/// Nothing to do if the root is a mount point, or without the right to change it.
pub fn leave() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .context("reading what is mounted; is /proc mounted?")?;
    if !is_root() || has_root(&mounts) {
        return Ok(());
    }
    eprintln!("the root is no mount point (a chroot): making it one, for this command alone");
    rebase().context("cannot make the root a mount point; bind its folder onto itself before chroot: `mount --bind ROOT ROOT`")
}

/// The fifth field of a line is where the mount is, as this process sees it.
fn has_root(mounts: &str) -> bool {
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some("/"))
}

/// In a mount namespace of our own, steps out of the chroot, puts a copy of its tree in its place as a mount, and turns into
/// the root that way which lasts for whoever enters the namespace.
fn rebase() -> rustix::io::Result<()> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let work = rustix::process::getcwd(Vec::new())?;
    #[expect(
        deprecated,
        reason = "unsafe only with other flags; we are the only thread yet"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNS)?;
    // Opened only now: an earlier descriptor would be of the namespace that was left.
    let root = rustix::fs::open("/", folder, Mode::empty())?;
    let namespace = rustix::fs::open("/proc/self/ns/mnt", OFlags::CLOEXEC, Mode::empty())?;
    // To enter a mount namespace is to get its true root.
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let copy = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&root, "", copy)?;
    let by_descriptor =
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &root, "", by_descriptor)?;
    rustix::process::fchdir(&tree)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir(work.as_c_str())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_is_mounted_is_found() {
        let proc = "27 1 0:25 / /proc rw,relatime - proc proc rw";
        let root = "1 0 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw";
        let below = "1 0 254:0 /some/folder / rw - ext4 /dev/vda rw";
        assert!(!has_root(proc));
        assert!(has_root(&format!("{proc}\n{root}")));
        assert!(has_root(below));
    }
}
