//! Who gets which number or address, given back as late as possible.
//!
//! Nothing is materialised: a /64 costs as much as the addresses that are in use.

use ipnet::IpNet;
use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

#[cfg(test)]
mod tests;

/// How many freed numbers are remembered in their order; older ones are found again by the next lap.
const FREED_MAX: usize = 65_536;

/// Numbers of a range: those never given come first, in order, then the one that was freed longest ago.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    first: u128,
    last: u128,
    next: u128,
    /// How many numbers from `next` on this lap has not looked at.
    unvisited: u128,
    taken: BTreeSet<u128>,
    freed: VecDeque<u128>,
    freed_set: BTreeSet<u128>,
}

impl Numbers {
    pub(crate) fn new(first: u128, last: u128) -> Numbers {
        assert!(first <= last, "empty range {first}..={last}");
        Numbers {
            first,
            last,
            next: first,
            unvisited: last - first + 1,
            taken: BTreeSet::new(),
            freed: VecDeque::new(),
            freed_set: BTreeSet::new(),
        }
    }

    fn size(&self) -> u128 {
        self.last - self.first + 1
    }

    pub(crate) fn free_count(&self) -> u128 {
        self.size() - self.taken.len() as u128
    }

    pub(crate) fn take(&mut self) -> Option<u128> {
        if self.free_count() == 0 {
            return None;
        }
        loop {
            while self.unvisited > 0 {
                let number = self.next;
                self.advance_to_after(number);
                self.unvisited -= 1;
                if !self.freed_set.contains(&number) && self.taken.insert(number) {
                    return Some(number);
                }
            }
            if let Some(number) = self.freed.pop_front() {
                self.freed_set.remove(&number);
                self.taken.insert(number);
                return Some(number);
            }
            self.unvisited = self.size();
        }
    }

    /// Marks a number that is in use since before the start; false when it is outside of the range or taken.
    pub(crate) fn restore(&mut self, number: u128) -> bool {
        if number < self.first || number > self.last || !self.taken.insert(number) {
            return false;
        }
        if self.freed_set.remove(&number) {
            self.freed.retain(|freed| *freed != number);
        }
        // What was freed before the start is unknown; numbers above those in use are the likeliest to be fresh.
        if number >= self.next && self.unvisited == self.size() {
            self.advance_to_after(number);
        }
        true
    }

    pub(crate) fn free(&mut self, number: u128) {
        if !self.taken.remove(&number) {
            return;
        }
        self.freed.push_back(number);
        self.freed_set.insert(number);
        if self.freed.len() > FREED_MAX
            && let Some(oldest) = self.freed.pop_front()
        {
            self.freed_set.remove(&oldest);
        }
    }

    fn advance_to_after(&mut self, number: u128) {
        self.next = if number == self.last {
            self.first
        } else {
            number + 1
        };
    }
}

/// The addresses of one pod range: the first usable one is the router's, the rest is for pods.
#[derive(Clone, Debug)]
pub struct Pool {
    range: IpNet,
    numbers: Numbers,
}

/// No address of the range is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pod range {range} is full: all of its {size} addresses are taken")]
pub struct Exhausted {
    pub range: IpNet,
    pub size: u128,
}

/// The range has no room for a router and one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pod range {range} has no room for a router and a pod")]
pub struct TooSmall {
    pub range: IpNet,
}

impl Pool {
    pub fn new(range: IpNet) -> Result<Pool, TooSmall> {
        let range = range.trunc();
        let base = number_of(range.network());
        // The last address is the broadcast address in IPv4 only.
        let last = number_of(range.broadcast()) - u128::from(range.addr().is_ipv4());
        if range.max_prefix_len() - range.prefix_len() < 2 {
            return Err(TooSmall { range });
        }
        Ok(Pool {
            range,
            numbers: Numbers::new(base + 2, last),
        })
    }

    pub fn range(&self) -> IpNet {
        self.range
    }

    /// The first usable address: the gateway of the pods and the node's own address among them.
    pub fn router(&self) -> IpAddr {
        self.address_of(number_of(self.range.network()) + 1)
    }

    pub fn take(&mut self) -> Result<IpAddr, Exhausted> {
        let size = self.numbers.size();
        match self.numbers.take() {
            Some(number) => Ok(self.address_of(number)),
            None => Err(Exhausted {
                range: self.range,
                size,
            }),
        }
    }

    /// Marks an address that a pod has since before the start; false when it can't be this range's or is taken.
    pub fn restore(&mut self, address: IpAddr) -> bool {
        self.range.contains(&address) && self.numbers.restore(number_of(address))
    }

    pub fn free(&mut self, address: IpAddr) {
        if self.range.contains(&address) {
            self.numbers.free(number_of(address));
        }
    }

    pub fn free_count(&self) -> u64 {
        u64::try_from(self.numbers.free_count()).unwrap_or(u64::MAX)
    }

    fn address_of(&self, number: u128) -> IpAddr {
        match self.range {
            IpNet::V4(_) => {
                Ipv4Addr::from(u32::try_from(number).expect("a number of an IPv4 range")).into()
            }
            IpNet::V6(_) => Ipv6Addr::from(number).into(),
        }
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}
