//! Deletions that the plugin left while no agent was there, each a file of its own.

use crate::node::{Command, ask};
use anyhow::{Context as _, Result};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tombolo_control::Folder;
use tombolo_model::local::{Attachment, Reply, Request};

const FILE_BYTES_MAX: u64 = 4096;

pub struct Queue {
    path: PathBuf,
    folder: Folder,
}

impl Queue {
    pub fn open(path: &Path) -> Result<Queue> {
        let what = || {
            format!(
                "cannot watch the queue of deletions {}: give --delete-queue a folder that can be made",
                path.display()
            )
        };
        fs::create_dir_all(path).with_context(what)?;
        let folder = Folder::watch(path).with_context(what)?;
        Ok(Queue {
            path: path.to_owned(),
            folder,
        })
    }

    /// Works off what is there and what comes, until told to stop.
    pub async fn follow(
        mut self,
        commands: mpsc::Sender<Command>,
        stop: CancellationToken,
    ) -> Result<()> {
        loop {
            for file in self.waiting()? {
                if stop.is_cancelled() {
                    return Ok(());
                }
                self.work_off(&file, &commands).await;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = self.folder.changed() => changed.context("watching the queue of deletions")?,
            }
        }
    }

    /// The files there are. A folder that somebody removed is made again: the plugin needs it too.
    fn waiting(&mut self) -> Result<Vec<PathBuf>> {
        match self.files() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.path.display(), "the queue of deletions was removed, it is made again");
                *self = Queue::open(&self.path)?;
                Ok(Vec::new())
            }
            files => files.with_context(|| format!("reading {}", self.path.display())),
        }
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries: Vec<_> = fs::read_dir(&self.path)?.collect::<io::Result<_>>()?;
        let draft = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
        let mut files: Vec<PathBuf> = entries
            .into_iter()
            .filter(|entry| !draft(&entry.file_name()))
            .map(|entry| entry.path())
            .collect();
        files.sort();
        Ok(files)
    }

    async fn work_off(&self, file: &Path, commands: &mpsc::Sender<Command>) {
        match read(file) {
            Ok(attachment) => match ask(commands, Request::EndpointDelete { attachment }).await {
                Some(Reply::Done) => tracing::info!(file = %file.display(), "queued deletion done"),
                reply => {
                    tracing::warn!(file = %file.display(), ?reply, "queued deletion not done, it stays");
                    return;
                }
            },
            // The plugin takes back what it has deleted after all.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => tracing::warn!(file = %file.display(), %error, "not a deletion, removed"),
        }
        if let Err(error) = fs::remove_file(file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %file.display(), %error, "a queued deletion can't be removed");
        }
    }
}

fn read(file: &Path) -> io::Result<Attachment> {
    if fs::metadata(file)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

#[cfg(test)]
mod tests;
