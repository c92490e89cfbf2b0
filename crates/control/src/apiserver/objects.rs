//! Where a cluster's objects come from: Kubernetes, a folder of manifests, or watch events on standard input.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tombolo_k8s::{
    Snapshot,
    manifest::{self, FILE_LEN_MAX, is_manifest},
    watch::{self, LINE_LEN_MAX, WatchEvent},
};

use super::{ApiserverOptions, exporter::Exporter, kubernetes::Kubernetes};
use crate::{Folder, Troubles};

/// How often the folder is looked at although the kernel told of no change.
const RECHECK: Duration = Duration::from_secs(10);
/// Lines that are taken at once, if so many are there.
const LINES: usize = 512;
const READ_BYTES: usize = 256 << 10;

pub enum Objects {
    Kubernetes(Kubernetes),
    Folder(PathBuf),
    Standard,
}

impl Objects {
    pub async fn open(options: &ApiserverOptions, troubles: &Troubles) -> Result<Objects> {
        let path = options.objects.as_path();
        if path == Path::new("-") {
            return Ok(Objects::Standard);
        }
        if path == Path::new("kubernetes") {
            let client = options.kubernetes.connect().await?;
            let kubernetes = Kubernetes::new(client, options.enable_mcs_api, troubles);
            return Ok(Objects::Kubernetes(kubernetes));
        }
        if !path.is_dir() {
            bail!(
                "--objects {}: give `kubernetes`, a folder of manifests, or - for watch events on standard input",
                path.display()
            );
        }
        Ok(Objects::Folder(path.to_owned()))
    }

    pub fn name(&self) -> String {
        match self {
            Objects::Kubernetes(kubernetes) => kubernetes.server(),
            Objects::Folder(path) => path.display().to_string(),
            Objects::Standard => "standard input".into(),
        }
    }

    /// Hands over all that comes, until told to stop.
    pub async fn follow(self, exporter: Arc<Exporter>, stop: CancellationToken) -> Result<()> {
        let following = async {
            match self {
                Objects::Kubernetes(kubernetes) => kubernetes.follow(&exporter).await,
                Objects::Folder(path) => follow_folder(&path, &exporter).await,
                Objects::Standard => {
                    let input = BufReader::with_capacity(READ_BYTES, tokio::io::stdin());
                    follow_lines(input, &exporter).await
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = following => ended,
        }
    }
}

async fn follow_folder(path: &Path, exporter: &Exporter) -> Result<()> {
    let mut folder = Folder::watch(path)
        .with_context(|| format!("cannot watch {} for manifests", path.display()))?;
    let mut read = None;
    loop {
        let present = versions(path)?;
        if read.as_ref() != Some(&present) {
            exporter.replace(snapshot(path, &present)).await;
            read = Some(present);
        }
        tokio::select! {
            changed = folder.changed() => changed.context("watching the manifests")?,
            () = sleep(RECHECK) => {}
        }
    }
}

/// Which files there are, and by what it is seen that one has changed.
type Versions = Vec<(String, u64, u64, i64, i64)>;

fn versions(path: &Path) -> Result<Versions> {
    let entries =
        fs::read_dir(path).with_context(|| format!("{} can't be read", path.display()))?;
    let mut versions = Versions::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_manifest(&name) {
            continue;
        }
        // One that has gone since is told of by the next change.
        if let Ok(file) = fs::metadata(entry.path()) {
            versions.push((
                name,
                file.ino(),
                file.len(),
                file.mtime(),
                file.mtime_nsec(),
            ));
        }
    }
    versions.sort();
    Ok(versions)
}

fn snapshot(path: &Path, files: &Versions) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, _, len, ..) in files {
        if *len > FILE_LEN_MAX as u64 {
            snapshot.unreadable(name, &format!("it has more than {FILE_LEN_MAX} bytes"));
            continue;
        }
        match fs::read(path.join(name)) {
            Ok(content) => snapshot.add(name, manifest::parse(name, &content)),
            Err(error) => snapshot.unreadable(name, &error.to_string()),
        }
    }
    snapshot
}

async fn follow_lines(mut input: impl AsyncBufRead + Unpin, exporter: &Exporter) -> Result<()> {
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        let mut changes = Vec::new();
        // What is there already is taken together; nothing waits for more.
        loop {
            if !next_line(&mut input, &mut line).await? {
                exporter.change(changes).await;
                bail!("standard input has ended, and with it all news of the cluster's objects");
            }
            number += 1;
            match watch::parse_line(number, &line) {
                Ok(WatchEvent::Change(kind, event)) => changes.push((kind, event)),
                Ok(WatchEvent::Ignored) => exporter.ignore(),
                Ok(WatchEvent::Error { code, message }) => {
                    bail!("the watch has ended with {code}: {message}")
                }
                Err(reject) => exporter.refuse(reject),
            }
            if changes.len() >= LINES || !has_line(&mut input).await? {
                break;
            }
        }
        exporter.change(changes).await;
    }
}

/// False at the end. A line that is too long is read as far as it may be, and the rest of it thrown away.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let most = LINE_LEN_MAX as u64 + 2;
    let read = input.take(most).read_until(b'\n', line).await;
    if read.context("reading standard input")? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(true);
    }
    let mut rest = Vec::new();
    while line.len() > LINE_LEN_MAX && rest.last() != Some(&b'\n') {
        rest.clear();
        if input.take(most).read_until(b'\n', &mut rest).await? == 0 {
            break;
        }
    }
    Ok(true)
}

/// Whether a whole line can be taken without waiting for the one who writes.
async fn has_line(input: &mut (impl AsyncBufRead + Unpin)) -> Result<bool> {
    // What is buffered is looked at, and nothing is read: the future of an empty buffer would wait.
    let buffered = std::future::poll_fn(|context| {
        use std::{pin::Pin, task::Poll};
        match Pin::new(&mut *input).poll_fill_buf(context) {
            Poll::Ready(Ok(bytes)) => Poll::Ready(Ok(bytes.contains(&b'\n'))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Ready(Ok(false)),
        }
    });
    buffered.await.context("reading standard input")
}
