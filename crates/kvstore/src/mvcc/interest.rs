//! Who watches a key, found without asking each watch: single keys and prefixes by look-up, other ranges one by one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::key::Keys;

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub struct Interest<T> {
    keys: BTreeMap<Bytes, BTreeSet<T>>,
    prefixes: BTreeMap<Bytes, BTreeSet<T>>,
    /// How many different prefixes of each length there are: only these lengths are looked up.
    lengths: BTreeMap<usize, usize>,
    ranges: BTreeMap<Keys, BTreeSet<T>>,
}

impl<T> Default for Interest<T> {
    fn default() -> Self {
        Interest {
            keys: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            lengths: BTreeMap::new(),
            ranges: BTreeMap::new(),
        }
    }
}

impl<T: Copy + Ord> Interest<T> {
    pub fn insert(&mut self, keys: &Keys, who: T) {
        if let Keys::One(key) = keys {
            self.keys.entry(key.clone()).or_default().insert(who);
        } else if let Some(prefix) = keys.as_prefix() {
            let set = self.prefixes.entry(prefix.clone()).or_default();
            if set.is_empty() {
                *self.lengths.entry(prefix.len()).or_default() += 1;
            }
            set.insert(who);
        } else {
            self.ranges.entry(keys.clone()).or_default().insert(who);
        }
    }

    pub fn remove(&mut self, keys: &Keys, who: T) {
        if let Keys::One(key) = keys {
            remove_from(&mut self.keys, key, who);
        } else if let Some(prefix) = keys.as_prefix() {
            if remove_from(&mut self.prefixes, prefix, who)
                && let Some(count) = self.lengths.get_mut(&prefix.len())
            {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&prefix.len());
                }
            }
        } else {
            remove_from(&mut self.ranges, keys, who);
        }
    }

    pub fn each(&self, key: &[u8], mut found: impl FnMut(T)) {
        let by_key = self.keys.get(key);
        let by_prefix = self
            .lengths
            .range(..=key.len())
            .filter_map(|(length, _)| self.prefixes.get(&key[..*length]));
        let by_range = self
            .ranges
            .iter()
            .filter(|(keys, _)| keys.contains(key))
            .map(|(_, set)| set);
        for set in by_key.into_iter().chain(by_prefix).chain(by_range) {
            set.iter().copied().for_each(&mut found);
        }
    }
}

/// Whether nobody is left there.
fn remove_from<K: Ord, T: Ord>(map: &mut BTreeMap<K, BTreeSet<T>>, key: &K, who: T) -> bool {
    let Some(set) = map.get_mut(key) else {
        return false;
    };
    set.remove(&who);
    let empty = set.is_empty();
    if empty {
        map.remove(key);
    }
    empty
}
