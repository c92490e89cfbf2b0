//! The log of a node's agent, once or as it grows.

use crate::{Error, error::Result};
use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    thread,
    time::Duration,
};

const POLL: Duration = Duration::from_millis(100);

pub fn show(log: &Path, follow: bool) -> Result<()> {
    let mut file = File::open(log).map_err(Error::file("open", log))?;
    let mut out = io::stdout().lock();
    loop {
        match io::copy(&mut file, &mut out).and_then(|_| out.flush()) {
            Ok(()) if follow => thread::sleep(POLL),
            Ok(()) => return Ok(()),
            // Whoever read has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Error::file("read", log)(error)),
        }
    }
}
