//! The nodes of one cluster: who of them is asked, and when all of it is down.

use super::{
    INTERVAL_SWEEP, MISSES_MAX, MISSES_TOLD, PATIENCE, STEADY_MAX, Tally, Target, kinship,
    watch::{State, Watch},
};
use crate::fact::NodeKey;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
    time::Duration,
};

/// So many questions without an answer are half a proof.
const DOUBT: u32 = MISSES_MAX / 2;

#[derive(Debug, Default)]
pub(super) struct Cluster {
    nodes: BTreeMap<NodeKey, Watch>,
    /// Since when nothing of it answers.
    pub down: Option<Duration>,
    /// Who was asked last of those that are asked in turns, and when the next is.
    swept: Option<NodeKey>,
    sweep: Duration,
    /// Of whom others are to be told.
    pub doubts: Vec<IpAddr>,
}

impl Cluster {
    /// Of those who were silent before, each is taken out that is to be asked.
    pub fn aim(
        &mut self,
        targets: &[&Target],
        silent: &mut BTreeMap<NodeKey, Duration>,
        seed: u64,
        now: Duration,
    ) {
        let wanted: BTreeMap<&NodeKey, IpAddr> = targets
            .iter()
            .map(|target| (&target.node, target.address))
            .collect();
        self.nodes
            .retain(|key, watch| wanted.get(key) == Some(&watch.address));
        let mut ranked: Vec<(Reverse<u64>, &NodeKey)> = Vec::new();
        for (key, address) in &wanted {
            let kinship = kinship(seed, key);
            ranked.push((Reverse(kinship), key));
            if !self.nodes.contains_key(*key) {
                let mut watch = Watch::new(*address, kinship, now);
                if let Some(heard) = silent.remove(*key) {
                    watch.heard = heard;
                    watch.fall();
                }
                self.nodes.insert((*key).clone(), watch);
            }
        }
        // By the greatest hash: one node more or less changes one choice of some askers, and no node is left to nobody.
        ranked.sort();
        if self.swept.is_none() {
            // Not all askers begin at the same one.
            self.swept = ranked.last().map(|(_, key)| (*key).clone());
        }
        let steady = ranked.iter().take(STEADY_MAX).map(|(_, key)| *key);
        let steady: BTreeSet<&NodeKey> = steady.collect();
        for (key, watch) in &mut self.nodes {
            let is_steady = steady.contains(key);
            if is_steady && !watch.steady {
                watch.due = watch.due.max(now);
            }
            watch.steady = is_steady;
        }
        self.judge();
    }

    /// Who is to be asked now.
    pub fn due(&mut self, now: Duration) -> Vec<(NodeKey, IpAddr)> {
        let mut is_back = false;
        for watch in self.nodes.values_mut() {
            is_back |= watch.settle(now);
        }
        if is_back {
            self.judge();
        }
        let turn = (now >= self.sweep).then(|| self.next_in_turn()).flatten();
        if turn.is_some() {
            self.sweep = now + INTERVAL_SWEEP;
            self.swept.clone_from(&turn);
        }
        // However many are down, they cost no more than those that are asked all the time.
        let extra = self.nodes.values();
        let extra = extra
            .filter(|watch| watch.is_down() && !watch.steady)
            .count();
        let stretch = extra.div_ceil(STEADY_MAX) as u32;
        let mut due = Vec::new();
        for (key, watch) in &mut self.nodes {
            let is_due = watch.is_watched() && now >= watch.due;
            if is_due || turn.as_ref() == Some(key) {
                let stretch = if watch.steady { 1 } else { stretch };
                watch.ask(now, stretch);
                due.push((key.clone(), watch.address));
            }
        }
        due
    }

    fn next_in_turn(&self) -> Option<NodeKey> {
        let from = self
            .swept
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let after = self.nodes.range((from, Bound::Unbounded));
        let mut turns = after
            .chain(&self.nodes)
            .filter(|(_, watch)| !watch.is_watched());
        turns.next().map(|(key, _)| key.clone())
    }

    pub fn timeout(&self) -> Option<Duration> {
        let watched = self.nodes.values().filter(|watch| watch.is_watched());
        let due = watched.clone().map(|watch| watch.due);
        let back = watched.filter_map(|watch| match watch.state {
            State::Returns(at) => Some(at),
            _ => None,
        });
        let swept = self.nodes.values().any(|watch| !watch.is_watched());
        let sweep = swept.then_some(self.sweep);
        due.chain(back).chain(sweep).min()
    }

    pub fn answered(&mut self, node: &NodeKey, now: Duration) {
        if let Some(watch) = self.nodes.get_mut(node) {
            watch.answered(now);
            self.judge();
        }
    }

    pub fn missed(&mut self, node: &NodeKey, now: Duration) {
        if let Some(watch) = self.nodes.get_mut(node) {
            watch.missed(now);
            if watch.is_own_doubt(MISSES_TOLD) {
                let (address, since) = (watch.address, watch.lost + PATIENCE / 2);
                // Where none has answered since it is the whole cluster, which all find out by themselves.
                let mut steady = self.nodes.values().filter(|watch| watch.steady);
                let others = steady.any(|watch| watch.heard > since);
                self.doubts.extend(others.then_some(address));
            }
            self.fall();
            self.judge();
        }
    }

    /// Somebody else has had no answer of it.
    pub fn doubted(&mut self, address: IpAddr, now: Duration) {
        let mut watches = self.nodes.values_mut();
        if let Some(watch) = watches.find(|watch| watch.address == address) {
            watch.doubt(now);
        }
    }

    /// Those fall that have missed enough. If no other answers either, all do, and at the same time: who is sent away from one
    /// must not be sent to the next. So one waits for a while until it is clear how the others do.
    fn fall(&mut self) {
        let steady = self.nodes.values().filter(|watch| watch.steady);
        let is_open = |watch: &Watch| watch.state == State::Suspect && !watch.has_missed(DOUBT);
        let enough = match steady.clone().any(is_open) {
            true => MISSES_MAX + DOUBT,
            false => MISSES_MAX,
        };
        if !self.nodes.values().any(|watch| watch.has_missed(enough)) {
            return;
        }
        let none_answers = steady.clone().all(|watch| {
            watch.is_down() || watch.state == State::Unknown || watch.has_missed(DOUBT)
        });
        let enough = if none_answers { DOUBT } else { enough };
        let falling = self.nodes.values_mut();
        falling
            .filter(|watch| watch.has_missed(enough))
            .for_each(Watch::fall);
    }

    /// It is down when all are that are asked all the time and have ever answered.
    fn judge(&mut self) {
        let steady = self.nodes.values().filter(|watch| watch.steady);
        let mut told = steady.filter(|watch| watch.state != State::Unknown);
        let mut heard = None;
        let all_down = told.all(|watch| {
            heard = heard.max(Some(watch.heard));
            watch.is_down()
        });
        // Where none has ever answered, nobody can tell.
        self.down = heard.filter(|_| all_down).map(|at| self.down.unwrap_or(at));
    }

    #[cfg(test)]
    pub fn steady(&self) -> impl Iterator<Item = &NodeKey> {
        let steady = self.nodes.iter().filter(|(_, watch)| watch.steady);
        steady.map(|(key, _)| key)
    }

    pub fn silent(&self) -> impl Iterator<Item = (NodeKey, Duration)> {
        let down = self.nodes.iter().filter(|(_, watch)| watch.is_down());
        down.map(|(key, watch)| (key.clone(), watch.heard))
    }

    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            nodes: self.nodes.len(),
            ..Tally::default()
        };
        for watch in self.nodes.values() {
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
