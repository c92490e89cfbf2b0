//! One cluster: whom of it to ask, who of it is down, and when all of it is.

use super::{
    ANSWERS_MIN, INTERVAL, INTERVAL_CALM, MISSES_MAX, MISSES_TOLD, PATIENCE, SAMPLE_MAX,
    SUSPECTS_MAX, Silence, Tallies, Target, Unanswered, Who,
    group::{Group, Wanted},
    kinship,
    watch::{State, Watch},
};
use crate::{fact::NodeKey, id::ClusterId};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

/// So many questions without an answer are half a proof.
const DOUBT: u32 = MISSES_MAX / 2;

#[derive(Debug, Default)]
pub(super) struct Cluster {
    nodes: Group<NodeKey>,
    /// Since when nothing of it answers.
    pub down: Option<Duration>,
    backends: Group<IpAddr>,
    /// The node of each backend.
    homes: BTreeMap<IpAddr, NodeKey>,
    /// Since when there are no news of it.
    stale: Option<Duration>,
    /// Backends that have fallen silent since then: nobody else can tell what has become of them.
    believed: BTreeSet<IpAddr>,
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
        let wanted = targets.iter().map(|target| {
            let bytes = target.node.cluster.bytes().chain([0]);
            let wanted = Wanted {
                address: target.address,
                kinship: kinship(seed, bytes.chain(target.node.name.bytes())),
            };
            (target.node.clone(), wanted)
        });
        self.nodes.aim(&wanted.collect(), 1, now);
        for (key, watch) in &mut self.nodes.watches {
            if let Some(heard) = silent.remove(key) {
                watch.heard = heard;
                watch.fall();
            }
        }
        self.judge();
    }

    /// Of its backends as many as an asker keeps in view, each asker its own.
    pub fn aim_at_backends(&mut self, targets: &[&Target], seed: u64, now: Duration) {
        let ranked = targets.iter().map(|target| {
            let kinship = match target.address {
                IpAddr::V4(ip) => kinship(seed, ip.octets()),
                IpAddr::V6(ip) => kinship(seed, ip.octets()),
            };
            (Reverse(kinship), *target)
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_by_key(|(kinship, target)| (*kinship, target.address));
        ranked.truncate(SAMPLE_MAX);
        let wanted = ranked.iter().map(|(Reverse(kinship), target)| {
            let wanted = Wanted {
                address: target.address,
                kinship: *kinship,
            };
            (target.address, wanted)
        });
        self.backends.aim(&wanted.collect(), ANSWERS_MIN, now);
        let homes = ranked.iter();
        let homes = homes.map(|(_, target)| (target.address, target.node.clone()));
        self.homes = homes.collect();
    }

    /// Whether there are news of it, or since when there are none. What came before counts for no silence.
    pub fn note_stale(&mut self, stale: Option<Duration>, now: Duration) {
        if self.stale == stale {
            return;
        }
        self.stale = stale;
        self.believed.clear();
        for watch in self.backends.watches.values_mut() {
            watch.due = watch.due.min(now + INTERVAL);
        }
    }

    /// Who is to be asked now.
    pub fn due(&mut self, now: Duration) -> Vec<(Who, IpAddr)> {
        if self.nodes.settle(now) {
            self.judge();
        }
        self.backends.settle(now);
        let nodes = self.nodes.due(INTERVAL, now).into_iter();
        let mut due: Vec<_> = nodes.map(|(key, ip)| (Who::Node(key), ip)).collect();
        let interval = match self.stale {
            Some(_) => INTERVAL,
            None => INTERVAL_CALM,
        };
        for (ip, _) in self.backends.due(interval, now) {
            // Where nobody hears of the node nothing would be learnt of the backend.
            let home = self.home(&ip);
            if home.is_some_and(|home| home.state != State::Unknown && !home.is_down()) {
                due.push((Who::Backend(ip), ip));
            }
        }
        due
    }

    pub fn timeout(&self) -> Option<Duration> {
        let both = [self.nodes.timeout(), self.backends.timeout()];
        both.into_iter().flatten().min()
    }

    pub fn answered(&mut self, who: &Who, now: Duration) {
        match who {
            Who::Node(key) => {
                if let Some(watch) = self.nodes.watches.get_mut(key) {
                    watch.answered(now);
                    self.judge();
                }
            }
            Who::Backend(ip) => {
                if let Some(watch) = self.backends.watches.get_mut(ip) {
                    watch.answered(now);
                }
            }
        }
    }

    pub fn missed(&mut self, who: &Who, now: Duration) {
        match who {
            Who::Node(key) => self.node_missed(key, now),
            Who::Backend(ip) => self.backend_missed(*ip, now),
        }
    }

    fn node_missed(&mut self, key: &NodeKey, now: Duration) {
        let Some(watch) = self.nodes.watches.get_mut(key) else {
            return;
        };
        watch.missed(now);
        if watch.is_own_doubt(MISSES_TOLD) {
            let (address, since) = (watch.address, watch.lost + PATIENCE / 2);
            // Where none has answered since it is the whole cluster, which all find out by themselves.
            let others = self.nodes.steady().any(|watch| watch.heard > since);
            self.doubts.extend(others.then_some(address));
        }
        self.fall();
        self.judge();
    }

    /// A backend is down when its node is not. While there are news of the cluster nobody else is told.
    fn backend_missed(&mut self, ip: IpAddr, now: Duration) {
        let home = self.homes.get(&ip);
        let home = home.and_then(|home| self.nodes.watches.get_mut(home));
        let (Some(watch), Some(home)) = (self.backends.watches.get_mut(&ip), home) else {
            return;
        };
        watch.missed(now);
        if watch.state != State::Suspect {
            return;
        }
        home.suspect(now);
        if !home.is_heard(now) {
            return;
        }
        if watch.is_own_doubt(MISSES_TOLD) && self.stale.is_some() {
            self.doubts.push(ip);
        }
        if watch.has_missed(MISSES_MAX) {
            watch.fall();
            match self.stale {
                Some(_) => self.believed.insert(ip),
                None => self.believed.remove(&ip),
            };
        }
    }

    fn home(&self, ip: &IpAddr) -> Option<&Watch> {
        self.nodes.watches.get(self.homes.get(ip)?)
    }

    /// Somebody else has had no answer of it.
    pub fn doubted(&mut self, address: IpAddr, now: Duration) {
        let mut nodes = self.nodes.watches.values_mut();
        if let Some(watch) = nodes.find(|watch| watch.address == address) {
            return watch.doubt(now);
        }
        let backends = self.backends.watches.values();
        let suspects = backends.filter(|watch| watch.state == State::Suspect);
        // Whoever tells of more than that has many asked, and not all of them by everybody.
        if suspects.count() < SUSPECTS_MAX
            && self.stale.is_some()
            && let Some(watch) = self.backends.watches.get_mut(&address)
        {
            watch.doubt(now);
        }
    }

    /// Those nodes fall that have missed enough. If no other answers either, all do, and at the same time: who is sent away
    /// from one must not be sent to the next. So one waits for a while until it is clear how the others do.
    fn fall(&mut self) {
        let is_open = |watch: &Watch| watch.state == State::Suspect && !watch.has_missed(DOUBT);
        let enough = match self.nodes.steady().any(is_open) {
            true => MISSES_MAX + DOUBT,
            false => MISSES_MAX,
        };
        let mut nodes = self.nodes.watches.values();
        if !nodes.any(|watch| watch.has_missed(enough)) {
            return;
        }
        let none_answers = self.nodes.steady().all(|watch| {
            watch.is_down() || watch.state == State::Unknown || watch.has_missed(DOUBT)
        });
        let enough = if none_answers { DOUBT } else { enough };
        for (key, watch) in &mut self.nodes.watches {
            if watch.has_missed(enough) {
                watch.fall();
                // Nobody knows what its backends will be when it is back.
                let backends = self.backends.watches.iter_mut();
                let its = backends.filter(|(ip, _)| self.homes.get(ip) == Some(key));
                its.for_each(|(_, watch)| watch.forget());
            }
        }
    }

    /// It is down when all nodes are that are asked all the time and have ever answered.
    fn judge(&mut self) {
        let steady = self.nodes.steady();
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
        let steady = self.nodes.watches.iter();
        steady.filter(|(_, watch)| watch.steady).map(|(key, _)| key)
    }

    #[cfg(test)]
    pub fn backend(&self, ip: IpAddr) -> &Watch {
        &self.backends.watches[&ip]
    }

    /// The backends that may be asked, and whether they are all the time.
    #[cfg(test)]
    pub fn in_view(&self) -> impl Iterator<Item = (IpAddr, bool)> {
        let watches = self.backends.watches.iter();
        watches.map(|(ip, watch)| (*ip, watch.steady))
    }

    /// Adds who of it is silent.
    pub fn tell(&self, id: ClusterId, silence: &mut Silence) {
        let nodes = self.nodes.down().map(|(key, since)| (key.clone(), since));
        silence.nodes.extend(nodes);
        silence.clusters.extend(self.down.map(|since| (id, since)));
        let backends = self.backends.down().map(|(ip, since)| {
            let is_believed = self.believed.contains(ip);
            ((id, *ip), Unanswered { since, is_believed })
        });
        silence.backends.extend(backends);
    }

    pub fn tallies(&self) -> Tallies {
        Tallies {
            nodes: self.nodes.tally(),
            backends: self.backends.tally(),
        }
    }
}
