//! Whether a history of concurrent clients could have come from one store that does one thing after another.
//!
//! A store tells its revision with each answer, which claims an order of all writes. So no order need be searched for:
//! the claimed one is believed, and then everything must fit it: what each request answered, when it was made and when
//! it was answered, and what watches told. If all fits, the order is the proof that the history is linearizable.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A request with its answer. Times are ticks of one counter.
#[derive(Clone, Debug)]
pub struct Event {
    pub called: u64,
    pub answered: u64,
    pub act: Act,
    /// The store's revision as the answer tells it.
    pub revision: i64,
}

#[derive(Clone, Debug)]
pub enum Act {
    Put {
        key: Bytes,
        value: Bytes,
        previous: Option<Bytes>,
    },
    Delete {
        keys: BTreeSet<Bytes>,
        /// Those that were there.
        previous: BTreeMap<Bytes, Bytes>,
    },
    /// All keys of a prefix, at the revision of the answer or at an older one.
    Read {
        prefix: Bytes,
        at: i64,
        found: BTreeMap<Bytes, (Bytes, i64)>,
    },
    /// Puts the value if the key was last written at this revision.
    Swap {
        key: Bytes,
        expected: i64,
        value: Bytes,
        held: bool,
    },
    /// Ends a lease, and with it this key. Its revision is what the watch tells.
    Revoke { key: Bytes },
}

/// What a watch told: key, value if it was written, revision.
pub type Told = (Bytes, Option<Bytes>, i64);

#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Two requests claim the same revision.
    Twice(i64),
    /// A revision that no request has made.
    Unmade(i64),
    /// Answered before another one was made, but of a later revision.
    Order { earlier: i64, later: i64 },
    /// An answer that is not what was there at its revision.
    Answer { revision: i64, called: u64 },
    /// A watch told something else than what happened next.
    Watch { place: usize },
    /// A watch ended before all was told.
    WatchEnded,
    /// A lease ended and its key stayed.
    Stayed(Bytes),
}

type State = BTreeMap<Bytes, (Bytes, i64)>;

/// `since` is the revision before the first request. Every watch began there.
pub fn check(since: i64, events: &[Event], watches: &[Vec<Told>]) -> Result<(), Fault> {
    let events = with_revocations(events, watches)?;
    let writes = writes(since, &events)?;
    check_times(&events)?;
    let (states, changes) = replay(since, &writes, &events)?;
    for event in &events {
        if !fits(event, &states) {
            let (revision, called) = (event.revision, event.called);
            return Err(Fault::Answer { revision, called });
        }
    }
    watches
        .iter()
        .try_for_each(|watch| check_watch(watch, &changes))
}

/// Ends of leases answer no revision; the deletion in the watch has it.
fn with_revocations(events: &[Event], watches: &[Vec<Told>]) -> Result<Vec<Event>, Fault> {
    let mut events = events.to_vec();
    for event in &mut events {
        let Act::Revoke { key } = &event.act else {
            continue;
        };
        let told = watches.iter().flatten();
        let mut deletions = told.filter(|(told, value, _)| told == key && value.is_none());
        let (.., revision) = deletions.next().ok_or(Fault::Stayed(key.clone()))?;
        event.revision = *revision;
    }
    Ok(events)
}

fn is_write(event: &Event) -> bool {
    match &event.act {
        Act::Put { .. } | Act::Revoke { .. } => true,
        Act::Delete { previous, .. } => !previous.is_empty(),
        Act::Swap { held, .. } => *held,
        Act::Read { .. } => false,
    }
}

/// The writes by revision, of which none is missing.
fn writes(since: i64, events: &[Event]) -> Result<BTreeMap<i64, usize>, Fault> {
    let mut writes = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        if is_write(event) && writes.insert(event.revision, index).is_some() {
            return Err(Fault::Twice(event.revision));
        }
    }
    let last = events.iter().map(|event| event.revision).max();
    match (since + 1..=last.unwrap_or(since)).find(|revision| !writes.contains_key(revision)) {
        Some(unmade) => Err(Fault::Unmade(unmade)),
        None => Ok(writes),
    }
}

/// What was answered before something else was asked came before it.
fn check_times(events: &[Event]) -> Result<(), Fault> {
    let mut answered: Vec<&Event> = events.iter().collect();
    answered.sort_by_key(|event| event.answered);
    let mut called: Vec<&Event> = events.iter().collect();
    called.sort_by_key(|event| event.called);
    let mut answered = answered.into_iter().peekable();
    let mut newest = i64::MIN;
    for event in called {
        while let Some(before) = answered.next_if(|before| before.answered < event.called) {
            newest = newest.max(before.revision);
        }
        if event.revision < newest || (is_write(event) && event.revision == newest) {
            let (earlier, later) = (newest, event.revision);
            return Err(Fault::Order { earlier, later });
        }
    }
    Ok(())
}

/// The state after each revision, and every change in order.
fn replay(
    since: i64,
    writes: &BTreeMap<i64, usize>,
    events: &[Event],
) -> Result<(BTreeMap<i64, State>, Vec<Told>), Fault> {
    let mut state = State::new();
    let mut states = BTreeMap::from([(since, state.clone())]);
    let mut changes = Vec::new();
    for (revision, index) in writes {
        let write = |state: &mut State, key: &Bytes, value: &Bytes| {
            state.insert(key.clone(), (value.clone(), *revision));
            (key.clone(), Some(value.clone()), *revision)
        };
        match &events[*index].act {
            Act::Put { key, value, .. } | Act::Swap { key, value, .. } => {
                changes.push(write(&mut state, key, value));
            }
            Act::Delete { keys, .. } => {
                for key in keys {
                    if state.remove(key).is_some() {
                        changes.push((key.clone(), None, *revision));
                    }
                }
            }
            Act::Revoke { key } => {
                if state.remove(key).is_some() {
                    changes.push((key.clone(), None, *revision));
                }
            }
            Act::Read { .. } => unreachable!("a read makes no revision"),
        }
        states.insert(*revision, state.clone());
    }
    Ok((states, changes))
}

fn fits(event: &Event, states: &BTreeMap<i64, State>) -> bool {
    let value = |revision: i64, key: &Bytes| {
        let state = states.get(&revision)?;
        state.get(key).cloned()
    };
    match &event.act {
        Act::Put { key, previous, .. } => {
            let before = value(event.revision - 1, key).map(|(value, _)| value);
            before == *previous
        }
        Act::Delete { keys, previous } => {
            let before = event.revision - i64::from(!previous.is_empty());
            let there = keys.iter();
            let there = there.filter_map(|key| Some((key.clone(), value(before, key)?.0)));
            there.collect::<BTreeMap<_, _>>() == *previous
        }
        Act::Read { prefix, at, found } => {
            let Some(state) = states.get(at) else {
                return false;
            };
            let there = state.iter().filter(|(key, _)| key.starts_with(prefix));
            let there = there.map(|(key, value)| (key.clone(), value.clone()));
            there.collect::<State>() == *found
        }
        Act::Swap {
            key,
            expected,
            held,
            ..
        } => {
            let before = event.revision - i64::from(*held);
            let modified = value(before, key).map_or(0, |(_, modified)| modified);
            (modified == *expected) == *held
        }
        Act::Revoke { key } => value(event.revision - 1, key).is_some(),
    }
}

fn check_watch(told: &[Told], changes: &[Told]) -> Result<(), Fault> {
    let differs = told
        .iter()
        .zip(changes)
        .position(|(told, change)| told != change);
    if let Some(place) = differs {
        return Err(Fault::Watch { place });
    }
    match told.len().cmp(&changes.len()) {
        std::cmp::Ordering::Less => Err(Fault::WatchEnded),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => {
            let place = changes.len();
            Err(Fault::Watch { place })
        }
    }
}
