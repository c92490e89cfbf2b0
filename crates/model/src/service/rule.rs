//! Which tiers of clusters are used, and in what measure: from counts alone.

use super::{
    Affinity, State,
    grade::Grades,
    hint::{Near, Tally},
};
use std::collections::BTreeMap;

/// Of one tier of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub active: usize,
    pub terminating: usize,
    pub not_ready: usize,
    /// Of the active ones.
    weights: Weights,
}

/// How many have each weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Weights(BTreeMap<u16, usize>);

/// What holds for the members of a pool as long as the counts don't turn it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// By tier.
    portions: Vec<Portion>,
    /// No active one is left among those that are used.
    pub last_resort: bool,
    /// None that could be used is where somebody answers: who answers counts no more.
    pub blind: bool,
    /// Of the own cluster's those alone are used that are meant for whom.
    pub near: Near,
}

/// Of the weights of a tier's members.
#[derive(Clone, Copy, Default)]
struct Shares {
    sum: u64,
    max: u64,
}

/// What a tier's members get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Portion {
    Nothing,
    Whole,
    /// A part of all traffic, which its members share: their weights times `ratio`, on a scale on which the greatest of
    /// the pool becomes `peak`.
    Part {
        ratio: u64,
        peak: u64,
    },
}

/// Parts of all traffic are counted in these.
const PARTS: u64 = 10_000;

impl Weights {
    pub(super) fn add(&mut self, weight: u16) {
        *self.0.entry(weight).or_default() += 1;
    }

    pub(super) fn take(&mut self, weight: u16) {
        if let Some(count) = self.0.get_mut(&weight) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&weight);
            }
        }
    }
}

impl Count {
    pub(super) fn add(&mut self, state: State, weight: u16) {
        match state {
            State::Active => {
                self.active += 1;
                self.weights.add(weight);
            }
            State::Terminating => self.terminating += 1,
            State::NotReady => self.not_ready += 1,
            State::Ending => {}
        }
    }

    pub(super) fn take(&mut self, state: State, weight: u16) {
        match state {
            State::Active => {
                self.active -= 1;
                self.weights.take(weight);
            }
            State::Terminating => self.terminating -= 1,
            State::NotReady => self.not_ready -= 1,
            State::Ending => {}
        }
    }

    /// As Cilium has it.
    fn is_healthy(&self) -> bool {
        self.active + self.terminating > 0
    }

    /// What those who share have of weight, without those that are left to others.
    fn shares(&self, left: Option<&Weights>) -> Shares {
        let mut shares = Shares::default();
        for (weight, count) in &self.weights.0 {
            let left = left.and_then(|left| left.0.get(weight)).copied();
            let count = count - left.unwrap_or_default();
            if count > 0 {
                shares.sum += u64::from(*weight) * count as u64;
                shares.max = u64::from(*weight);
            }
        }
        shares
    }
}

impl Portion {
    pub(super) fn of(self, weight: u16) -> u16 {
        match self {
            Portion::Nothing => 0,
            Portion::Whole => weight,
            Portion::Part { ratio, peak } => {
                let scaled = u128::from(weight) * u128::from(ratio) * u128::from(u16::MAX)
                    / u128::from(peak);
                (scaled as u16).max(1)
            }
        }
    }
}

impl Rule {
    /// `counts` are those who answer and `lost` those who don't, by tier.
    pub(super) fn of(
        affinity: Affinity,
        grades: &Grades,
        counts: &[Count],
        lost: &[Count],
        hints: &Tally,
    ) -> Rule {
        let blind = !counts.iter().any(Count::is_healthy);
        let counts = if blind { lost } else { counts };
        let near = hints.near();
        let spilt = grades.spill_over.and_then(|percent| {
            // Who does not answer is missed like who is not ready.
            let missed = |tier: usize| if blind { 0 } else { lost[tier].active };
            // With hints the weights are those of who is left.
            let left = hints.weights(near);
            let shares = |tier: usize| counts[tier].shares(left.filter(|_| tier == hints.tier));
            spill_over(percent, counts, missed, shares)
        });
        let portions = match spilt {
            Some(portions) => portions,
            None if grades.is_ordered() => first(counts),
            None => by_affinity(affinity, counts),
        };
        let used = portions.iter().zip(counts);
        let active: usize = used
            .filter(|(portion, _)| **portion != Portion::Nothing)
            .map(|(_, count)| count.active)
            .sum();
        Rule {
            portions,
            last_resort: active == 0,
            blind,
            near,
        }
    }

    pub(super) fn portion(&self, tier: usize) -> Portion {
        self.portions[tier]
    }
}

/// How many tiers there are.
pub(super) fn tiers(affinity: Affinity, grades: &Grades) -> usize {
    match (grades.is_ordered(), affinity) {
        (true, _) => grades.tiers(),
        (false, Affinity::None) => 1,
        (false, Affinity::Local | Affinity::Remote) => 2,
    }
}

pub(super) fn tier(affinity: Affinity, grades: &Grades, cluster: &str, is_own: bool) -> usize {
    match (grades.is_ordered(), affinity) {
        (true, _) => grades.tier(cluster, is_own),
        (false, Affinity::None) => 0,
        (false, Affinity::Local) => usize::from(!is_own),
        (false, Affinity::Remote) => usize::from(is_own),
    }
}

/// As Cilium has it. The second tier is the one that is not preferred.
fn by_affinity(affinity: Affinity, counts: &[Count]) -> Vec<Portion> {
    let second = match (affinity, counts) {
        (Affinity::Local, [local, remote]) => local.active == 0 && remote.is_healthy(),
        (Affinity::Remote, [remote, local]) => !remote.is_healthy() && local.is_healthy(),
        _ => return vec![Portion::Whole; counts.len()],
    };
    vec![
        Portion::Whole,
        if second {
            Portion::Whole
        } else {
            Portion::Nothing
        },
    ]
}

/// The first tier with somebody who is ready; if there is none, the first with somebody who is on the way out.
fn first(counts: &[Count]) -> Vec<Portion> {
    let ready = counts.iter().position(|count| count.active > 0);
    let turn = ready.or_else(|| counts.iter().position(Count::is_healthy));
    let portion = |tier: usize| match turn {
        Some(turn) if tier > turn => Portion::Nothing,
        _ => Portion::Whole,
    };
    (0..counts.len()).map(portion).collect()
}

/// Each tier takes as much of what comes to it as it has ready backends, and the next one gets the rest. Nothing if none is
/// ready anywhere. Those that are on their way out are missed by nobody.
fn spill_over(
    percent: u8,
    counts: &[Count],
    missed: impl Fn(usize) -> usize,
    shares: impl Fn(usize) -> Shares,
) -> Option<Vec<Portion>> {
    let mut rest = PARTS;
    let mut parts = Vec::with_capacity(counts.len());
    for (tier, count) in counts.iter().enumerate() {
        let ready = count.active as u64;
        let enough = (ready + (count.not_ready + missed(tier)) as u64) * u64::from(percent);
        let able = match ready {
            0 => 0,
            _ => (ready * PARTS * 100 / enough).max(1),
        };
        let part = able.min(rest);
        rest -= part;
        parts.push(part);
    }
    // If all together are not able to take it all, each takes more, in the same proportion: the scale below is relative.
    let ratio = |(tier, part): (usize, &u64)| match shares(tier).sum {
        0 => 0,
        weight => (*part << 32) / weight,
    };
    let ratios: Vec<u64> = parts.iter().enumerate().map(ratio).collect();
    let peaks = ratios.iter().enumerate();
    let peak = peaks.map(|(tier, ratio)| ratio * shares(tier).max).max()?;
    if peak == 0 {
        return None;
    }
    // A tier before the last that is used has nobody ready, or takes its part.
    let last = parts.iter().rposition(|part| *part > 0)?;
    let portion = |(tier, ratio): (usize, &u64)| match *ratio {
        0 if tier > last => Portion::Nothing,
        0 => Portion::Whole,
        ratio => Portion::Part { ratio, peak },
    };
    Some(ratios.iter().enumerate().map(portion).collect())
}
