//! Network namespaces.
use crate::Result;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
/// A network namespace, held open.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
}
impl Netns {
    /// Opens the namespace at `path`.
    pub fn open(_path: impl AsRef<Path>) -> Result<Netns> {
        todo!()
    }
    /// The calling thread's namespace.
    pub fn current() -> Result<Netns> {
        todo!()
    }
    /// Opens `/run/netns/NAME`.
    pub fn named(_name: &str) -> Result<Netns> {
        todo!()
    }
    /// Creates, like `ip netns add`, with lo up.
    pub fn create(_name: &str) -> Result<Netns> {
        todo!()
    }
    /// Deletes, NotFound is Ok.
    pub fn delete(_name: &str) -> Result<()> {
        todo!()
    }
    /// Where the named one is.
    pub fn path(_name: &str) -> PathBuf {
        todo!()
    }
    /// Whether it exists.
    pub fn exists(_name: &str) -> bool {
        todo!()
    }
    /// Its inode number.
    pub fn cookie_or_inode(&self) -> Result<u64> {
        todo!()
    }
    /// Runs `f` in it, on a thread of its own.
    pub fn run<T: Send>(&self, _f: impl FnOnce() -> T + Send) -> Result<T> {
        todo!()
    }
}
impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
