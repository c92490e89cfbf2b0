//! What is wanted at each key. An entry is found by its key once, when something is told of it, and by its place after that:
//! to look up one of a hundred thousand long keys costs as much as all else that is done for a change.
//!
//! The index by keys is never gone through, only members of sets and slots are: the order is the same for the same history.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
};

use bytes::Bytes;
use tombolo_kvstore::LeaseId;

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Bytes,
    /// Absent where the key is to go.
    pub(super) wanted: Option<Bytes>,
    /// The prefix of its set; none for configs, canaries and heartbeats.
    pub(super) set: Option<Bytes>,
    /// Which of the set's members it is.
    member: usize,
    pub(super) generation: u64,
    pub(super) lease: Option<LeaseId>,
    pub(super) waits: bool,
    pub(super) flies: bool,
}

/// Where an entry is, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

#[derive(Debug, Default)]
pub(super) struct Entries {
    places: HashMap<Bytes, Place>,
    /// By the prefix of their set, in no order.
    members: BTreeMap<Bytes, Vec<Place>>,
    slots: Vec<Slot>,
    /// The first free slot of a chain of them.
    free: Option<Place>,
}

#[derive(Debug)]
enum Slot {
    Taken(Entry),
    /// The next one that is free.
    Free(Option<Place>),
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn contains(&self, key: &Bytes) -> bool {
        self.places.contains_key(key)
    }

    pub(super) fn find(&self, key: &Bytes) -> Option<Place> {
        self.places.get(key).copied()
    }

    pub(super) fn get(&self, key: &Bytes) -> Option<&Entry> {
        self.find(key).map(|place| self.at(place))
    }

    /// The entry of the key, made of nothing if there is none.
    pub(super) fn place(&mut self, key: Bytes, set: Option<&Bytes>) -> Place {
        let room = self.places.len() / 4 + 1;
        if self.places.capacity() < self.places.len() + room {
            // Keys that come and go take room too: else it would grow amid them, once for all, which takes as long as a
            // thousand changes.
            self.places.reserve(self.places.len());
        }
        let free = self.free.unwrap_or(Place(self.slots.len()));
        let place = *self.places.entry(key.clone()).or_insert(free);
        if place != free {
            return place;
        }
        let member = set.map_or(0, |set| {
            let members = self.members.entry(set.clone()).or_default();
            members.push(place);
            members.len() - 1
        });
        let entry = Slot::Taken(Entry {
            key,
            wanted: None,
            set: set.cloned(),
            member,
            generation: 0,
            lease: None,
            waits: false,
            flies: false,
        });
        match self.slots.get_mut(place.0) {
            Some(slot) => match mem::replace(slot, entry) {
                Slot::Free(next) => self.free = next,
                Slot::Taken(entry) => panic!("{entry:?} was free"),
            },
            None => self.slots.push(entry),
        }
        place
    }

    pub(super) fn at(&self, place: Place) -> &Entry {
        match &self.slots[place.0] {
            Slot::Taken(entry) => entry,
            Slot::Free(_) => panic!("nothing is at {place:?}"),
        }
    }

    pub(super) fn at_mut(&mut self, place: Place) -> &mut Entry {
        match &mut self.slots[place.0] {
            Slot::Taken(entry) => entry,
            Slot::Free(_) => panic!("nothing is at {place:?}"),
        }
    }

    pub(super) fn remove(&mut self, key: &Bytes) -> Option<Entry> {
        let place = self.places.remove(key)?;
        let free = Slot::Free(self.free.replace(place));
        let Slot::Taken(entry) = mem::replace(&mut self.slots[place.0], free) else {
            panic!("nothing is at {place:?}, where {key:?} should be");
        };
        if let Some(set) = &entry.set
            && let Some(members) = self.members.get_mut(set)
        {
            members.swap_remove(entry.member);
            if let Some(moved) = members.get(entry.member).copied() {
                self.at_mut(moved).member = entry.member;
            } else if members.is_empty() {
                self.members.remove(set);
            }
        }
        Some(entry)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let taken = self.slots.iter().enumerate();
        let taken = taken.filter(|(_, slot)| matches!(slot, Slot::Taken(_)));
        taken.map(|(place, _)| Place(place))
    }

    pub(super) fn of_set(&self, prefix: &Bytes) -> impl Iterator<Item = &Entry> {
        let members = self.members.get(prefix).into_iter().flatten();
        members.map(|place| self.at(*place))
    }
}
