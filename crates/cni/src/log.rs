//! A line for each call in a file of the administrator's choice, since runtimes keep little of what a plugin says.
//!
//! Off unless the configuration names a file, and never a reason for a call to fail.

use crate::{call::Call, config::Config, error::Error};
use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

pub fn write(call: &Call, config: &Config, error: Option<&Error>) {
    let Some(path) = &config.log else { return };
    if let Err(problem) = append(path, call, error) {
        eprintln!("tombolo-cni: writing {}: {problem}", path.display());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time of a call is for people to read, nothing is decided by it"
)]
/// One write a line, so that lines of plugins that run at once don't mix.
fn append(path: &Path, call: &Call, error: Option<&Error>) -> io::Result<()> {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let outcome = match error {
        None => "done".to_owned(),
        Some(error) => format!("error {}: {error}", error.code()),
    };
    let line = format!(
        "{}.{:03} {} {}/{} {outcome}\n",
        time.as_secs(),
        time.subsec_millis(),
        call.command,
        call.attachment.container,
        call.attachment.interface,
    );
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?
        .write_all(line.as_bytes())
}
