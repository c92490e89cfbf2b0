//! What is wrong with the ways between processes at present.

use std::time::Duration;

use crate::process::{Process, Who};

/// Some of the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    All,
    Cluster(usize),
    One(Who),
}

/// No letter passes from one group to the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) from: Group,
    pub(crate) to: Group,
    pub(crate) both_ways: bool,
}

/// Letters between two groups take longer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slow {
    pub(crate) between: [Group; 2],
    pub(crate) by: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Links {
    cuts: Vec<(u64, Cut)>,
    slow: Vec<(u64, Slow)>,
}

impl Group {
    fn has(self, process: &Process) -> bool {
        match self {
            Group::All => true,
            Group::Cluster(cluster) => process.cluster == cluster,
            Group::One(who) => process.who == who,
        }
    }
}

impl Links {
    pub(crate) fn add_cut(&mut self, number: u64, cut: Cut) {
        self.cuts.push((number, cut));
    }

    pub(crate) fn add_slow(&mut self, number: u64, slow: Slow) {
        self.slow.push((number, slow));
    }

    pub(crate) fn heal(&mut self, number: u64) {
        self.cuts.retain(|(cut, _)| *cut != number);
        self.slow.retain(|(slow, _)| *slow != number);
    }

    pub(crate) fn is_cut(&self, from: &Process, to: &Process) -> bool {
        self.cuts.iter().any(|(_, cut)| {
            (cut.from.has(from) && cut.to.has(to))
                || (cut.both_ways && cut.from.has(to) && cut.to.has(from))
        })
    }

    pub(crate) fn slowness(&self, one: &Process, other: &Process) -> Duration {
        let slow = self.slow.iter().filter(|(_, slow)| {
            let [from, to] = slow.between;
            (from.has(one) && to.has(other)) || (from.has(other) && to.has(one))
        });
        slow.map(|(_, slow)| slow.by).sum()
    }
}
