//! What could not be taken, and why.

use std::fmt;

use crate::object::{Fault, ObjectKey, shorten};

/// It rejects only itself: what stands beside it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The document in a file, or the line.
    pub place: String,
    /// Which object it was, as far as that could be read.
    pub key: Option<Box<ObjectKey>>,
    /// Where in the object, like `status.encryption.key`; empty for the whole.
    pub path: String,
    pub reason: String,
}

impl Reject {
    pub(crate) fn new(place: &str, key: Option<ObjectKey>, fault: Fault) -> Reject {
        let Fault { path, reason } = fault;
        Reject {
            place: shorten(place),
            key: key.map(Box::new),
            path,
            reason,
        }
    }

    pub(crate) fn whole(place: &str, reason: impl AsRef<str>) -> Reject {
        Reject::new(place, None, Fault::new("", reason))
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reject {
            place,
            key,
            path,
            reason,
        } = self;
        write!(f, "{place}: ")?;
        if let Some(key) = key {
            write!(f, "{key}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(reason)
    }
}

impl std::error::Error for Reject {}
