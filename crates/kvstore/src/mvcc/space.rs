//! Every key with its versions, in order. Does not decide when a version may be forgotten.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    key::Keys,
    record::{Field, Order, Page, Query, Record, Revision, Within},
};

#[derive(Debug, Default)]
pub struct Space {
    keys: BTreeMap<Bytes, History>,
    /// Bytes of what is there now, and of what is kept beside it for readers of the past.
    live_bytes: usize,
    live_count: usize,
    history_bytes: usize,
}

/// The versions of a key from old to new. Most keys have but one.
#[derive(Debug)]
struct History {
    latest: Arc<Record>,
    older: Vec<Arc<Record>>,
}

impl History {
    fn at(&self, revision: Revision) -> Option<&Arc<Record>> {
        if self.latest.modified <= revision {
            return Some(&self.latest);
        }
        let after = self.older.partition_point(|old| old.modified <= revision);
        after.checked_sub(1).map(|index| &self.older[index])
    }
}

/// What a record costs: its bytes, and what holds it in the map.
pub fn size(record: &Record) -> usize {
    const OVERHEAD: usize = 300;
    record.key.len() + record.value.len() + OVERHEAD
}

impl Space {
    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    pub fn live_count(&self) -> usize {
        self.live_count
    }

    pub fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    pub fn get(&self, key: &[u8]) -> Option<&Arc<Record>> {
        let latest = &self.keys.get(key)?.latest;
        (!latest.is_deletion()).then_some(latest)
    }

    /// What is there now, in order.
    pub fn live<'a>(&'a self, keys: &Keys) -> impl Iterator<Item = &'a Arc<Record>> {
        self.histories(keys)
            .map(|history| &history.latest)
            .filter(|record| !record.is_deletion())
    }

    fn at<'a>(&'a self, keys: &Keys, revision: Revision) -> impl Iterator<Item = &'a Arc<Record>> {
        self.histories(keys)
            .filter_map(move |history| history.at(revision))
            .filter(|record| !record.is_deletion())
    }

    fn histories<'a>(&'a self, keys: &Keys) -> impl Iterator<Item = &'a History> {
        let range = keys
            .bounds()
            .map(|bounds| self.keys.range::<[u8], _>(bounds));
        range.into_iter().flatten().map(|(_, history)| history)
    }

    /// Answers from the present or, if the query names a revision, from that. The caller knows that it is kept.
    pub fn query(&self, query: &Query, present: Revision) -> Page {
        let page = match query.revision {
            Some(revision) => select(self.at(&query.keys, revision), query),
            None => select(self.live(&query.keys), query),
        };
        Page {
            revision: present,
            ..page
        }
    }

    /// Adds a version, which may be a deletion. Returns what was there before.
    pub fn write(&mut self, record: Arc<Record>) -> Option<Arc<Record>> {
        let added = size(&record);
        if record.is_deletion() {
            self.history_bytes += added;
        } else {
            self.live_bytes += added;
            self.live_count += 1;
        }
        let Some(history) = self.keys.get_mut(&record.key) else {
            let history = History {
                latest: Arc::clone(&record),
                older: Vec::new(),
            };
            self.keys.insert(record.key.clone(), history);
            return None;
        };
        let before = std::mem::replace(&mut history.latest, record);
        history.older.push(Arc::clone(&before));
        if before.is_deletion() {
            return None;
        }
        self.live_bytes -= size(&before);
        self.live_count -= 1;
        self.history_bytes += size(&before);
        Some(before)
    }

    /// Forgets all versions of the key that `superseding` took the place of, and itself if it is a deletion.
    pub fn forget_before(&mut self, superseding: &Record) {
        let Some(history) = self.keys.get_mut(&superseding.key) else {
            return;
        };
        let count = history
            .older
            .partition_point(|old| old.modified < superseding.modified);
        for old in history.older.drain(..count) {
            self.history_bytes -= size(&old);
        }
        if history.older.is_empty() {
            history.older.shrink_to_fit();
        }
        if !superseding.is_deletion() {
            return;
        }
        if history.latest.modified == superseding.modified {
            self.history_bytes -= size(&history.latest);
            self.keys.remove(&superseding.key);
        } else if history.older.first().map(|old| old.modified) == Some(superseding.modified) {
            self.history_bytes -= size(&history.older.remove(0));
        }
    }

    /// Journal entries are history too.
    pub fn add_history_bytes(&mut self, bytes: usize) {
        self.history_bytes += bytes;
    }

    pub fn subtract_history_bytes(&mut self, bytes: usize) {
        self.history_bytes -= bytes;
    }
}

fn select<'a>(records: impl Iterator<Item = &'a Arc<Record>>, query: &Query) -> Page {
    if query.count_only {
        return Page {
            count: records.count(),
            ..Page::default()
        };
    }
    let filtered = query.order.is_some() || query.within != Within::default();
    let take = match query.limit {
        0 => usize::MAX,
        _ if filtered => usize::MAX,
        limit => limit,
    };
    let mut page = Page::default();
    for record in records {
        page.count += 1;
        if page.records.len() < take {
            page.records.push(copy(record, query));
        }
    }
    page.more = page.records.len() < page.count && !filtered;
    if filtered {
        page.records
            .retain(|record| is_within(record, &query.within));
        if let Some(order) = query.order {
            sort(&mut page.records, order);
        }
        if query.limit > 0 && page.records.len() > query.limit {
            page.records.truncate(query.limit);
            page.more = true;
        }
    }
    if query.keys_only {
        for record in &mut page.records {
            record.value = Bytes::new();
        }
    }
    page
}

fn copy(record: &Arc<Record>, query: &Query) -> Record {
    let by_value = query.order.is_some_and(|order| order.by == Field::Value);
    if query.keys_only && !by_value {
        return Record {
            key: record.key.clone(),
            value: Bytes::new(),
            ..**record
        };
    }
    Record::clone(record)
}

fn is_within(record: &Record, within: &Within) -> bool {
    let holds = |min: Revision, max: Revision, of: Revision| {
        (min.0 == 0 || of >= min) && (max.0 == 0 || of <= max)
    };
    holds(within.modified_min, within.modified_max, record.modified)
        && holds(within.created_min, within.created_max, record.created)
}

/// What is equal stays in the order of keys, in both directions.
fn sort(records: &mut [Record], order: Order) {
    records.sort_by(|a, b| {
        let (a, b) = if order.descending { (b, a) } else { (a, b) };
        match order.by {
            Field::Key => a.key.cmp(&b.key),
            Field::Version => a.version.cmp(&b.version),
            Field::Created => a.created.cmp(&b.created),
            Field::Modified => a.modified.cmp(&b.modified),
            Field::Value => a.value.cmp(&b.value),
        }
    });
}

/// Whether a query's revision can be answered.
pub fn check_revision(query: &Query, compacted: Revision, present: Revision) -> Result<()> {
    match query.revision {
        Some(revision) if revision > present => Err(Error::FutureRevision { present }),
        Some(revision) if revision < compacted => Err(Error::Compacted { oldest: compacted }),
        _ => Ok(()),
    }
}
