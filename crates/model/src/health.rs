//! Who of other clusters answers, nodes and backends: whom to ask, when, and what silence means.
//!
//! ```text
//!          an answer                 no answer                ten in a row
//!  Unknown ─────────► Well ◄────────────────────────► Suspect ─────────────► Down
//!                      ▲          an answer                                   │
//!                      └────────────── five answers, then a pause ◄───────────┘
//! ```
//! Whoever has never answered is not judged: a network may answer nobody. Of a cluster a few nodes are asked all the time, each
//! asker its own, and the others in turns; where none of the few answers any more, the cluster is down as a whole.
//!
//! Askers tell each other of whom they doubt. Whoever hears of a doubt asks by itself, at once, and believes nothing else: so a
//! node is found to be down by all of them in time, though each asks a few alone.
//!
//! Backends are asked in the same way, more of them in turns than all the time. A pod may have reasons not to answer echoes, so
//! its silence says nothing unless it has answered before and its node does now; and it is believed only if it began while
//! there were no news of the cluster, for else the cluster itself knows better who is ready.
//!
//! Neither sends nor waits: probes and answers are the caller's, and so is the time.

mod cluster;
mod group;
#[cfg(test)]
mod tests;
mod watch;

use crate::{fact::NodeKey, id::ClusterId, mix};
use cluster::Cluster;
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// Between two questions to a node that is well, and to a backend that is while there are no news of its cluster.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// Between two questions to a backend that is well while its cluster tells who is ready.
const INTERVAL_CALM: Duration = Duration::from_secs(1);
/// Between two questions to a node that may be down.
const INTERVAL_SUSPECT: Duration = Duration::from_millis(100);
/// Between two questions to a node that has answered none of the first ones.
const INTERVAL_UNKNOWN: Duration = Duration::from_secs(5);
/// How long an answer is waited for. One that comes later still tells that the node is well.
const PATIENCE: Duration = Duration::from_millis(500);
/// Without an answer to so many questions in a row a node is down: 2.3 s at most after the first that was lost. Where each packet
/// is lost with a chance of one in twenty that happens to one question of 10^10.
const MISSES_MAX: u32 = 10;
/// So many answers bring a node back, with no pause between them as long as this.
const ANSWERS_MIN: u32 = 5;
const PAUSE_MAX: Duration = Duration::from_millis(1500);
/// Nodes that are back are used again within so long, each asker at another time.
const RETURN_WITHIN: Duration = Duration::from_secs(2);
/// After so many questions in a row without an answer the other askers are told, and how many doubts in a second they are told
/// of at most.
const MISSES_TOLD: u32 = 3;
const DOUBTS_MAX: usize = 32;
/// Of each cluster so many nodes are asked all the time, and the others one after the other, each `INTERVAL_SWEEP` one; and as
/// many backends.
const STEADY_MAX: usize = 8;
const INTERVAL_SWEEP: Duration = Duration::from_millis(250);
/// Of each cluster an asker keeps so many backends in view at most: it comes to each of them once in 64 s.
const SAMPLE_MAX: usize = 256;
/// While so many backends of a cluster may be down no others are asked because somebody else has told of them.
const SUSPECTS_MAX: usize = 16;

/// A node that is to be asked, or a backend that is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub node: NodeKey,
    pub cluster: ClusterId,
    /// Of a node its own one among its pods: the way there is the way to them.
    pub address: IpAddr,
}

/// Whom to ask, and who of the own cluster asks too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aim {
    pub nodes: Vec<Target>,
    pub backends: Vec<Target>,
    /// Clusters of which there are no news, and since when.
    pub stale: BTreeMap<ClusterId, Duration>,
    /// The own addresses among their pods of the cluster's other nodes.
    pub peers: Vec<IpAddr>,
}

/// A question. The answer has its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    pub to: IpAddr,
    pub number: u64,
}

/// A node or a backend that may be down, as one asker tells the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt {
    pub cluster: ClusterId,
    pub address: IpAddr,
}

/// Who does not answer, and since when: the time of the last answer, or of the first question that should have had one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    pub nodes: BTreeMap<NodeKey, Duration>,
    pub clusters: BTreeMap<ClusterId, Duration>,
    /// Pods on nodes that do answer.
    pub backends: BTreeMap<(ClusterId, IpAddr), Unanswered>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    pub since: Duration,
    /// It began while there were no news of the cluster. Otherwise the cluster knew of it, or it is the pod's own affair.
    pub is_believed: bool,
}

/// How those of a cluster do that are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    pub nodes: Tally,
    pub backends: Tally,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them, some only in their turn.
    pub asked: usize,
    pub well: usize,
    pub suspect: usize,
    pub down: usize,
    /// Those that have not been asked yet, or have never answered often enough.
    pub unknown: usize,
}

#[derive(Debug)]
pub struct Prober {
    /// Of the asker: who differs in it asks others, at other times.
    seed: u64,
    clusters: BTreeMap<ClusterId, Cluster>,
    /// Questions that may still be answered.
    open: BTreeMap<u64, Open>,
    asked: u64,
    /// Who was silent before the start, as far as it is not known yet whether they are to be asked.
    remembered: Silence,
    /// What others have been told of, and since when it is counted.
    told: (usize, Duration),
}

#[derive(Clone, Debug)]
struct Open {
    to: IpAddr,
    who: Who,
    cluster: ClusterId,
    sent: Duration,
    /// It was waited for for long enough.
    missed: bool,
}

#[derive(Clone, Debug)]
enum Who {
    Node(NodeKey),
    Backend(IpAddr),
}

impl Prober {
    /// Who was silent before the start is until it answers.
    pub fn new(seed: u64, remembered: Silence) -> Prober {
        Prober {
            remembered,
            seed,
            clusters: BTreeMap::new(),
            open: BTreeMap::new(),
            asked: 0,
            told: (0, Duration::ZERO),
        }
    }

    /// Whom to ask from now on. Who was asked before goes on as it was.
    pub fn aim(&mut self, aim: &Aim, now: Duration) {
        let wanted = by_cluster(&aim.nodes);
        let backends = by_cluster(&aim.backends);
        self.clusters.retain(|id, _| wanted.contains_key(id));
        for (id, nodes) in wanted {
            let cluster = self.clusters.entry(id).or_default();
            cluster.aim(&nodes, &mut self.remembered.nodes, self.seed, now);
            let backends = backends.get(&id).map_or(&[][..], Vec::as_slice);
            cluster.aim_at_backends(backends, self.seed, now);
            cluster.note_stale(aim.stale.get(&id).copied(), now);
            self.remembered.clusters.remove(&id);
        }
    }

    /// The questions to send now, after those that were waited for in vain have been counted. Answers that are there
    /// already are to be told before.
    pub fn wake(&mut self, now: Duration) -> Vec<Probe> {
        self.count_missed(now);
        let mut probes = Vec::new();
        for (id, cluster) in &mut self.clusters {
            for (who, to) in cluster.due(now) {
                self.asked += 1;
                let number = mix(self.seed ^ mix(self.asked));
                let open = Open {
                    to,
                    who,
                    cluster: *id,
                    sent: now,
                    missed: false,
                };
                self.open.insert(number, open);
                probes.push(Probe { to, number });
            }
        }
        probes
    }

    /// When `wake` wants to be called at the latest.
    pub fn timeout(&self) -> Option<Duration> {
        let waiting = self.open.values().filter(|open| !open.missed);
        let waiting = waiting.map(|open| open.sent + PATIENCE);
        let due = self.clusters.values().filter_map(Cluster::timeout);
        due.chain(waiting).min()
    }

    /// What was not asked, or of another, is no answer.
    pub fn answered(&mut self, number: u64, from: IpAddr, now: Duration) {
        if self.open.get(&number).is_none_or(|open| open.to != from) {
            return;
        }
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        if let Some(cluster) = self.clusters.get_mut(&open.cluster) {
            cluster.answered(&open.who, now);
        }
    }

    /// A question that did not leave this node asks nobody.
    pub fn unsent(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// What the other askers are to be told now.
    pub fn take_doubts(&mut self, now: Duration) -> Vec<Doubt> {
        let (told, since) = &mut self.told;
        if now.saturating_sub(*since) >= Duration::from_secs(1) {
            (*told, *since) = (0, now);
        }
        let doubts = self.clusters.iter_mut().flat_map(|(id, cluster)| {
            let addresses = cluster.doubts.drain(..);
            addresses.map(|address| Doubt {
                cluster: *id,
                address,
            })
        });
        let mut doubts: Vec<Doubt> = doubts.collect();
        doubts.truncate(DOUBTS_MAX - *told);
        *told += doubts.len();
        doubts
    }

    /// Another asker has told of a doubt.
    pub fn doubted(&mut self, doubt: Doubt, now: Duration) {
        if let Some(cluster) = self.clusters.get_mut(&doubt.cluster) {
            cluster.doubted(doubt.address, now);
        }
    }

    fn count_missed(&mut self, now: Duration) {
        for open in self.open.values_mut() {
            if !open.missed && now >= open.sent + PATIENCE {
                open.missed = true;
                if let Some(cluster) = self.clusters.get_mut(&open.cluster) {
                    cluster.missed(&open.who, now);
                }
            }
        }
        // Later than this no answer is worth anything.
        let late = PATIENCE * MISSES_MAX;
        self.open.retain(|_, open| now < open.sent + late);
    }

    pub fn silence(&self) -> Silence {
        let mut silence = self.remembered.clone();
        for (id, cluster) in &self.clusters {
            cluster.tell(*id, &mut silence);
        }
        silence
    }

    pub fn tallies(&self) -> BTreeMap<ClusterId, Tallies> {
        let tallies = self.clusters.iter();
        tallies
            .map(|(id, cluster)| (*id, cluster.tallies()))
            .collect()
    }
}

fn by_cluster(targets: &[Target]) -> BTreeMap<ClusterId, Vec<&Target>> {
    let mut all: BTreeMap<ClusterId, Vec<&Target>> = BTreeMap::new();
    for target in targets {
        all.entry(target.cluster).or_default().push(target);
    }
    all
}

/// A number that shares nothing with those of its neighbours.
fn mix(number: u64) -> u64 {
    mix::finish(number.wrapping_add(mix::STEP))
}

/// What an asker has in common with one that it may ask, and with nobody else.
fn kinship(seed: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    let bytes = bytes.into_iter();
    bytes.fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)))
}
