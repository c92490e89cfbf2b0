//! The files of an image, or of a part of it.

use super::tar::Writer;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

#[derive(Debug, Default)]
pub struct Layer {
    /// By path, without the first slash.
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Folder {
        mode: u32,
    },
    Text(&'static str),
    /// A program of this machine.
    Program(PathBuf),
    Link(String),
}

impl Layer {
    pub fn folder(mut self, path: &str, mode: u32) -> Layer {
        self.put(path, Entry::Folder { mode });
        self
    }

    pub fn text(mut self, path: &str, text: &'static str) -> Layer {
        self.put(path, Entry::Text(text));
        self
    }

    pub fn program(mut self, path: &str, from: &Path) -> Layer {
        self.put(path, Entry::Program(from.to_owned()));
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Layer {
        self.put(path, Entry::Link(target.to_owned()));
        self
    }

    /// The folders that lead there come along.
    fn put(&mut self, path: &str, entry: Entry) {
        let path = path.trim_start_matches('/');
        let ends = path.match_indices('/').map(|(end, _)| &path[..end]);
        for folder in ends {
            let usual = Entry::Folder { mode: 0o755 };
            self.entries.entry(folder.to_owned()).or_insert(usual);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// The same files give the same bytes.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut archive = Writer::new(out);
        for (path, entry) in &self.entries {
            match entry {
                Entry::Folder { mode } => archive.folder(path, *mode)?,
                Entry::Text(text) => archive.file(path, 0o644, text.as_bytes())?,
                Entry::Link(target) => archive.link(path, target)?,
                Entry::Program(from) => {
                    let file = File::open(from).map_err(|error| {
                        io::Error::new(error.kind(), format!("{}: {error}", from.display()))
                    })?;
                    archive.copy(path, 0o755, file.metadata()?.len(), file)?;
                }
            }
        }
        archive.finish().map(drop)
    }
}
