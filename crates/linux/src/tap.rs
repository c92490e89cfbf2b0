//! TAP devices: Ethernet frames of the kernel's, by read and write.
//!
//! Offers the kernel no offloads: checksums are complete and no frame is larger than the device's MTU allows.

use crate::{Error, Result, link::check_name};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    path::Path,
};

const CLONE_DEVICE: &str = "/dev/net/tun";

/// A device that lasts as long as this.
#[derive(Debug)]
pub struct Tap {
    file: File,
}

impl Tap {
    /// Makes a device of this name, down, in the calling thread's network namespace.
    pub fn open(name: &str) -> Result<Tap> {
        check_name(name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(CLONE_DEVICE)
            .map_err(|error| Error::at("open", Path::new(CLONE_DEVICE), error))?;
        let mut request = libc::ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_flags: (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL) as libc::c_short,
            },
        };
        // A name that was checked leaves room for the zero at its end.
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        // SAFETY: the descriptor is open for the length of the call and `request` is a whole, exclusively borrowed `ifreq`.
        match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
            -1 => Err(Error::system(
                "create",
                format!("TAP device {name}"),
                io::Error::last_os_error(),
            )),
            _ => Ok(Tap { file }),
        }
    }

    /// Waits for a frame that leaves by the device; what of it exceeds `frame` is lost.
    pub fn recv(&self, frame: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(frame)
    }

    /// Has a frame come in by the device, whole or not at all.
    pub fn send(&self, frame: &[u8]) -> io::Result<usize> {
        (&self.file).write(frame)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests;
