//! The records of one resource that may have to be told anew, and those that are told.

use std::collections::BTreeSet;

use tombolo_model::{
    event::Event,
    record::{Name, Record},
};

#[derive(Debug)]
pub(super) struct Outbox<N> {
    phase: Phase,
    dirty: BTreeSet<N>,
    told: BTreeSet<N>,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// For all that the resource is made of.
    Waiting,
    Filling,
    Following,
}

impl<N> Default for Outbox<N> {
    fn default() -> Outbox<N> {
        Outbox {
            phase: Phase::Waiting,
            dirty: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }
}

impl<N: Ord> Outbox<N> {
    /// What is told of this may have changed.
    pub(super) fn mark(&mut self, name: N) {
        // As long as nothing is told, there is nothing to remember: it begins with all there is by then.
        if self.phase != Phase::Waiting {
            self.dirty.insert(name);
        }
    }

    pub(super) fn told(&self) -> usize {
        self.told.len()
    }

    /// The next event. It begins with `all` there is; `make` says how something is called and what is to be told of it,
    /// if anything.
    pub(super) fn next<A: Iterator<Item = N>>(
        &mut self,
        ready: bool,
        all: impl FnOnce() -> A,
        make: impl Fn(&N) -> (Name, Option<Record>),
    ) -> Option<Event<Name, Record>> {
        if self.phase == Phase::Waiting {
            if !ready {
                return None;
            }
            self.phase = Phase::Filling;
            self.dirty = all().collect();
            return Some(Event::Restart);
        }
        while let Some(item) = self.dirty.pop_first() {
            match make(&item) {
                (name, Some(record)) => {
                    self.told.insert(item);
                    return Some(Event::Upsert(name, record));
                }
                (name, None) if self.told.remove(&item) => return Some(Event::Delete(name)),
                (_, None) => {}
            }
        }
        if self.phase == Phase::Filling {
            self.phase = Phase::Following;
            return Some(Event::Synced);
        }
        None
    }
}
