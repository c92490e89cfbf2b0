//! `SOURCES`: sets of ranges, each written whole before a frontend refers to it, and taken away after the last one has ceased to.
//!
//! A set never changes. Frontends with the same ranges have the same one.

use crate::{
    Error,
    maps::{address::is_not_found, from_prefix, take, to_prefix},
};
use aya::{
    Ebpf,
    maps::{
        MapData,
        lpm_trie::{Key, LpmTrie},
    },
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tombolo_abi::{SOURCE_BITS_BEFORE, SourceKey};

const NAME: &str = "SOURCES";

pub(super) struct Sources {
    map: LpmTrie<MapData, SourceKey, u32>,
    sets: BTreeMap<u32, Set>,
    numbers: BTreeMap<Arc<[IpNet]>, u32>,
    next: u32,
}

struct Set {
    ranges: Arc<[IpNet]>,
    frontends: usize,
}

impl Sources {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Sources, Error> {
        Ok(Sources {
            map: take(ebpf, NAME)?,
            sets: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next: 1,
        })
    }

    /// What an earlier life has left; `used` are the sets of its frontends, each as often as there are such frontends.
    pub(super) fn take_over(&mut self, used: impl Iterator<Item = u32>) -> Result<(), Error> {
        let mut found: BTreeMap<u32, BTreeSet<IpNet>> = BTreeMap::new();
        for item in self.map.iter() {
            let (key, _) = item.map_err(Error::map(NAME, "reading"))?;
            let ranges = found.entry(key.data().set).or_default();
            ranges.extend(range_of(&key));
        }
        for set in used.filter(|set| *set != 0) {
            let set = self.sets.entry(set).or_insert_with(|| {
                let ranges = found.remove(&set).unwrap_or_default();
                Set {
                    ranges: ranges.into_iter().collect(),
                    frontends: 0,
                }
            });
            set.frontends += 1;
        }
        for (number, ranges) in found {
            self.remove(number, ranges.iter())?;
        }
        let sets = self.sets.iter();
        self.numbers = sets
            .map(|(number, set)| (set.ranges.clone(), *number))
            .collect();
        self.next = self.sets.keys().last().map_or(1, |last| last + 1);
        Ok(())
    }

    pub(super) fn get(&self, set: u32) -> Option<Arc<[IpNet]>> {
        Some(self.sets.get(&set)?.ranges.clone())
    }

    /// The number of a set for one frontend more.
    pub(super) fn hold(&mut self, ranges: &Arc<[IpNet]>) -> Result<u32, Error> {
        if let Some(number) = self.numbers.get(ranges) {
            if let Some(set) = self.sets.get_mut(number) {
                set.frontends += 1;
            }
            return Ok(*number);
        }
        let number = self.next;
        self.next += 1;
        for range in ranges.iter() {
            let written = self.map.insert(&key_of(number, *range), 1, 0);
            if let Err(error) = written {
                // What stands of it is of no use, and is looked for again at the next start.
                let _ = self.remove(number, ranges.iter());
                return Err(Error::map(NAME, "writing")(error));
            }
        }
        let set = Set {
            ranges: ranges.clone(),
            frontends: 1,
        };
        self.sets.insert(number, set);
        self.numbers.insert(ranges.clone(), number);
        Ok(number)
    }

    /// 0 is no set.
    pub(super) fn release(&mut self, number: u32) -> Result<(), Error> {
        let Some(set) = self.sets.get_mut(&number) else {
            return Ok(());
        };
        set.frontends -= 1;
        if set.frontends > 0 {
            return Ok(());
        }
        let ranges = set.ranges.clone();
        self.sets.remove(&number);
        if self.numbers.get(&ranges) == Some(&number) {
            self.numbers.remove(&ranges);
        }
        self.remove(number, ranges.iter())
    }

    fn remove<'a>(
        &mut self,
        number: u32,
        ranges: impl Iterator<Item = &'a IpNet>,
    ) -> Result<(), Error> {
        for range in ranges {
            match self.map.remove(&key_of(number, *range)) {
                Err(error) if !is_not_found(&error) => {
                    return Err(Error::map(NAME, "deleting")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn key_of(set: u32, range: IpNet) -> Key<SourceKey> {
    let (bits, addr) = to_prefix(range);
    Key::new(SOURCE_BITS_BEFORE + bits, SourceKey { set, addr })
}

fn range_of(key: &Key<SourceKey>) -> Option<IpNet> {
    let bits = key.prefix_len().checked_sub(SOURCE_BITS_BEFORE)?;
    from_prefix(bits, key.data().addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_there_and_back() {
        for range in [
            "10.0.0.0/8",
            "198.51.100.7/32",
            "2001:db8::/32",
            "fd00::1/128",
        ] {
            let range: IpNet = range.parse().expect("a range");
            let key = key_of(7, range);
            assert_eq!(range_of(&key), Some(range));
            assert_eq!(key.data().set, 7);
        }
    }
}
