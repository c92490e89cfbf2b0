//! What can go wrong between us and the kernel: the operation, its subject, and the kernel's reason.

use std::{io, path::Path};

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on the host that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call or file operation failed.
    #[error("cannot {operation} {subject}")]
    System {
        operation: &'static str,
        subject: String,
        #[source]
        source: io::Error,
    },
    /// The kernel refused a netlink request and said why in words.
    #[error("cannot {operation} {subject}: {explanation}")]
    Refused {
        operation: &'static str,
        subject: String,
        explanation: String,
        #[source]
        source: io::Error,
    },
    /// The kernel's answer is not what its interface promises.
    #[error("cannot {operation} {subject}: the kernel's answer is malformed")]
    Malformed {
        operation: &'static str,
        subject: String,
    },
    /// A name that the kernel or the file system cannot hold.
    #[error(
        "{name:?} is no valid name of a {what}: use 1 to {length_max} characters without '/' and spaces"
    )]
    Name {
        what: &'static str,
        name: String,
        length_max: usize,
    },
    /// Something did not happen in time.
    #[error("cannot {operation} {subject}: no result within {seconds} s")]
    TimedOut {
        operation: &'static str,
        subject: String,
        seconds: u64,
    },
}

impl Error {
    pub(crate) fn system(
        operation: &'static str,
        subject: impl Into<String>,
        source: impl Into<io::Error>,
    ) -> Error {
        Error::System {
            operation,
            subject: subject.into(),
            source: source.into(),
        }
    }

    pub(crate) fn at(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
        Error::system(operation, path.display().to_string(), source)
    }

    /// The kernel's error number, if the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::System { source, .. } | Error::Refused { source, .. } => source.raw_os_error(),
            Error::Malformed { .. } | Error::Name { .. } | Error::TimedOut { .. } => None,
        }
    }

    /// Whether the subject is not there: no such file, device, process or route.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::ENOENT | libc::ENODEV | libc::ESRCH | libc::ENXIO | libc::EADDRNOTAVAIL)
        )
    }

    /// Whether the subject is already there.
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }
}
