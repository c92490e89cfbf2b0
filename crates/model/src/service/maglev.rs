//! Maglev: a table of backends that a hash is looked up in, the same wherever the same backends are known.
//!
//! Each backend has an order of its own in which it would take the table's entries, and they take turns, as often as their
//! weights say: those that stay get mostly the entries that they had (Eisenbud and others, "Maglev", NSDI 2016). How many each
//! gets in the end is reckoned first, so that none is off by more than one.
//!
//! Who is in it, and what is hashed, is others' affair.

use super::Backend;
use crate::mix;
use std::{collections::BinaryHeap, net::IpAddr, sync::Arc};

/// Primes: whatever the step, every entry is come by.
pub const SIZES: [u32; 10] = [
    251, 509, 1021, 2039, 4093, 8191, 16_381, 32_749, 65_521, 131_071,
];
pub const SIZE_DEFAULT: u32 = 16_381;
/// With as many entries for each backend, shares are off by at most one percent.
pub const ENTRIES_EACH: usize = 100;

/// What a table is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    size: u32,
    seed: u64,
    /// By their addresses.
    members: Arc<[(Backend, u16)]>,
}

impl Table {
    /// None if there is nothing to choose: one backend, or none that takes connections.
    pub fn new(
        size: u32,
        seed: u64,
        members: impl IntoIterator<Item = (Backend, u16)>,
    ) -> Option<Table> {
        assert!(SIZES.contains(&size), "{size} is no size of a table");
        let takes_some = |(_, weight): &(Backend, u16)| *weight > 0;
        let mut members: Vec<_> = members.into_iter().filter(takes_some).collect();
        members.sort_unstable();
        members.dedup_by_key(|(backend, _)| *backend);
        (members.len() > 1).then(|| Table {
            size,
            seed,
            members: members.into(),
        })
    }

    pub fn size(&self) -> u32 {
        self.size
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn backends(&self) -> impl ExactSizeIterator<Item = Backend> + '_ {
        self.members.iter().map(|(backend, _)| *backend)
    }

    /// Tells this table from any other.
    pub fn digest(&self) -> u64 {
        let members = self.members.iter();
        members.fold(
            mix(self.seed, u64::from(self.size)),
            |hash, (backend, weight)| mix(hash ^ key_of(backend, self.seed), u64::from(*weight)),
        )
    }

    /// Who has each entry, by the places of [`Table::backends`].
    pub fn entries(&self) -> Vec<u32> {
        const NOBODY: u32 = u32::MAX;
        let size = u64::from(self.size);
        let mut claims: Vec<Claim> = self
            .members
            .iter()
            .map(|(backend, _)| Claim::new(key_of(backend, self.seed), size))
            .collect();
        let mut entries = vec![NOBODY; self.size as usize];
        for (_, member) in self.turns() {
            let claim = &mut claims[member as usize];
            while entries[claim.next] != NOBODY {
                claim.pass(self.size as usize);
            }
            entries[claim.next] = member;
        }
        entries
    }

    /// Who takes an entry when. A backend of twice the weight takes its second one when another takes its first.
    fn turns(&self) -> Vec<(u64, u32)> {
        let mut turns = Vec::with_capacity(self.size as usize);
        for (member, (quota, (_, weight))) in self.quotas().iter().zip(&*self.members).enumerate() {
            let turn = |taken: u64| (((taken + 1) << 32) / u64::from(*weight), member as u32);
            turns.extend((0..u64::from(*quota)).map(turn));
        }
        turns.sort_unstable();
        turns
    }

    /// How many entries each gets: its part rounded down, and those that are over go to whom rounding took most from. Nobody
    /// goes away empty as long as there is one for each.
    fn quotas(&self) -> Vec<u32> {
        let (size, members) = (u64::from(self.size), &self.members);
        let total: u64 = members.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let parts = members.iter().map(|(_, weight)| size * u64::from(*weight));
        let mut quotas: Vec<u32> = parts.clone().map(|part| (part / total) as u32).collect();
        let over = self.size - quotas.iter().sum::<u32>();
        let rests = parts.map(|part| part % total);
        let mut rests: Vec<(u64, usize)> = rests.zip(0..).collect();
        rests.sort_unstable_by_key(|(rest, member)| (u64::MAX - rest, *member));
        for (_, member) in &rests[..over as usize] {
            quotas[*member] += 1;
        }
        let empty = quotas.iter().filter(|quota| **quota == 0).count();
        if empty > 0 && members.len() <= self.size as usize {
            let mut most: BinaryHeap<(u32, usize)> = quotas.iter().copied().zip(0..).collect();
            for _ in 0..empty {
                if let Some(mut greatest) = most.peek_mut() {
                    greatest.0 -= 1;
                }
            }
            most.into_iter()
                .for_each(|(quota, member)| quotas[member] = quota.max(1));
        }
        quotas
    }
}

/// Where a backend is in its own order of the entries.
struct Claim {
    next: usize,
    step: usize,
}

impl Claim {
    fn new(key: u64, size: u64) -> Claim {
        Claim {
            next: (mix(key, 1) % size) as usize,
            step: (mix(key, 2) % (size - 1) + 1) as usize,
        }
    }

    fn pass(&mut self, size: usize) {
        self.next += self.step;
        if self.next >= size {
            self.next -= size;
        }
    }
}

/// A seed from an operator's word.
pub fn seed(word: &str) -> u64 {
    let bytes = word.bytes().map(u64::from);
    bytes.fold(mix(0, word.len() as u64), mix)
}

fn key_of(backend: &Backend, seed: u64) -> u64 {
    let ip = match backend.ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let bits = ip.to_bits();
    let halves = [(bits >> 64) as u64, bits as u64, u64::from(backend.port)];
    halves.into_iter().fold(seed, mix)
}

/// Each bit of the result depends on each of both. It is part of what nodes of a cluster agree on.
fn mix(hash: u64, word: u64) -> u64 {
    mix::finish(hash.rotate_left(5).wrapping_add(mix::STEP) ^ word)
}

#[cfg(test)]
mod tests;
