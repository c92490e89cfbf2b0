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
pub(crate) struct Pool {
    /// Its name: the frontend that is the service's own.
    pub name: Frontend,
    pub port: String,
    pub(super) terms: Terms,
    /// Only for what comes from outside, since other backends answer that than what comes from pods.
    pub outside: bool,
    members: BTreeMap<Backend, Member>,
    /// By tier.
    counts: Vec<Count>,
    /// Of those where nobody answers, which `counts` leaves out.
    lost: Vec<Count>,
    hints: Tally,
    /// What follows from the counts.
    rule: Rule,
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
    /// Who offers it, sorted: mostly one. The first is believed.
    claims: Vec<(Claim, Claimed)>,
}

/// What a member counts for in its pool.
struct Standing {
    tier: usize,
    state: State,
    weight: u16,
    is_lost: bool,
    /// Absent if hints say nothing of it here.
    hint: Option<Hint>,
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
        let counts = vec![Count::default(); tiers];
        let hints = Tally::default();
        Pool {
            name,
            port,
            outside: false,
            members: BTreeMap::new(),
            rule: terms.rule(&counts, &counts, &hints),
            lost: counts.clone(),
            counts,
            hints,
            terms,
        }
    }

    /// Whether it is of this port, and of the address's family.
    pub(super) fn is_of(&self, port: &str, protocol: Protocol, ip: IpAddr) -> bool {
        self.port == port
            && self.name.protocol == protocol
            && self.name.ip.is_ipv4() == ip.is_ipv4()
    }

    pub(super) fn claim(&mut self, backend: Backend, claim: Claim, claimed: Claimed) -> Changed {
        self.change(backend, |member| member.insert(claim, claimed))
    }

    pub(super) fn unclaim(&mut self, backend: Backend, claim: &Claim) -> Changed {
        if !self.members.contains_key(&backend) {
            return Changed::Nothing;
        }
        self.change(backend, |member| member.remove(claim))
    }

    fn change(&mut self, backend: Backend, change: impl FnOnce(&mut Member)) -> Changed {
        let member = self.members.entry(backend).or_default();
        let former = member.believed().cloned();
        change(member);
        let now = member.believed();
        let is_same = former.as_ref() == now;
        let standing = |(claim, claimed): &_| self.terms.standing(claim, claimed);
        let before = former.as_ref().and_then(standing);
        let after = now.and_then(standing);
        if now.is_none() {
            self.members.remove(&backend);
        }
        if is_same {
            return Changed::Nothing;
        }
        if let Some(standing) = before {
            self.count(standing, Count::take, Tally::take);
        }
        if let Some(standing) = after {
            self.count(standing, Count::add, Tally::add);
        }
        let rule = self.terms.rule(&self.counts, &self.lost, &self.hints);
        if rule == self.rule {
            return Changed::One;
        }
        self.rule = rule;
        Changed::All
    }

    fn count(
        &mut self,
        standing: Standing,
        change: impl FnOnce(&mut Count, State, u16),
        change_hints: impl FnOnce(&mut Tally, Hint, u16),
    ) {
        let Standing {
            tier,
            state,
            weight,
            is_lost,
            hint,
        } = standing;
        let counts = match is_lost {
            false => &mut self.counts,
            true => &mut self.lost,
        };
        change(&mut counts[tier], state, weight);
        if let Some(hint) = hint {
            self.hints.tier = tier;
            change_hints(&mut self.hints, hint, weight);
        }
    }

    pub(super) fn verdict(&self, backend: &Backend) -> Option<Verdict<'_>> {
        self.judge(self.members.get(backend)?)
    }

    /// What the kernel should hold of one.
    pub(crate) fn path(&self, backend: &Backend) -> Option<BackendPath> {
        self.verdict(backend)?.path
    }

    pub(super) fn verdicts(&self) -> impl Iterator<Item = (&Backend, Verdict<'_>)> {
        let judged = |(backend, member)| Some((backend, self.judge(member)?));
        self.members.iter().filter_map(judged)
    }

    fn judge<'a>(&'a self, member: &'a Member) -> Option<Verdict<'a>> {
        let Pool { terms, rule, .. } = self;
        let (claim, claimed) = member.believed()?;
        let lost = claimed.lost.filter(|_| !rule.blind);
        let weight = terms.weight(claim, claimed);
        let portion = rule.portion(terms.tier(claim, claimed));
        let (weight, reason) = match (terms.barred(claim, claimed), claimed.state) {
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
            let claims = member.claims.iter();
            claims.map(|(claim, _)| (*backend, claim.clone()))
        });
        all.filter(|(_, claim)| is_meant(claim)).collect()
    }
}

impl Terms {
    fn rule(&self, counts: &[Count], lost: &[Count], hints: &Tally) -> Rule {
        Rule::of(self.sharing.affinity, &self.grades, counts, lost, hints)
    }

    /// Nothing if it counts for nothing.
    fn standing(&self, claim: &Claim, claimed: &Claimed) -> Option<Standing> {
        let weight = self.weight(claim, claimed);
        if self.barred(claim, claimed).is_some() || weight == 0 {
            return None;
        }
        // A node that answers alone needs no hints.
        let may_be_hinted = claim.cluster == self.own && self.only_node.is_none();
        let is_hinted = may_be_hinted && claimed.state == State::Active;
        Some(Standing {
            tier: self.tier(claim, claimed),
            state: claimed.state,
            weight,
            is_lost: claimed.lost.is_some(),
            hint: is_hinted.then_some(claimed.hint),
        })
    }

    fn tier(&self, claim: &Claim, claimed: &Claimed) -> usize {
        let is_own = claim.cluster == self.own;
        rule::tier(
            self.sharing.affinity,
            &self.grades,
            &claimed.cluster,
            is_own,
        )
    }

    /// Against the others of its tier.
    fn weight(&self, claim: &Claim, claimed: &Claimed) -> u16 {
        if claim.rank == Rank::Kept {
            return claimed.weight;
        }
        let is_own = claim.cluster == self.own;
        self.grades.weigh(claimed.weight, &claimed.cluster, is_own)
    }

    fn barred(&self, claim: &Claim, claimed: &Claimed) -> Option<Reason> {
        if claim.cluster != self.own && !self.sharing.global {
            return Some(Reason::NotGlobal);
        }
        // Nodes of several clusters may have one name.
        let elsewhere = self
            .only_node
            .as_ref()
            .is_some_and(|node| claim.cluster != self.own || claimed.node.as_ref() != Some(node));
        elsewhere.then_some(Reason::OtherNode)
    }
}

impl Member {
    fn believed(&self) -> Option<&(Claim, Claimed)> {
        self.claims.first()
    }

    fn insert(&mut self, claim: Claim, claimed: Claimed) {
        match self.claims.binary_search_by(|(other, _)| other.cmp(&claim)) {
            Ok(at) => self.claims[at].1 = claimed,
            Err(at) => {
                self.claims.reserve_exact(1);
                self.claims.insert(at, (claim, claimed));
            }
        }
    }

    fn remove(&mut self, claim: &Claim) {
        self.claims.retain(|(other, _)| other != claim);
    }
}
