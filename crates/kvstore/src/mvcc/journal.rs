//! Every change since the oldest revision kept, in order: the one queue that all watches read from, each at its own pace.

use std::{collections::VecDeque, mem::size_of, sync::Arc, time::Duration};

use crate::record::{Record, Revision};

/// A change of one key. Several of one request have the same revision.
#[derive(Clone, Debug)]
pub struct Event {
    pub record: Arc<Record>,
    pub previous: Option<Arc<Record>>,
}

impl Event {
    pub const BYTES: usize = size_of::<Event>();

    pub fn revision(&self) -> Revision {
        self.record.modified
    }
}

#[derive(Debug, Default)]
pub struct Journal {
    events: VecDeque<Event>,
    /// When a revision was the present one, in steps.
    marks: VecDeque<(Duration, Revision)>,
}

impl Journal {
    pub fn push(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub fn since(&self, revision: Revision) -> impl Iterator<Item = &Event> {
        let start = self
            .events
            .partition_point(|event| event.revision() < revision);
        self.events.range(start..)
    }

    pub fn oldest(&self) -> Option<&Event> {
        self.events.front()
    }

    pub fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.len() * 4 < self.events.capacity() {
            self.events.shrink_to(self.events.len() * 2);
        }
        event
    }

    /// Remembers the present revision, at most once in a `step`.
    pub fn mark(&mut self, now: Duration, present: Revision, step: Duration) {
        let due = match self.marks.back() {
            Some((at, revision)) => now >= *at + step && present > *revision,
            None => true,
        };
        if due {
            self.marks.push_back((now, present));
        }
    }

    /// The revision that was the present one at `then` or before, as far as is remembered.
    pub fn present_at(&mut self, then: Duration) -> Option<Revision> {
        let mut found = None;
        while let Some((_, revision)) = self.marks.pop_front_if(|(at, _)| *at <= then) {
            found = Some(revision);
        }
        found
    }

    pub fn oldest_mark(&self) -> Option<Duration> {
        self.marks.front().map(|(at, _)| *at)
    }
}
