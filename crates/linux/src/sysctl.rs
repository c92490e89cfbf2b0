//! Kernel parameters under `/proc/sys`.
//!
//! Those under `net` belong to the network namespace of the calling thread: go there with `Netns::run`.

use crate::{Error, Result};
use std::{fs, io::ErrorKind, path::Path};

/// Where a container has its node's parameters once more, since runtimes make `/proc/sys` read-only.
const IN_CONTAINER: &str = "/host/proc/sys";

/// Reads a parameter, such as `net/ipv4/conf/eth0/rp_filter`.
pub fn get(path: &str) -> Result<String> {
    let file = Path::new("/proc/sys").join(path);
    let value = fs::read_to_string(&file).map_err(|error| Error::at("read", &file, error))?;
    Ok(value.trim_end().to_owned())
}

/// Writes a parameter; writes nothing if it has that value already, so that a read-only `/proc/sys` is no hindrance.
pub fn set(path: &str, value: &str) -> Result<()> {
    if get(path)? == value {
        return Ok(());
    }
    let file = Path::new("/proc/sys").join(path);
    let written = match fs::write(&file, value) {
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
            fs::write(Path::new(IN_CONTAINER).join(path), value).map_err(|_| error)
        }
        written => written,
    };
    written.map_err(|error| Error::at("write", &file, error))
}

#[cfg(test)]
mod tests;
