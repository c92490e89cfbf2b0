//! What answers at one port and family of a service, and who of it gets what: the one place where that is decided.
//!
//! Whether a cluster's backends are used depends on counts alone, so that one changed backend is weighed without a look at
//! the others; only where the counts turn the rule do all rows change.

use super::{
    Backend, BackendPath, Frontend, Grades, Protocol, Sharing, State,
    hint::{Hint, Near, Tally},
    rule::{self, Count, Portion, Rule},
    silent::Lost,
};
use crate::id::ClusterId;
use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

/// One port of a service in one family.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// Its name: the frontend that is the service's own.
    pub name: Frontend,
    pub port: String,
    pub terms: Terms,
    /// Only for what comes from outside, since other backends answer that than what comes from pods.
    pub outside: bool,
    members: BTreeMap<Backend, Member>,
    /// By tier.
    counts: Vec<Count>,
    /// Of those where nobody answers, which `counts` leaves out.
    lost: Vec<Count>,
    hints: Tally,
}

/// What the service's definition says of who may answer.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub sharing: Sharing,
    pub grades: Arc<Grades>,
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
    /// Nobody answers where it is.
    pub lost: Option<Lost>,
    pub hint: Hint,
}

/// Why a backend gets what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Used,
    LastResort,
    /// Not used: others are where somebody answers.
    Lost(Lost),
    /// Used all the same: no other one is left.
    Blind(Lost),
    LocalPreferred,
    RemotePreferred,
    EarlierPreferred,
    OtherZones,
    OtherNodes,
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
            Reason::Lost(_) => "nobody answers there",
            Reason::Blind(_) => "nobody answers there, and no other backend is left",
            Reason::LastResort => "on its way out, but none that is used is ready",
            Reason::LocalPreferred => "affinity local: this cluster has ready backends",
            Reason::RemotePreferred => "affinity remote: other clusters have ready backends",
            Reason::EarlierPreferred => "cluster-order: a cluster that comes before it takes all",
            Reason::OtherZones => "for other zones: this one has ready backends of its own",
            Reason::OtherNodes => "for other nodes: this one has ready backends of its own",
            Reason::Drains => "on its way out: keeps its connections, gets no new ones",
            Reason::Ends => "on its way out and not serving: gets no new connections",
            Reason::NotReady => "not ready",
            Reason::NoWeight => "its weight is 0: keeps its connections, gets no new ones",
            Reason::NotGlobal => "the service is not global in this cluster",
            Reason::OtherNode => "traffic policy Local: it is on another node",
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
        let tiers = rule::tiers(terms.sharing.affinity, &terms.grades);
        Pool {
            name,
            port,
            terms,
            outside: false,
            members: BTreeMap::new(),
            counts: vec![Count::default(); tiers],
            lost: vec![Count::default(); tiers],
            hints: Tally::default(),
        }
    }

    /// Whether it is of this port, and of the address's family.
    pub(super) fn is_of(&self, port: &str, protocol: Protocol, ip: IpAddr) -> bool {
        self.port == port
            && self.name.protocol == protocol
            && self.name.ip.is_ipv4() == ip.is_ipv4()
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
            self.count(&claim, &claimed, Count::take, Tally::take);
        }
        if let Some((claim, claimed)) = now {
            self.count(&claim, &claimed, Count::add, Tally::add);
        }
        if self.rule() == before {
            Changed::One
        } else {
            Changed::All
        }
    }

    fn count(
        &mut self,
        claim: &Claim,
        claimed: &Claimed,
        change: impl FnOnce(&mut Count, State, u16),
        change_hints: impl FnOnce(&mut Tally, Hint, u16),
    ) {
        let weight = self.weight(claim, claimed);
        if self.barred(claim, claimed).is_some() || weight == 0 {
            return;
        }
        let tier = self.tier(claim, claimed);
        let counts = match claimed.lost {
            None => &mut self.counts,
            Some(_) => &mut self.lost,
        };
        change(&mut counts[tier], claimed.state, weight);
        if self.may_be_hinted(claim) && claimed.state == State::Active {
            self.hints.tier = tier;
            change_hints(&mut self.hints, claimed.hint, weight);
        }
    }

    /// Whether hints say something of it here: a node that answers alone needs none.
    fn may_be_hinted(&self, claim: &Claim) -> bool {
        claim.cluster == self.terms.own && self.terms.only_node.is_none()
    }

    fn tier(&self, claim: &Claim, claimed: &Claimed) -> usize {
        let Terms {
            sharing, grades, ..
        } = &self.terms;
        let is_own = claim.cluster == self.terms.own;
        rule::tier(sharing.affinity, grades, &claimed.cluster, is_own)
    }

    /// Against the others of its tier.
    fn weight(&self, claim: &Claim, claimed: &Claimed) -> u16 {
        if claim.rank == Rank::Kept {
            return claimed.weight;
        }
        let is_own = claim.cluster == self.terms.own;
        let grades = &self.terms.grades;
        grades.weigh(claimed.weight, &claimed.cluster, is_own)
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

    fn rule(&self) -> Rule {
        let Terms {
            sharing, grades, ..
        } = &self.terms;
        Rule::of(
            sharing.affinity,
            grades,
            &self.counts,
            &self.lost,
            &self.hints,
        )
    }

    pub(super) fn verdict(&self, backend: &Backend) -> Option<Verdict<'_>> {
        self.judge(self.members.get(backend)?, &self.rule())
    }

    pub(super) fn verdicts(&self) -> impl Iterator<Item = (&Backend, Verdict<'_>)> {
        let rule = self.rule();
        let judged = move |(backend, member)| Some((backend, self.judge(member, &rule)?));
        self.members.iter().filter_map(judged)
    }

    fn judge<'a>(&self, member: &'a Member, rule: &Rule) -> Option<Verdict<'a>> {
        let (claim, claimed) = member.believed()?;
        let lost = claimed.lost.filter(|_| !rule.blind);
        let weight = self.weight(claim, claimed);
        let portion = rule.portion(self.tier(claim, claimed));
        let (weight, reason) = match (self.barred(claim, claimed), claimed.state) {
            (Some(reason), _) => (None, reason),
            (None, State::NotReady) => (None, Reason::NotReady),
            (None, State::Ending) => (Some(0), Reason::Ends),
            (None, _) if weight == 0 => (Some(0), Reason::NoWeight),
            (None, _) if let Some(lost) = lost => (Some(0), Reason::Lost(lost)),
            (None, _) if portion == Portion::Nothing => (Some(0), self.preferred(claim.cluster)),
            (None, State::Active) if claimed.hint.is_for_others(rule.near) => {
                (Some(0), Pool::left(rule.near))
            }
            (None, State::Active) => (Some(portion.of(weight)), Reason::Used),
            (None, State::Terminating) if rule.last_resort => (Some(weight), Reason::LastResort),
            (None, State::Terminating) => (Some(0), Reason::Drains),
        };
        let reason = match (reason, claimed.lost) {
            (Reason::Used | Reason::LastResort, Some(lost)) => Reason::Blind(lost),
            (reason, _) => reason,
        };
        let cluster = claim.cluster;
        Some(Verdict {
            path: weight.map(|weight| BackendPath {
                cluster,
                weight,
                lost: lost.is_some(),
            }),
            reason,
            claimed,
            cluster,
        })
    }

    /// Some are ready, and none of them may be given anything.
    pub(super) fn has_no_weight(&self) -> bool {
        let judged = self
            .verdicts()
            .filter(|(_, verdict)| verdict.path.is_some());
        let ready = judged.filter(|(_, verdict)| verdict.claimed.state == State::Active);
        let mut ready = ready.peekable();
        ready.peek().is_some() && ready.all(|(_, verdict)| verdict.reason == Reason::NoWeight)
    }

    /// Why it is left to others.
    fn left(near: Near) -> Reason {
        match near {
            Near::Node => Reason::OtherNodes,
            Near::All | Near::Zone => Reason::OtherZones,
        }
    }

    /// Every ready backend of the own cluster is meant for a zone, and none for this node's.
    pub(super) fn has_no_zone(&self) -> bool {
        self.hints.has_no_zone()
    }

    /// Why a cluster's turn does not come.
    fn preferred(&self, cluster: ClusterId) -> Reason {
        match (self.terms.grades.is_ordered(), cluster == self.terms.own) {
            (true, _) => Reason::EarlierPreferred,
            (false, true) => Reason::RemotePreferred,
            (false, false) => Reason::LocalPreferred,
        }
    }

    pub(super) fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.members.keys()
    }

    /// Asks of every member anew whether it is lost.
    pub(super) fn judge_lost(
        &mut self,
        is_lost: impl Fn(&Backend, &Claim, &Claimed) -> Option<Lost>,
    ) -> Vec<(Backend, Changed)> {
        let mut other = Vec::new();
        for (backend, member) in &self.members {
            let mut claims = member.claims.iter();
            if claims.any(|(claim, claimed)| is_lost(backend, claim, claimed) != claimed.lost) {
                other.push(*backend);
            }
        }
        let judge = |backend| {
            let changed = self.change(backend, |member| {
                for (claim, claimed) in &mut member.claims {
                    claimed.lost = is_lost(&backend, claim, claimed);
                }
            });
            (backend, changed)
        };
        other.into_iter().map(judge).collect()
    }

    /// The believed backends, each with its cluster and what that tells of it.
    pub(super) fn places(&self) -> impl Iterator<Item = (ClusterId, IpAddr, &Claimed)> {
        self.members.iter().filter_map(|(backend, member)| {
            let (claim, claimed) = member.believed()?;
            Some((claim.cluster, backend.ip, claimed))
        })
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
