//! Watches: each reads the journal from where it is, when its reader has room.
//!
//! Deliberately without queues: a watch that has nothing to read costs nothing, one that is slow is far behind in
//! the journal, and one that is behind the oldest revision kept is told so and ends.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    interest::Interest,
    journal::{Event, Journal},
    space::size,
};
use crate::{
    error::{Error, Result},
    key::Keys,
    record::{Change, Record, Revision},
};

/// Events that one delivery may have, unless a single revision has more.
const EVENTS_MAX: usize = 1000;
const BYTES_MAX: usize = 1 << 20;
/// Events looked at in one go, so that a search does not hold up others.
const SEARCH_MAX: usize = 20_000;

/// Someone who reads the events of several watches in turn: a connection's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatcherId(u64);

#[derive(Clone, Debug)]
pub struct WatchSpec {
    pub keys: Keys,
    /// The first revision of interest; what comes from now on, if none.
    pub since: Option<Revision>,
    pub want_previous: bool,
    pub without_puts: bool,
    pub without_deletions: bool,
}

impl WatchSpec {
    pub fn new(keys: Keys, since: Option<Revision>) -> WatchSpec {
        WatchSpec {
            keys,
            since,
            want_previous: false,
            without_puts: false,
            without_deletions: false,
        }
    }

    fn wants(&self, event: &Event) -> bool {
        let unwanted = if event.record.is_deletion() {
            self.without_deletions
        } else {
            self.without_puts
        };
        !unwanted
            && self.since.is_none_or(|since| event.revision() >= since)
            && self.keys.contains(&event.record.key)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In order, whole revisions, and nothing left out since the delivery before.
    Changes { watch: i64, changes: Vec<Change> },
    /// The watch was too far behind and is gone.
    Compacted { watch: i64, oldest: Revision },
}

#[derive(Debug, Default)]
pub struct Watches {
    watchers: BTreeMap<WatcherId, Watcher>,
    interest: Interest<(WatcherId, i64)>,
    last: u64,
    count: usize,
}

#[derive(Debug, Default)]
struct Watcher {
    watches: BTreeMap<i64, Watch>,
    /// Watches that may have something to read, each once.
    ready: VecDeque<i64>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Watch {
    spec: WatchSpec,
    /// Where it goes on reading; `None` where it has read all.
    unread: Option<Revision>,
}

impl Watches {
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn add_watcher(&mut self) -> WatcherId {
        self.last += 1;
        let id = WatcherId(self.last);
        self.watchers.insert(id, Watcher::default());
        id
    }

    pub fn remove_watcher(&mut self, id: WatcherId) {
        let Some(watcher) = self.watchers.remove(&id) else {
            return;
        };
        self.count -= watcher.watches.len();
        for (watch, Watch { spec, .. }) in watcher.watches {
            self.interest.remove(&spec.keys, (id, watch));
        }
    }

    /// Adds a watch whose number the watcher does not have yet.
    pub fn add(&mut self, id: WatcherId, watch: i64, spec: WatchSpec, present: Revision) {
        let Some(watcher) = self.watchers.get_mut(&id) else {
            return;
        };
        self.interest.insert(&spec.keys, (id, watch));
        let unread = spec.since.filter(|since| *since <= present);
        if unread.is_some() {
            watcher.ready.push_back(watch);
            wake(watcher);
        }
        let before = watcher.watches.insert(watch, Watch { spec, unread });
        assert!(before.is_none(), "watch {watch} is there twice");
        self.count += 1;
    }

    pub fn contains(&self, id: WatcherId, watch: i64) -> bool {
        self.watchers
            .get(&id)
            .is_some_and(|watcher| watcher.watches.contains_key(&watch))
    }

    /// Whether the watch was there.
    pub fn remove(&mut self, id: WatcherId, watch: i64) -> bool {
        let Some(watcher) = self.watchers.get_mut(&id) else {
            return false;
        };
        let Some(removed) = watcher.watches.remove(&watch) else {
            return false;
        };
        watcher.ready.retain(|ready| *ready != watch);
        self.interest.remove(&removed.spec.keys, (id, watch));
        self.count -= 1;
        true
    }

    /// Something has happened to a key.
    pub fn note(&mut self, event: &Event) {
        let Watches {
            watchers, interest, ..
        } = self;
        interest.each(&event.record.key, |(id, number)| {
            let Some(watcher) = watchers.get_mut(&id) else {
                return;
            };
            let Some(watch) = watcher.watches.get_mut(&number) else {
                return;
            };
            if watch.unread.is_none() && watch.spec.wants(event) {
                watch.unread = Some(event.revision());
                watcher.ready.push_back(number);
                wake(watcher);
            }
        });
    }

    pub fn poll(
        &mut self,
        id: WatcherId,
        journal: &Journal,
        oldest: Revision,
        context: &mut Context<'_>,
    ) -> Poll<Result<Delivery>> {
        let Some(watcher) = self.watchers.get_mut(&id) else {
            return Poll::Ready(Err(Error::Ended));
        };
        let mut search = SEARCH_MAX;
        while let Some(number) = watcher.ready.pop_front() {
            let watch = watcher
                .watches
                .get_mut(&number)
                .unwrap_or_else(|| panic!("watch {number} is ready but gone"));
            if watch.unread.is_some_and(|unread| unread < oldest) {
                self.remove(id, number);
                return Poll::Ready(Ok(Delivery::Compacted {
                    watch: number,
                    oldest,
                }));
            }
            let changes = watch.read(journal, &mut search);
            if watch.unread.is_some() {
                watcher.ready.push_back(number);
            }
            if !changes.is_empty() {
                return Poll::Ready(Ok(Delivery::Changes {
                    watch: number,
                    changes,
                }));
            }
            if search == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        watcher.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether all watches of the watcher have read everything.
    pub fn is_idle(&self, id: WatcherId) -> bool {
        self.watchers
            .get(&id)
            .is_none_or(|watcher| watcher.ready.is_empty())
    }

    /// Whether one watch has read everything.
    pub fn has_read_all(&self, id: WatcherId, watch: i64) -> bool {
        self.watchers
            .get(&id)
            .and_then(|watcher| watcher.watches.get(&watch))
            .is_some_and(|watch| watch.unread.is_none())
    }
}

fn wake(watcher: &mut Watcher) {
    if let Some(waker) = watcher.waker.take() {
        waker.wake();
    }
}

impl Watch {
    /// Reads on until there is enough for a delivery, never ending amid a revision.
    fn read(&mut self, journal: &Journal, search: &mut usize) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        let Some(unread) = self.unread.take() else {
            return changes;
        };
        for event in journal.since(unread) {
            let full = changes.len() >= EVENTS_MAX || bytes >= BYTES_MAX || *search == 0;
            if full && last != Some(event.revision()) {
                self.unread = Some(event.revision());
                break;
            }
            last = Some(event.revision());
            *search = search.saturating_sub(1);
            if self.spec.wants(event) {
                let previous = event.previous.as_ref().filter(|_| self.spec.want_previous);
                bytes += size(&event.record) + previous.map_or(0, |previous| size(previous));
                changes.push(Change {
                    record: Record::clone(&event.record),
                    previous: previous.map(|previous| Record::clone(Arc::as_ref(previous))),
                });
            }
        }
        changes
    }
}
