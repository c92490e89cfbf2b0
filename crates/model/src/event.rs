//! The one vocabulary of change: every source of facts speaks it.

/// A step in the life of a set. `Restart … Synced` frames a snapshot: what was not repeated in between is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<K, V> {
    Restart,
    Upsert(K, V),
    Delete(K),
    Synced,
}
