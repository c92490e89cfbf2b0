//! An ordered map by prefix.
//!
//! IPv4 prefixes take five bytes in it, where one of either family takes as many as IPv6 wants. No prefix has bits behind
//! its length.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{cmp::Ordering, collections::BTreeMap, fmt};

#[cfg(test)]
mod tests;

#[derive(Clone, PartialEq, Eq)]
pub struct PrefixMap<V> {
    v4: BTreeMap<V4, V>,
    v6: BTreeMap<V6, V>,
}

/// Compared as one number, which is much faster than byte by byte.
#[derive(Clone, Copy, PartialEq, Eq)]
struct V4(Ipv4Net);

#[derive(Clone, Copy, PartialEq, Eq)]
struct V6(Ipv6Net);

impl<V> PrefixMap<V> {
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub fn get(&self, prefix: &IpNet) -> Option<&V> {
        match prefix {
            IpNet::V4(prefix) => self.v4.get(&V4(*prefix)),
            IpNet::V6(prefix) => self.v6.get(&V6(*prefix)),
        }
    }

    pub fn get_mut(&mut self, prefix: &IpNet) -> Option<&mut V> {
        match prefix {
            IpNet::V4(prefix) => self.v4.get_mut(&V4(*prefix)),
            IpNet::V6(prefix) => self.v6.get_mut(&V6(*prefix)),
        }
    }

    pub fn contains_key(&self, prefix: &IpNet) -> bool {
        self.get(prefix).is_some()
    }

    /// The former value.
    pub fn insert(&mut self, prefix: IpNet, value: V) -> Option<V> {
        match prefix {
            IpNet::V4(prefix) => self.v4.insert(V4(prefix), value),
            IpNet::V6(prefix) => self.v6.insert(V6(prefix), value),
        }
    }

    pub fn remove(&mut self, prefix: &IpNet) -> Option<V> {
        match prefix {
            IpNet::V4(prefix) => self.v4.remove(&V4(*prefix)),
            IpNet::V6(prefix) => self.v6.remove(&V6(*prefix)),
        }
    }

    /// In the order of prefixes.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &V)> {
        let v4 = self
            .v4
            .iter()
            .map(|(V4(prefix), value)| (IpNet::V4(*prefix), value));
        let v6 = self
            .v6
            .iter()
            .map(|(V6(prefix), value)| (IpNet::V6(*prefix), value));
        v4.chain(v6)
    }

    /// What lies in a prefix, itself included.
    pub fn within(&self, prefix: &IpNet) -> impl Iterator<Item = (IpNet, &V)> {
        let inside = *prefix;
        let above = match prefix {
            IpNet::V4(prefix) => (Some(self.v4.range(V4(*prefix)..)), None),
            IpNet::V6(prefix) => (None, Some(self.v6.range(V6(*prefix)..))),
        };
        let v4 = above.0.into_iter().flatten();
        let v4 = v4.map(|(V4(prefix), value)| (IpNet::V4(*prefix), value));
        let v6 = above.1.into_iter().flatten();
        let v6 = v6.map(|(V6(prefix), value)| (IpNet::V6(*prefix), value));
        v4.chain(v6)
            .take_while(move |(prefix, _)| inside.contains(prefix))
    }

    pub fn keys(&self) -> impl Iterator<Item = IpNet> {
        self.iter().map(|(prefix, _)| prefix)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.v4.values().chain(self.v6.values())
    }
}

impl<V> Default for PrefixMap<V> {
    fn default() -> PrefixMap<V> {
        PrefixMap {
            v4: BTreeMap::new(),
            v6: BTreeMap::new(),
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for PrefixMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<V> Extend<(IpNet, V)> for PrefixMap<V> {
    fn extend<I: IntoIterator<Item = (IpNet, V)>>(&mut self, entries: I) {
        for (prefix, value) in entries {
            self.insert(prefix, value);
        }
    }
}

impl<V> FromIterator<(IpNet, V)> for PrefixMap<V> {
    fn from_iter<I: IntoIterator<Item = (IpNet, V)>>(entries: I) -> PrefixMap<V> {
        let mut map = PrefixMap::default();
        map.extend(entries);
        map
    }
}

impl Ord for V4 {
    fn cmp(&self, other: &V4) -> Ordering {
        let number =
            |V4(net): &V4| u64::from(u32::from(net.addr())) << 8 | u64::from(net.prefix_len());
        number(self).cmp(&number(other))
    }
}

impl PartialOrd for V4 {
    fn partial_cmp(&self, other: &V4) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for V6 {
    fn cmp(&self, other: &V6) -> Ordering {
        let numbers = |V6(net): &V6| (u128::from(net.addr()), net.prefix_len());
        numbers(self).cmp(&numbers(other))
    }
}

impl PartialOrd for V6 {
    fn partial_cmp(&self, other: &V6) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
