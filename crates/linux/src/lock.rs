//! A lock file that one process holds at a time and that frees itself when its holder dies.

use crate::{Error, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
};

/// Held until dropped or until the process ends. The file stays, only the lock goes.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock and writes the pid of this process into the file; `None` when another holds it.
    pub fn acquire(path: impl AsRef<Path>) -> Result<Option<Lock>> {
        let path = path.as_ref();
        let fail = |error: io::Error| Error::at("lock", path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail)?;
        let mut whole = whole_file();
        match control(&file, libc::F_OFD_SETLK, &mut whole) {
            Ok(()) => {}
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    || error.raw_os_error() == Some(libc::EACCES) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(fail(error)),
        }
        file.set_len(0).map_err(fail)?;
        writeln!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(Some(Lock { _file: file }))
    }
}

/// The process that holds the lock now. Asking takes no lock, so it never gets in the way of `acquire`.
pub fn holder(path: impl AsRef<Path>) -> Option<u32> {
    let file = File::open(&path).ok()?;
    let mut whole = whole_file();
    control(&file, libc::F_OFD_GETLK, &mut whole).ok()?;
    if whole.l_type == libc::F_UNLCK as libc::c_short {
        return None;
    }
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Locks of the open file description end with it; those of the process would end with any other descriptor of the file.
fn control(file: &File, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call and `lock` is a whole, exclusively borrowed `flock`.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests;
