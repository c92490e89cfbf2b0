//! Mounts of the calling thread's mount namespace.

use crate::{Error, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::{
    ffi::{CStr, CString, OsString},
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;
const TABLE: &str = "/proc/thread-self/mountinfo";

/// What is for data alone.
const DATA: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// Mounts a new, empty bpffs on the folder, over whatever is there; makes the folder if need be.
pub fn bpffs(dir: impl AsRef<Path>) -> Result<()> {
    mount("bpf", dir.as_ref(), DATA, c"mode=0700")
}

/// Mounts a new, empty tmpfs on the folder, over whatever is there; makes the folder if need be.
pub fn tmpfs(dir: impl AsRef<Path>) -> Result<()> {
    mount("tmpfs", dir.as_ref(), DATA, c"mode=0755")
}

/// As `tmpfs`, but programs in it can be started.
pub fn tmpfs_for_programs(dir: impl AsRef<Path>) -> Result<()> {
    mount("tmpfs", dir.as_ref(), MountFlags::NODEV, c"mode=0755")
}

/// Shows the folder as it is, and keeps what is changed in it in `scratch`, which must be on a tmpfs or a disk.
pub fn overlay(dir: impl AsRef<Path>, scratch: impl AsRef<Path>) -> Result<()> {
    let (dir, scratch) = (dir.as_ref(), scratch.as_ref());
    let [upper, work] = ["upper", "work"].map(|name| scratch.join(name));
    for folder in [&upper, &work] {
        fs::create_dir_all(folder).map_err(|error| Error::at("create", folder, error))?;
    }
    let mut options = b"lowerdir=".to_vec();
    options.extend_from_slice(dir.as_os_str().as_bytes());
    options.extend_from_slice(b",upperdir=");
    options.extend_from_slice(upper.as_os_str().as_bytes());
    options.extend_from_slice(b",workdir=");
    options.extend_from_slice(work.as_os_str().as_bytes());
    let options = CString::new(options);
    let options = options.map_err(|error| Error::at("mount", dir, std::io::Error::from(error)))?;
    mount("overlay", dir, MountFlags::empty(), &options)
}

/// Shows `source`, a file or a folder, at `target` too, which must exist and be of the same sort.
pub fn bind(source: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<()> {
    let target = target.as_ref();
    rustix::mount::mount_bind(source.as_ref(), target)
        .map_err(|error| Error::at("bind mount", target, error))
}

/// Keeps mounts made at and below a mount point from spreading to other namespaces, and theirs from coming here.
pub fn make_private(dir: impl AsRef<Path>) -> Result<()> {
    propagate(dir.as_ref(), MountPropagationFlags::PRIVATE)
}

/// Lets mounts made at and below a mount point spread to namespaces that are copied from this one.
pub fn make_shared(dir: impl AsRef<Path>) -> Result<()> {
    propagate(dir.as_ref(), MountPropagationFlags::SHARED)
}

/// Detaches every mount at and below the folder, however many lie on each other. None there is fine.
pub fn unmount_all(dir: impl AsRef<Path>) -> Result<()> {
    let dir = dir.as_ref();
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    // Listed parents first: the reverse order takes the topmost first.
    for point in mounts()?
        .iter()
        .rev()
        .filter(|point| point.starts_with(&dir))
    {
        match rustix::mount::unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Gone already, together with one that it was propagated from.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(Error::at("unmount", point, error)),
        }
    }
    Ok(())
}

/// Whether the folder lies on a bpffs.
pub fn is_bpffs(dir: impl AsRef<Path>) -> bool {
    // The field is signed or not as the machine has it; the magic is 32 bits of it.
    rustix::fs::statfs(dir.as_ref()).is_ok_and(|status| status.f_type as u32 == BPF_FS_MAGIC)
}

/// Where something is mounted, in the order of mounting; a place appears as often as mounts lie there.
pub fn mounts() -> Result<Vec<PathBuf>> {
    let table = fs::read(TABLE).map_err(|error| Error::at("read", Path::new(TABLE), error))?;
    Ok(table
        .split(|byte| *byte == b'\n')
        .filter_map(mount_point)
        .collect())
}

/// The fifth field of a line of the table, in which white space and backslashes are octal.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let mut field = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::with_capacity(field.len());
    while let [first, rest @ ..] = field {
        match (first, rest) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..]) => {
                path.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                field = rest;
            }
            _ => {
                path.push(*first);
                field = rest;
            }
        }
    }
    Some(OsString::from_vec(path).into())
}

fn mount(kind: &str, dir: &Path, flags: MountFlags, options: &CStr) -> Result<()> {
    fs::create_dir_all(dir).map_err(|error| Error::at("create", dir, error))?;
    rustix::mount::mount(kind, dir, kind, flags, options)
        .map_err(|error| Error::at("mount", dir, error))
}

fn propagate(dir: &Path, flags: MountPropagationFlags) -> Result<()> {
    rustix::mount::mount_change(dir, flags | MountPropagationFlags::REC)
        .map_err(|error| Error::at("change the propagation of", dir, error))
}

#[cfg(test)]
mod tests;
