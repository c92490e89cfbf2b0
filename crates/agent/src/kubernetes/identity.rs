//! From labels to the number that all nodes of the cluster give them. No input, output or clock.
//!
//! The number is a hash of the labels: two nodes that make an identity for the same labels at one time choose the same
//! number, and who comes second finds that it is there. Where other labels have the number already, the next one that
//! the hash gives is tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use tombolo_model::id::Identity;

/// How many numbers are tried for labels before it is said that there is no room.
const ATTEMPTS: u32 = 256;

pub type LabelMap = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub labels: LabelMap,
    /// Nobody seemed to use it, and it is to be ended: whoever takes it up says so first.
    pub marked: bool,
}

#[derive(Debug)]
pub struct Identities {
    range: RangeInclusive<Identity>,
    by_number: BTreeMap<Identity, Known>,
    by_labels: BTreeMap<LabelMap, BTreeSet<Identity>>,
}

impl Identities {
    pub fn new(range: RangeInclusive<Identity>) -> Identities {
        Identities {
            range,
            by_number: BTreeMap::new(),
            by_labels: BTreeMap::new(),
        }
    }

    pub fn upsert(&mut self, identity: Identity, known: Known) {
        self.remove(identity);
        let labels = self.by_labels.entry(known.labels.clone()).or_default();
        labels.insert(identity);
        self.by_number.insert(identity, known);
    }

    pub fn remove(&mut self, identity: Identity) {
        let Some(known) = self.by_number.remove(&identity) else {
            return;
        };
        if let Some(numbers) = self.by_labels.get_mut(&known.labels) {
            numbers.remove(&identity);
            if numbers.is_empty() {
                self.by_labels.remove(&known.labels);
            }
        }
    }

    pub fn numbers(&self) -> impl Iterator<Item = Identity> {
        self.by_number.keys().copied()
    }

    pub fn get(&self, identity: Identity) -> Option<&Known> {
        self.by_number.get(&identity)
    }

    /// The lowest of the cluster's own numbers that has these labels, so that all nodes agree.
    pub fn find(&self, labels: &LabelMap) -> Option<Identity> {
        let numbers = self.by_labels.get(labels)?;
        let own = numbers
            .iter()
            .find(|identity| self.range.contains(identity));
        own.copied()
    }

    /// The number to make for labels that have none yet; `refused` are those that turned out to be others'.
    pub fn propose(&self, labels: &LabelMap, refused: &BTreeSet<Identity>) -> Option<Identity> {
        let numbers = (0..ATTEMPTS).map(|attempt| self.number(labels, attempt));
        let mut free = numbers
            .filter(|number| !self.by_number.contains_key(number) && !refused.contains(number));
        free.next()
    }

    fn number(&self, labels: &LabelMap, attempt: u32) -> Identity {
        let mut hash = Fnv::new();
        for (key, value) in labels {
            hash.add(key.as_bytes());
            hash.add(b"=");
            hash.add(value.as_bytes());
            hash.add(b";");
        }
        hash.add(&attempt.to_be_bytes());
        let (first, last) = (self.range.start().0, self.range.end().0);
        let size = u64::from(last - first) + 1;
        let offset = u32::try_from(hash.mixed() % size).expect("within the range");
        Identity(first + offset)
    }
}

/// FNV-1a: the same on all machines and in all versions.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The upper half joins in: the lower bits alone mix little of the last bytes.
    fn mixed(&self) -> u64 {
        (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }
}
