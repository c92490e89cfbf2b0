//! What a runtime has made of the lab's own images, kept for the next node, and for the next lab of the same build.
//!
//! One process at a time makes, gives and drops what is kept. A few builds are kept, and none is needed.

use crate::{Error, error::Result};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};
use tombolo_linux::lock::Lock;

const FOLDER: &str = "/var/cache/tombolo-lab/images";
/// Such as one for people and one for tests.
const BUILDS_MAX: usize = 2;
const DRAFT: &str = "draft";
/// Another lab may be making images just now.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

pub struct Kept {
    folder: PathBuf,
    key: String,
    _lock: Lock,
}

impl Kept {
    /// Of images that were made of these files.
    pub fn open(files: &[PathBuf]) -> Result<Kept> {
        Kept::open_in(Path::new(FOLDER), key(files)?)
    }

    fn open_in(folder: &Path, key: String) -> Result<Kept> {
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        Ok(Kept {
            _lock: lock(&folder.join("lock"))?,
            folder: folder.to_owned(),
            key,
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.key)
    }

    pub fn is_there(&self) -> bool {
        self.path().is_dir()
    }

    /// Gives them to a runtime that does not run.
    pub fn give(&self, to: &Path) -> Result<()> {
        let path = self.path();
        self.mark_used().map_err(Error::file("mark", &path))?;
        share(&path, to)
    }

    fn mark_used(&self) -> io::Result<()> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        Ok(utimensat(CWD, self.path(), &times, AtFlags::empty())?)
    }

    /// Keeps what a runtime has that does not run, and drops those that were used longest ago.
    pub fn put(&self, from: &Path) -> Result<()> {
        let draft = self.folder.join(DRAFT);
        remove(&draft)?;
        fs::create_dir(&draft).map_err(Error::file("create", &draft))?;
        share(from, &draft)?;
        fs::rename(&draft, self.path()).map_err(Error::file("name", &draft))?;
        let mut builds = self.builds()?;
        builds.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut old = builds.into_iter().skip(BUILDS_MAX);
        old.try_for_each(|(_, path)| remove(&path))
    }

    fn builds(&self) -> Result<Vec<(SystemTime, PathBuf)>> {
        let list = || {
            let mut builds = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let entry = entry?;
                let status = entry.metadata()?;
                if status.is_dir() {
                    builds.push((status.modified()?, entry.path()));
                }
            }
            Ok(builds)
        };
        list().map_err(Error::file("list", &self.folder))
    }
}

/// The same files as long as none of them was written anew.
fn key(files: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let status = fs::metadata(file).map_err(Error::file("look at", file))?;
        let numbers = [status.dev(), status.ino(), status.len()];
        let times = [
            status.mtime(),
            status.mtime_nsec(),
            status.ctime(),
            status.ctime_nsec(),
        ];
        (file, numbers, times).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn lock(path: &Path) -> Result<Lock> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(lock) = Lock::acquire(path)? {
            return Ok(lock);
        }
        if Instant::now() > deadline {
            let source = ErrorKind::TimedOut.into();
            return Err(Error::file("get the lock", path)(source));
        }
        thread::sleep(POLL);
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::file("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Files of images are never written to, so that all may have the same; what is written to is copied.
fn share(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).map_err(Error::file("list", from))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("list", from))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let fail = || Error::file("write", &copy);
        let status = entry.metadata().map_err(fail())?;
        let is_database = path.extension().is_some_and(|kind| kind == "db");
        if status.is_dir() {
            fs::create_dir_all(&copy).map_err(fail())?;
            fs::set_permissions(&copy, status.permissions()).map_err(fail())?;
            share(&path, &copy)?;
        } else if status.is_symlink() {
            let target = fs::read_link(&path).map_err(fail())?;
            symlink(target, &copy).map_err(fail())?;
        } else if is_database {
            fs::copy(&path, &copy).map_err(fail())?;
        } else if status.is_file() {
            match fs::hard_link(&path, &copy) {
                Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                    fs::copy(&path, &copy).map(drop).map_err(fail())?;
                }
                linked => linked.map_err(fail())?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
