//! Records that are not believed: how many, why, and the last of them in words.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use tombolo_model::record::{KeyError, RecordError};

/// Keys remembered, so that the count falls when they are mended; more are only counted.
const KEYS_MAX: usize = 10_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejects {
    keys: BTreeMap<Bytes, &'static str>,
    /// Beyond those that are remembered.
    more: usize,
    last: Option<Reject>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The word for counters.
    pub label: &'static str,
    text: String,
}

impl Rejects {
    pub fn count(&self) -> usize {
        self.keys.len() + self.more
    }

    pub fn by_reason(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for label in self.keys.values() {
            *counts.entry(*label).or_default() += 1;
        }
        if self.more > 0 {
            counts.insert("more", self.more);
        }
        counts
    }

    pub fn last(&self) -> Option<&Reject> {
        self.last.as_ref()
    }

    /// Whether it is remembered.
    pub(crate) fn add(&mut self, key: Bytes, reject: Reject) -> bool {
        let label = reject.label;
        self.last = Some(reject);
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&key) {
            self.more += 1;
            return false;
        }
        self.keys.insert(key, label);
        true
    }

    /// Whether it was there.
    pub(crate) fn clear(&mut self, key: &Bytes) -> bool {
        let was = self.keys.remove(key).is_some();
        if self.count() == 0 {
            self.last = None;
        }
        was
    }
}

impl Reject {
    pub(crate) fn key(error: &KeyError) -> Reject {
        Reject {
            label: "key",
            text: error.to_string(),
        }
    }

    pub(crate) fn outside(key: &str) -> Reject {
        Reject {
            label: "key",
            text: format!("`{}` is of another kind than its place", plain(key)),
        }
    }

    pub(crate) fn record(key: &str, error: &RecordError) -> Reject {
        Reject {
            label: error.label(),
            text: format!("{}: {error}", plain(key)),
        }
    }

    pub(crate) fn new(label: &'static str, key: &[u8], why: &str) -> Reject {
        Reject {
            label,
            text: format!("{}: {why}", plain(&String::from_utf8_lossy(key))),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A key that others chose, made fit for one line of a status.
fn plain(key: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    key.chars().take(160).map(plain).collect()
}
