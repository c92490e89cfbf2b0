//! What answers at one port and family of a service, and who of it gets what: the one place where that is decided.
//!
//! Whether a cluster's backends are used depends on counts alone, so that one changed backend is weighed without a look at
//! the others; only where the counts turn the rule do all rows change.

use super::{Affinity, Backend, BackendPath, Frontend, Sharing, State};
use crate::id::ClusterId;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// One port of a service in one family.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// Its name: the frontend that is the service's own.
    pub name: Frontend,
    pub port: String,
    pub terms: Terms,
    members: BTreeMap<Backend, Member>,
    counts: [Count; 2],
}

/// What the service's definition says of who may answer.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub sharing: Sharing,
    pub own: ClusterId,
    /// Set if only this node's backends may answer.
    pub only_node: Option<Arc<str>>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    /// Who offers it. The first is believed.
    claims: BTreeMap<Claim, Claimed>,
}

/// By whose word a backend is there; the best informed come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub rank: Rank,
    pub cluster: ClusterId,
    /// Which of the cluster's slices.
    pub part: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The own cluster's slices.
    Own,
    /// A peer's slices, which tell of those that end.
    Slice,
    /// A peer's record, which has those that answer.
    Record,
    /// The kernel, from before the start; its cluster has not been heard since.
    Kept,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub state: State,
    pub weight: u16,
    pub node: Option<Arc<str>>,
    pub cluster: Arc<str>,
}

/// Of one group: of the own cluster or of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    active: usize,
    terminating: usize,
}

/// What holds for the members of a pool as long as the counts don't turn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// Whether local and remote members are used.
    used: [bool; 2],
    /// No active one is left among those that are used.
    last_resort: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Local = 0,
    Remote = 1,
}

/// Why a backend gets what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Used,
    LastResort,
    LocalPreferred,
    RemotePreferred,
    Drains,
    Ends,
    NotReady,
    NoWeight,
    NotGlobal,
    OtherNode,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Used => "ready",
            Reason::LastResort => "on its way out, but none that is used is ready",
            Reason::LocalPreferred => "affinity local: this cluster has ready backends",
            Reason::RemotePreferred => "affinity remote: other clusters have ready backends",
            Reason::Drains => "on its way out: keeps its connections, gets no new ones",
            Reason::Ends => "on its way out and not serving: gets no new connections",
            Reason::NotReady => "not ready",
            Reason::NoWeight => "its weight is 0: keeps its connections, gets no new ones",
            Reason::NotGlobal => "the service is not global in this cluster",
            Reason::OtherNode => "internalTrafficPolicy Local: it is on another node",
        })
    }
}

/// What a member gets, and why.
#[derive(Clone, Debug)]
pub(super) struct Verdict<'a> {
    /// Nothing if the kernel need not know of it.
    pub path: Option<BackendPath>,
    pub reason: Reason,
    pub claimed: &'a Claimed,
    pub cluster: ClusterId,
}

/// Whose rows may be others now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    One,
    All,
}

impl Pool {
    pub(super) fn new(name: Frontend, port: String, terms: Terms) -> Pool {
        Pool {
            name,
            port,
            terms,
            members: BTreeMap::new(),
            counts: [Count::default(); 2],
        }
    }

    pub(super) fn claim(&mut self, backend: Backend, claim: Claim, claimed: Claimed) -> Changed {
        self.change(backend, |member| {
            member.claims.insert(claim, claimed);
        })
    }

    pub(super) fn unclaim(&mut self, backend: Backend, claim: &Claim) -> Changed {
        if !self.members.contains_key(&backend) {
            return Changed::Nothing;
        }
        self.change(backend, |member| {
            member.claims.remove(claim);
        })
    }

    fn change(&mut self, backend: Backend, change: impl FnOnce(&mut Member)) -> Changed {
        let before = self.rule();
        let member = self.members.entry(backend).or_default();
        let former = member
            .believed()
            .map(|(claim, claimed)| (claim.clone(), claimed.clone()));
        change(member);
        let now = member
            .believed()
            .map(|(claim, claimed)| (claim.clone(), claimed.clone()));
        if now.is_none() {
            self.members.remove(&backend);
        }
        if former == now {
            return Changed::Nothing;
        }
        if let Some((claim, claimed)) = former {
            self.count(&claim, &claimed, |count| *count -= 1);
        }
        if let Some((claim, claimed)) = now {
            self.count(&claim, &claimed, |count| *count += 1);
        }
        if self.rule() == before {
            Changed::One
        } else {
            Changed::All
        }
    }

    fn count(&mut self, claim: &Claim, claimed: &Claimed, change: impl FnOnce(&mut usize)) {
        if self.barred(claim, claimed).is_some() || claimed.weight == 0 {
            return;
        }
        let count = &mut self.counts[self.group(claim.cluster) as usize];
        match claimed.state {
            State::Active => change(&mut count.active),
            State::Terminating => change(&mut count.terminating),
            State::Ending | State::NotReady => {}
        }
    }

    fn group(&self, cluster: ClusterId) -> Group {
        if cluster == self.terms.own {
            Group::Local
        } else {
            Group::Remote
        }
    }

    fn barred(&self, claim: &Claim, claimed: &Claimed) -> Option<Reason> {
        if claim.cluster != self.terms.own && !self.terms.sharing.global {
            return Some(Reason::NotGlobal);
        }
        let only = self.terms.only_node.as_ref();
        // Nodes of several clusters may have one name.
        let elsewhere = only.is_some_and(|node| {
            claim.cluster != self.terms.own || claimed.node.as_ref() != Some(node)
        });
        elsewhere.then_some(Reason::OtherNode)
    }

    /// As Cilium has it: healthy are those that are active or on their way out.
    fn rule(&self) -> Rule {
        let [local, remote] = self.counts;
        let healthy = |count: Count| count.active + count.terminating > 0;
        let used = match self.terms.sharing.affinity {
            Affinity::None => [true, true],
            Affinity::Local => [true, local.active == 0 && healthy(remote)],
            Affinity::Remote => [!healthy(remote) && healthy(local), true],
        };
        let active: usize = (0..2)
            .filter(|group| used[*group])
            .map(|group| self.counts[group].active)
            .sum();
        Rule {
            used,
            last_resort: active == 0,
        }
    }

    pub(super) fn verdict(&self, backend: &Backend) -> Option<Verdict<'_>> {
        self.judge(self.members.get(backend)?, self.rule())
    }

    pub(super) fn verdicts(&self) -> impl Iterator<Item = (&Backend, Verdict<'_>)> {
        let rule = self.rule();
        let judged = move |(backend, member)| Some((backend, self.judge(member, rule)?));
        self.members.iter().filter_map(judged)
    }

    fn judge<'a>(&self, member: &'a Member, rule: Rule) -> Option<Verdict<'a>> {
        let (claim, claimed) = member.believed()?;
        let group = self.group(claim.cluster);
        let (weight, reason) = match (self.barred(claim, claimed), claimed.state) {
            (Some(reason), _) => (None, reason),
            (None, State::NotReady) => (None, Reason::NotReady),
            (None, State::Ending) => (Some(0), Reason::Ends),
            (None, _) if claimed.weight == 0 => (Some(0), Reason::NoWeight),
            (None, _) if !rule.used[group as usize] => match group {
                Group::Local => (Some(0), Reason::RemotePreferred),
                Group::Remote => (Some(0), Reason::LocalPreferred),
            },
            (None, State::Active) => (Some(claimed.weight), Reason::Used),
            (None, State::Terminating) if rule.last_resort => {
                (Some(claimed.weight), Reason::LastResort)
            }
            (None, State::Terminating) => (Some(0), Reason::Drains),
        };
        let cluster = claim.cluster;
        Some(Verdict {
            path: weight.map(|weight| BackendPath { cluster, weight }),
            reason,
            claimed,
            cluster,
        })
    }

    pub(super) fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.members.keys()
    }

    /// The backends that this claim speaks of, for the few claims that end as a whole.
    pub(super) fn claimed_by(&self, is_meant: impl Fn(&Claim) -> bool) -> Vec<(Backend, Claim)> {
        let all = self.members.iter().flat_map(|(backend, member)| {
            member.claims.keys().map(|claim| (*backend, claim.clone()))
        });
        all.filter(|(_, claim)| is_meant(claim)).collect()
    }
}

impl Member {
    fn believed(&self) -> Option<(&Claim, &Claimed)> {
        self.claims.first_key_value()
    }
}
