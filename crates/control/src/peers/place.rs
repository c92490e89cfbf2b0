//! Where the files are that say whom to read: a folder with one for each peer, or one file for our own cluster.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tombolo_clustermesh::config::{self, FILE_LEN_MAX};

pub enum Place {
    Folder { own: String, path: PathBuf },
    File { cluster: String, path: PathBuf },
}

/// What is in a file, or why it can't be read.
type Content = Result<Vec<u8>, String>;

impl Place {
    /// What must be watched to hear of changes. Certificates with relative paths are looked for here.
    pub fn folder(&self) -> &Path {
        match self {
            Place::Folder { path, .. } => path,
            Place::File { path, .. } => match path.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            },
        }
    }

    /// The file that is about a cluster.
    pub fn file(&self, cluster: &str) -> PathBuf {
        match self {
            Place::Folder { path, .. } => path.join(cluster),
            Place::File { path, .. } => path.clone(),
        }
    }

    pub fn read(&self) -> Result<config::Peers> {
        match self {
            Place::Folder { own, path } => Ok(config::Peers::read(own, read_folder(path)?)),
            Place::File { cluster, path } => {
                let content = read_beginning(path).map_err(|error| error.to_string());
                // Beside peers' files there are others; this one can be about nothing else.
                let content = content.and_then(|content| match config::Peer::read(&content) {
                    Ok(None) => Err("it says nothing of a store, `endpoints:` is missing".into()),
                    _ => Ok(content),
                });
                Ok(config::Peers::read("", [(cluster.clone(), content)]))
            }
        }
    }
}

/// Names and contents; what goes beyond what a file may have is cut off.
fn read_folder(path: &Path) -> Result<Vec<(String, Content)>> {
    let entries = fs::read_dir(path)
        .with_context(|| format!("the folder of peers {} can't be read", path.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        // Links are followed: mounts of Kubernetes consist of them.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        let content = read_beginning(&path).map_err(|error| error.to_string());
        files.push((name.to_string_lossy().into_owned(), content));
    }
    Ok(files)
}

fn read_beginning(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let most = FILE_LEN_MAX as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut content)?;
    Ok(content)
}
