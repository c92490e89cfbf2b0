//! Values that many objects have in common, kept once.

use std::{collections::BTreeSet, sync::Arc};

/// Fewer are not worth looking through.
const PURGE_LEN_MIN: usize = 1024;

#[derive(Debug)]
pub(super) struct Shared<T: ?Sized> {
    values: BTreeSet<Arc<T>>,
    /// At this many those that nobody has any more are dropped.
    purge_len: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared {
            values: BTreeSet::new(),
            purge_len: PURGE_LEN_MIN,
        }
    }
}

impl<T: ?Sized + Ord> Shared<T> {
    pub(super) fn of(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.values.get(&*value) {
            return known.clone();
        }
        if self.values.len() >= self.purge_len {
            self.values.retain(|known| Arc::strong_count(known) > 1);
            self.purge_len = (self.values.len() * 2).max(PURGE_LEN_MIN);
        }
        self.values.insert(value.clone());
        value
    }
}
