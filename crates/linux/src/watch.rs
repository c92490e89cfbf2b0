//! Changes.
use crate::{Result, netns::Netns};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
/// A non-blocking socket.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
}
/// What changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub neighbours: bool,
    pub links: bool,
    pub routes: bool,
}
impl Watch {
    pub fn open() -> Result<Watch> {
        todo!()
    }
    pub fn open_in(_netns: &Netns) -> Result<Watch> {
        todo!()
    }
    pub fn drain(&mut self) -> Result<Seen> {
        todo!()
    }
}
impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
