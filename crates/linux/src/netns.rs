//! Network namespaces: open, make, remove, and run code in them.
//!
//! The calling thread never changes its namespace; work elsewhere happens on a thread that ends with it.

use crate::{Error, Result, netlink::Netlink};
use rustix::{
    fs::{FlockOperation, flock},
    mount::{MountPropagationFlags, UnmountFlags},
    thread::{LinkNameSpaceType, UnshareFlags},
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    net::{Ipv4Addr, UdpSocket},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
};

/// Where `ip netns` keeps named namespaces too.
const FOLDER: &str = "/run/netns";
const NAME_LENGTH_MAX: usize = 255;
const OWN: &str = "/proc/thread-self/ns/net";

/// Of `asm-generic/socket.h`.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// What programs of the kernel know the calling thread's namespace by.
pub fn own_cookie() -> Result<u64> {
    let failed = |error| Error::system("read", "cookie of the network namespace", error);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the socket is open for the length of the call, and both values outlive it and have the sizes that are said.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(cookie),
        _ => Err(failed(io::Error::last_os_error())),
    }
}

/// A network namespace, held open.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
}

impl Netns {
    /// Opens the namespace at `path`, such as `/proc/PID/ns/net` or the path a container runtime gives.
    pub fn open(path: impl AsRef<Path>) -> Result<Netns> {
        let path = path.as_ref();
        let file =
            File::open(path).map_err(|error| Error::at("open network namespace", path, error))?;
        Ok(Netns { fd: file.into() })
    }

    /// The calling thread's namespace.
    pub fn current() -> Result<Netns> {
        Netns::open(OWN)
    }

    /// Opens the namespace named `name`.
    pub fn named(name: &str) -> Result<Netns> {
        check_name(name)?;
        Netns::open(Netns::path(name))
    }

    /// Makes a namespace with its loopback device up, kept under `/run/netns` until deleted, as `ip netns add` does.
    pub fn create(name: &str) -> Result<Netns> {
        check_name(name)?;
        prepare_folder()?;
        let path = Netns::path(name);
        let fail = |error: io::Error| Error::at("create network namespace", &path, error);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(fail)?;
        let made = elsewhere(|| {
            // SAFETY: a new network namespace changes no memory and no descriptor table that others rely on.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
            rustix::mount::mount_bind(OWN, &path)?;
            Ok(())
        });
        let ready = made.map_err(fail).and_then(|()| {
            let netns = Netns::open(&path)?;
            let netlink = Netlink::open_in(&netns)?;
            // The loopback device has index 1 in each namespace.
            netlink.set_up(1)?;
            Ok(netns)
        });
        ready.inspect_err(|_| drop(Netns::delete(name)))
    }

    /// Removes the name; the namespace goes when nothing else holds it. No such name is fine.
    pub fn delete(name: &str) -> Result<()> {
        check_name(name)?;
        let path = Netns::path(name);
        let fail = |error: io::Error| Error::at("delete network namespace", &path, error);
        match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
            // EINVAL: a file left by a creation that was cut short, with nothing mounted on it.
            Ok(()) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(fail(error.into())),
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail(error)),
            _ => Ok(()),
        }
    }

    /// Where a namespace of this name is kept.
    pub fn path(name: &str) -> PathBuf {
        Path::new(FOLDER).join(name)
    }

    /// Whether there is a namespace of this name.
    pub fn exists(name: &str) -> bool {
        Netns::path(name).exists()
    }

    /// The inode number, which no two namespaces that exist share.
    pub fn cookie_or_inode(&self) -> Result<u64> {
        let status = rustix::fs::fstat(&self.fd)
            .map_err(|error| Error::system("examine", "network namespace", error))?;
        Ok(status.st_ino)
    }

    /// Runs `f` in this namespace on a thread of its own and returns what it returned.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        elsewhere(|| {
            rustix::thread::move_into_link_name_space(
                self.as_fd(),
                Some(LinkNameSpaceType::Network),
            )?;
            Ok(f())
        })
        .map_err(|error| Error::system("enter", "network namespace", error))
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Runs `f` on a fresh thread, so that what it does to its thread ends with it.
fn elsewhere<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, f)?;
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn check_name(name: &str) -> Result<()> {
    let bad = name.is_empty() || name.len() > NAME_LENGTH_MAX || name == "." || name == "..";
    if bad || name.contains(['/', '\0', ' ']) {
        return Err(Error::Name {
            what: "network namespace",
            name: name.to_owned(),
            length_max: NAME_LENGTH_MAX,
        });
    }
    Ok(())
}

/// Makes the folder a shared mount, so that names made here are seen, and their removal too, in other mount namespaces.
fn prepare_folder() -> Result<()> {
    let folder = Path::new(FOLDER);
    let fail = |error: io::Error| Error::at("prepare", folder, error);
    fs::create_dir_all(folder).map_err(fail)?;
    // Two at once would each bind the folder, and one would hide the other's names; `ip netns` takes this lock as well.
    let lock = File::open(folder).map_err(fail)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| fail(error.into()))?;
    let share = || {
        rustix::mount::mount_change(
            folder,
            MountPropagationFlags::SHARED | MountPropagationFlags::REC,
        )
    };
    match share() {
        Err(rustix::io::Errno::INVAL) => {
            rustix::mount::mount_bind_recursive(folder, folder)
                .map_err(|error| fail(error.into()))?;
            share().map_err(|error| fail(error.into()))
        }
        result => result.map_err(|error| fail(error.into())),
    }
}

#[cfg(test)]
mod tests;
