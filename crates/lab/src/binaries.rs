//! Programs of others that clusters are made of: taken from PATH, else from the user's cache, else made there.
//!
//! Made by Go, of modules that `crates/lab/modules` pins down to checksums; or, for those who ask for it, taken from the
//! projects' own releases and held against the checksums that are published beside them.

mod build;
mod download;
mod list;
mod packages;
mod version;

pub use download::Mirror;
pub use list::{ALL, Binary};
pub use packages::packaged;

use crate::{error, progress::Progress};
use serde::Serialize;
use std::{
    env,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};
use version::Check;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no home folder to keep programs in; set HOME")]
    NoHome,
    #[error("cannot {operation} {}", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{name} {series} is neither on PATH nor in {}{passed}, and cannot be built: {go}; install Go 1.24 or newer, or have \
         it fetched by --download, or put {name} {series} into one of both", folder.display()
    )]
    NoGo {
        name: &'static str,
        series: &'static str,
        folder: PathBuf,
        go: String,
        passed: Passed,
    },
    #[error(
        "{name} is not on PATH; install the Debian package {package}, or run `cargo xtask setup`"
    )]
    NoPackage {
        name: &'static str,
        package: &'static str,
    },
    #[error("{} is {is}; a lab needs {name} {wanted} or newer", path.display())]
    Old {
        path: PathBuf,
        name: &'static str,
        is: String,
        wanted: &'static str,
    },
    #[error(
        "Go could not build {name} {version}; is the network there, and room on the disk? Its last words:\n{said}"
    )]
    Build {
        name: &'static str,
        version: &'static str,
        said: String,
    },
    #[error(
        "{url} could not be fetched: {said}; is the network there? Without --download Go builds it instead"
    )]
    Fetch { url: String, said: String },
    #[error(
        "{url} has the SHA-256 {is}, but {beside} says {wanted}: it was broken or changed on the way, and was thrown away"
    )]
    Checksum {
        url: String,
        beside: String,
        is: String,
        wanted: String,
    },
    #[error("{beside} has no SHA-256 of {file}; is it a page of a proxy?")]
    NoChecksum { beside: String, file: String },
    #[error("{url} could not be unpacked: {said}")]
    Unpack { url: String, said: String },
    #[error("{name} has no release for {architecture}; without --download Go builds it")]
    NoRelease {
        name: &'static str,
        architecture: &'static str,
    },
    #[error("{} was made to be {version}, but it {problem}", path.display())]
    Made {
        path: PathBuf,
        version: &'static str,
        problem: version::Problem,
    },
}

impl Error {
    fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::File {
            operation,
            path,
            source,
        }
    }
}

type Result<T, E = Error> = std::result::Result<T, E>;

/// Where a program was had from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Path,
    Cache,
    Build,
    Download,
}

/// A program that can be started.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub name: &'static str,
    pub version: String,
    pub source: Source,
    pub path: PathBuf,
}

/// Which versions will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Any of the series.
    Series,
    /// The very version that is built, from the cache alone: two machines then compare with the same.
    Exact,
}

/// Where a program comes from that is neither on PATH nor in the cache.
#[derive(Clone, Debug, Default)]
pub enum Maker {
    #[default]
    Go,
    Release(Mirror),
}

/// A program of the right name that will not do, for the errors that come after it.
#[derive(Debug)]
pub struct Passed(Option<Box<(PathBuf, version::Problem)>>);

impl std::fmt::Display for Passed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_deref() {
            Some((path, problem)) => write!(out, " ({} {problem})", path.display()),
            None => Ok(()),
        }
    }
}

/// Gives each of the wanted, in their order. Says what it makes, and why.
pub fn provide(
    wanted: &[&'static Binary],
    demand: Demand,
    maker: &Maker,
) -> error::Result<Vec<Found>> {
    let folder = folder()?;
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let mut lock = None;
    let mut found = Vec::new();
    for binary in wanted {
        let there = look(binary, &folder, demand);
        let passed = match there {
            Ok(there) => {
                found.push(there);
                continue;
            }
            Err(passed) => passed,
        };
        if lock.is_none() {
            lock = Some(take_turn(&folder)?);
        }
        // Whoever had the turn before may have made it.
        found.push(match look(binary, &folder, demand) {
            Ok(there) => there,
            Err(_) => make(binary, &folder, passed, maker)?,
        });
    }
    Ok(found)
}

/// The place in the user's cache, which all checkouts share.
fn folder() -> Result<PathBuf> {
    let home = env::home_dir().filter(|home| home.is_absolute());
    Ok(home.ok_or(Error::NoHome)?.join(".cache/tombolo/bin"))
}

/// What is there already, or why what is there will not do.
fn look(binary: &'static Binary, folder: &Path, demand: Demand) -> Result<Found, Passed> {
    let on_path = match demand {
        Demand::Series => on_path(binary.name).filter(|path| !path.starts_with(folder)),
        Demand::Exact => None,
    };
    let kept = Some(folder.join(binary.name)).filter(|path| path.is_file());
    let mut passed = None;
    for (source, path) in [(Source::Path, on_path), (Source::Cache, kept)] {
        let Some(path) = path else { continue };
        match version::check(binary, &path, demand) {
            Check::Good(version) => {
                return Ok(Found {
                    name: binary.name,
                    version,
                    source,
                    path,
                });
            }
            Check::Bad(problem) => {
                passed = Some(Box::new((path, problem)));
            }
        }
    }
    Err(Passed(passed))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// One process makes programs at a time; others wait, then find what it has made.
fn take_turn(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            eprintln!(
                "waiting for another process, which makes programs in {}",
                folder.display()
            );
        }
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
    }
    file.lock().map_err(Error::file("lock", &path))?;
    Ok(file)
}

fn make(
    binary: &'static Binary,
    folder: &Path,
    passed: Passed,
    maker: &Maker,
) -> error::Result<Found> {
    let Binary {
        name,
        version,
        purpose,
        ..
    } = binary;
    let reason = match passed.0.as_deref() {
        Some((path, problem)) => format!("{} {problem}", path.display()),
        None => format!("it is not in {}", folder.display()),
    };
    let progress = Progress::start();
    let (source, path) = match maker {
        Maker::Go => {
            eprintln!(
                "{name} {version}, {purpose}: {reason}, so Go builds it, once, {} on two cores",
                binary.time
            );
            let path = progress.step(&format!("building {name} {version}"), || {
                Ok(build::build(binary, folder, passed)?)
            })?;
            (Source::Build, path)
        }
        Maker::Release(mirror) => {
            let url = mirror.url(binary)?;
            eprintln!("{name} {version}, {purpose}: {reason}, so it is fetched, once, from {url}");
            let path = progress.step(&format!("fetching {name} {version}"), || {
                Ok(download::download(binary, folder, mirror)?)
            })?;
            (Source::Download, path)
        }
    };
    match version::check(binary, &path, Demand::Exact) {
        Check::Good(version) => Ok(Found {
            name,
            version,
            source,
            path,
        }),
        Check::Bad(problem) => Err(Error::Made {
            path,
            version,
            problem,
        }
        .into()),
    }
}
