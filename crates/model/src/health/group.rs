//! Those of one kind in one cluster: a few are asked all the time, the others one after the other.

use super::{
    INTERVAL_SWEEP, STEADY_MAX, Tally,
    watch::{State, Watch},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
    time::Duration,
};

#[derive(Debug)]
pub(super) struct Group<K> {
    pub watches: BTreeMap<K, Watch>,
    /// Who was asked last of those that are asked in turns, and when the next is.
    swept: Option<K>,
    sweep: Duration,
}

/// Where somebody is that is to be asked, and what the asker has in common with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub address: IpAddr,
    pub kinship: u64,
}

impl<K> Default for Group<K> {
    fn default() -> Group<K> {
        Group {
            watches: BTreeMap::new(),
            swept: None,
            sweep: Duration::ZERO,
        }
    }
}

impl<K: Ord + Clone> Group<K> {
    /// Who is new has to give so many answers in a row before it is taken for well.
    pub fn aim(&mut self, wanted: &BTreeMap<K, Wanted>, proof: u32, now: Duration) {
        let is_same = |key: &K, watch: &Watch| {
            let wanted = wanted.get(key);
            wanted.is_some_and(|wanted| wanted.address == watch.address)
        };
        self.watches.retain(|key, watch| is_same(key, watch));
        let mut ranked: Vec<(Reverse<u64>, &K)> = Vec::new();
        for (key, Wanted { address, kinship }) in wanted {
            ranked.push((Reverse(*kinship), key));
            if !self.watches.contains_key(key) {
                let watch = Watch::new(*address, *kinship, proof, now);
                self.watches.insert(key.clone(), watch);
            }
        }
        // By the greatest hash: one more or less changes one choice of some askers, and nobody is left to no asker.
        ranked.sort();
        if self.swept.is_none() {
            // Not all askers begin at the same one.
            self.swept = ranked.last().map(|(_, key)| (*key).clone());
        }
        let steady = ranked.iter().take(STEADY_MAX).map(|(_, key)| *key);
        let steady: BTreeSet<&K> = steady.collect();
        for (key, watch) in &mut self.watches {
            let is_steady = steady.contains(key);
            if is_steady && !watch.steady {
                watch.due = watch.due.max(now);
            }
            watch.steady = is_steady;
        }
    }

    /// Whether somebody's return was due.
    pub fn settle(&mut self, now: Duration) -> bool {
        let mut is_back = false;
        for watch in self.watches.values_mut() {
            is_back |= watch.settle(now);
        }
        is_back
    }

    /// Who is to be asked now.
    pub fn due(&mut self, interval: Duration, now: Duration) -> Vec<(K, IpAddr)> {
        let turn = (now >= self.sweep).then(|| self.next_in_turn()).flatten();
        if turn.is_some() {
            self.sweep = now + INTERVAL_SWEEP;
            self.swept.clone_from(&turn);
        }
        // However many are down, they cost no more than those that are asked all the time.
        let extra = self.watches.values();
        let extra = extra
            .filter(|watch| watch.is_down() && !watch.steady)
            .count();
        let stretch = extra.div_ceil(STEADY_MAX) as u32;
        let mut due = Vec::new();
        for (key, watch) in &mut self.watches {
            let is_due = watch.is_watched() && now >= watch.due;
            if is_due || turn.as_ref() == Some(key) {
                let stretch = if watch.steady { 1 } else { stretch };
                watch.ask(interval, stretch, now);
                due.push((key.clone(), watch.address));
            }
        }
        due
    }

    fn next_in_turn(&self) -> Option<K> {
        let from = self
            .swept
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let after = self.watches.range((from, Bound::Unbounded));
        let mut turns = after
            .chain(&self.watches)
            .filter(|(_, watch)| !watch.is_watched());
        turns.next().map(|(key, _)| key.clone())
    }

    pub fn timeout(&self) -> Option<Duration> {
        let watched = self.watches.values().filter(|watch| watch.is_watched());
        let due = watched.clone().map(|watch| watch.due);
        let back = watched.filter_map(|watch| match watch.state {
            State::Returns(at) => Some(at),
            _ => None,
        });
        let swept = self.watches.values().any(|watch| !watch.is_watched());
        let sweep = swept.then_some(self.sweep);
        due.chain(back).chain(sweep).min()
    }

    pub fn steady(&self) -> impl Iterator<Item = &Watch> + Clone {
        self.watches.values().filter(|watch| watch.steady)
    }

    /// Those that are down, each with the time of its last answer.
    pub fn down(&self) -> impl Iterator<Item = (&K, Duration)> {
        let down = self.watches.iter().filter(|(_, watch)| watch.is_down());
        down.map(|(key, watch)| (key, watch.heard))
    }

    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            asked: self.watches.len(),
            ..Tally::default()
        };
        for watch in self.watches.values() {
            let count = match watch.state {
                State::Unknown => &mut tally.unknown,
                State::Well => &mut tally.well,
                State::Suspect => &mut tally.suspect,
                State::Down | State::Returns(_) => &mut tally.down,
            };
            *count += 1;
        }
        tally
    }
}
