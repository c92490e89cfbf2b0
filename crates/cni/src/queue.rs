//! Deletions for an agent that is away: a folder with a file for each, an attachment as JSON, which the agent works off when it starts.
//!
//! Deliberately without order: to delete is idempotent, and no container comes back under its old name.

use crate::error::Error;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};
use tombolo_model::local::Attachment;

#[cfg(test)]
mod tests;

/// More than any node has endpoints.
const LENGTH_MAX: usize = 8192;

/// Writes a deletion; the answer is its file. Once it is there it survives a crash of the node.
pub fn push(queue: &Path, attachment: &Attachment) -> Result<PathBuf, Error> {
    create_folder(queue)?;
    let file = queue.join(file_name(attachment));
    if !file.exists() && length(queue)? >= LENGTH_MAX {
        return Err(Error::QueueFull {
            path: queue.to_owned(),
            limit: LENGTH_MAX,
        });
    }
    let text = serde_json::to_vec(attachment).expect("an attachment is JSON");
    // The agent passes over names that begin with a dot.
    let draft = queue.join(format!(".{}", process::id()));
    write_durably(&draft, &text)
        .and_then(|()| fs::rename(&draft, &file))
        .and_then(|()| File::open(queue)?.sync_all())
        .map_err(|source| {
            let _ = fs::remove_file(&draft);
            failed("writing", &file, source)
        })?;
    Ok(file)
}

/// Takes a deletion back that has been done after all.
pub fn remove(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(failed("removing", file, source))
        }
        _ => Ok(()),
    }
}

/// Containers' identifiers hold no '@', so that no two attachments share a name.
fn file_name(attachment: &Attachment) -> String {
    format!("{}@{}.json", attachment.container, attachment.interface)
}

fn create_folder(queue: &Path) -> Result<(), Error> {
    fs::create_dir_all(queue).map_err(|source| failed("creating", queue, source))
}

fn length(queue: &Path) -> Result<usize, Error> {
    let entries = fs::read_dir(queue).map_err(|source| failed("reading", queue, source))?;
    Ok(entries.count())
}

fn write_durably(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File {
        operation,
        path: path.to_owned(),
        source,
    }
}
