//! Who claims which address: every claim is kept, one of them counts.
//!
//! The greater source wins, our own cluster's store among those of clusters, within a source the later claim. What a
//! claim is worth is judged by those who know the nodes. There are as many claims as pods in the mesh, so a claim is kept
//! as four numbers; owners and hosts, of which there are few, stand elsewhere once.

use crate::{
    fact::{Address, AddressKey, Source},
    id::{ClusterId, Identity},
    prefix::PrefixMap,
    refusal::Refusal,
};
use ipnet::IpNet;
use slab::Slab;
use std::{collections::BTreeMap, mem, net::IpAddr, sync::Arc};

mod slab;
#[cfg(test)]
mod tests;

/// The kernel's table has twice the room: nodes, their ranges and those who wait for their end want some as well.
const CLAIMS_MAX: usize = 512_000;

pub(crate) struct Ipcache {
    own: ClusterId,
    claims_max: usize,
    count: usize,
    /// The strongest claim of each prefix.
    strongest: PrefixMap<Kept>,
    /// The others of the few prefixes that have any, the strongest first.
    others: BTreeMap<IpNet, Vec<Kept>>,
    sources: BTreeMap<Source, Told>,
    owners: Slab<Owner>,
    hosts: Slab<Host>,
    host_numbers: BTreeMap<(IpAddr, Source), u32>,
    /// Claims that are known and not believed, by prefix and owner.
    refused: BTreeMap<(IpNet, u32), Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) source: Source,
    pub(crate) address: Address,
}

/// A claim, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    owner: u32,
    host: u32,
    identity: Identity,
    /// The snapshot in which it was told last.
    snapshot: u32,
}

/// Who has claims, by the word of one source.
struct Owner {
    source: Source,
    name: Arc<str>,
    claims: usize,
}

/// Where claims live, by the word of one source.
struct Host {
    source: Source,
    address: IpAddr,
    prefixes: PrefixMap<()>,
}

/// How much a source has told.
#[derive(Default)]
struct Told {
    snapshot: u32,
    claims: usize,
    /// Of them those of the present snapshot.
    repeated: usize,
    /// What was told since it began, and found no room. It finds its place in the next snapshot at the earliest.
    excess: usize,
    owners: BTreeMap<Arc<str>, u32>,
}

impl Ipcache {
    pub(crate) fn new(own: ClusterId) -> Ipcache {
        Ipcache {
            own,
            claims_max: CLAIMS_MAX,
            count: 0,
            strongest: PrefixMap::default(),
            others: BTreeMap::new(),
            sources: BTreeMap::new(),
            owners: Slab::default(),
            hosts: Slab::default(),
            host_numbers: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// A snapshot of the source begins.
    pub(crate) fn restart(&mut self, source: Source) {
        let told = self.sources.entry(source).or_default();
        told.snapshot = told.snapshot.wrapping_add(1);
        told.repeated = 0;
        told.excess = 0;
    }

    /// Whether there is something new.
    pub(crate) fn upsert(&mut self, source: Source, key: AddressKey, address: Address) -> bool {
        let AddressKey { prefix, owner } = key;
        let told = self.sources.entry(source).or_default();
        if let Some(owner) = told.owners.get(owner.as_str()).copied()
            && let Some(kept) = find(&mut self.strongest, &mut self.others, &prefix, owner)
        {
            told.repeated += usize::from(kept.snapshot != told.snapshot);
            kept.snapshot = told.snapshot;
            // A claim that is only repeated does not become a later one.
            if kept.identity == address.identity && self.hosts[kept.host].address == address.host {
                return false;
            }
            self.remove(&prefix, owner);
        }
        if self.count >= self.claims_max {
            self.sources.entry(source).or_default().excess += 1;
            return false;
        }
        self.insert(source, prefix, owner, address);
        true
    }

    /// Whether it was there.
    pub(crate) fn delete(&mut self, source: Source, key: &AddressKey) -> bool {
        let Some(told) = self.sources.get_mut(&source) else {
            return false;
        };
        let owner = told.owners.get(key.owner.as_str()).copied();
        let removed = owner.is_some_and(|owner| self.remove(&key.prefix, owner));
        if !removed && let Some(told) = self.sources.get_mut(&source) {
            told.excess = told.excess.saturating_sub(1);
        }
        removed
    }

    /// Deletes what a source did not repeat in its snapshot.
    pub(crate) fn sweep(&mut self, source: Source) -> Vec<IpNet> {
        let Some(told) = self
            .sources
            .get(&source)
            .filter(|told| told.repeated < told.claims)
        else {
            return Vec::new();
        };
        let mut old = Vec::new();
        for (number, host) in self.hosts.iter().filter(|(_, host)| host.source == source) {
            for prefix in host.prefixes.keys() {
                let kept = self.kept(&prefix).filter(|kept| kept.host == number);
                let kept = kept.filter(|kept| kept.snapshot != told.snapshot);
                old.extend(kept.map(|kept| (prefix, kept.owner)));
            }
        }
        for (prefix, owner) in &old {
            self.remove(prefix, *owner);
        }
        old.into_iter().map(|(prefix, _)| prefix).collect()
    }

    fn insert(&mut self, source: Source, prefix: IpNet, owner: String, address: Address) {
        let told = self.sources.entry(source).or_default();
        let owner = match told.owners.get(owner.as_str()) {
            Some(owner) => *owner,
            None => {
                let name: Arc<str> = owner.into();
                let claims = 0;
                let number = self.owners.insert(Owner {
                    source,
                    name: name.clone(),
                    claims,
                });
                told.owners.insert(name, number);
                number
            }
        };
        let host = *self
            .host_numbers
            .entry((address.host, source))
            .or_insert_with(|| {
                self.hosts.insert(Host {
                    source,
                    address: address.host,
                    prefixes: PrefixMap::default(),
                })
            });
        let kept = Kept {
            owner,
            host,
            identity: address.identity,
            snapshot: told.snapshot,
        };
        told.claims += 1;
        told.repeated += 1;
        self.count += 1;
        self.owners[owner].claims += 1;
        self.hosts[host].prefixes.insert(prefix, ());
        let stronger =
            |other: &Kept| rank(self.owners[other.owner].source, self.own) > rank(source, self.own);
        match self.strongest.get_mut(&prefix) {
            None => {
                self.strongest.insert(prefix, kept);
            }
            Some(first) => {
                let others = self.others.entry(prefix).or_default();
                let (place, weaker) = match stronger(first) {
                    true => (others.partition_point(stronger), kept),
                    false => (0, mem::replace(first, kept)),
                };
                others.insert(place, weaker);
            }
        }
    }

    /// Whether it was there.
    fn remove(&mut self, prefix: &IpNet, owner: u32) -> bool {
        let Some(kept) = self.take(prefix, owner) else {
            return false;
        };
        self.refused.remove(&(*prefix, owner));
        self.count -= 1;
        let Owner { source, .. } = self.owners[owner];
        let told = self.sources.entry(source).or_default();
        told.claims -= 1;
        told.repeated -= usize::from(kept.snapshot == told.snapshot);
        self.owners[owner].claims -= 1;
        if self.owners[owner].claims == 0 {
            told.owners.remove(&self.owners.remove(owner).name);
        }
        if !self.kept(prefix).any(|other| other.host == kept.host) {
            let host = &mut self.hosts[kept.host];
            host.prefixes.remove(prefix);
            if host.prefixes.is_empty() {
                self.host_numbers.remove(&(host.address, host.source));
                self.hosts.remove(kept.host);
            }
        }
        true
    }

    fn take(&mut self, prefix: &IpNet, owner: u32) -> Option<Kept> {
        let first = self.strongest.get_mut(prefix)?;
        let Some(others) = self.others.get_mut(prefix) else {
            return (first.owner == owner).then(|| self.strongest.remove(prefix))?;
        };
        let taken = if first.owner == owner {
            mem::replace(first, others.remove(0))
        } else {
            let place = others.iter().position(|kept| kept.owner == owner)?;
            others.remove(place)
        };
        if others.is_empty() {
            self.others.remove(prefix);
        }
        Some(taken)
    }

    fn kept(&self, prefix: &IpNet) -> impl Iterator<Item = &Kept> {
        let others = self.others.get(prefix).into_iter().flatten();
        self.strongest.get(prefix).into_iter().chain(others)
    }

    fn claim(&self, kept: &Kept) -> Claim {
        Claim {
            source: self.owners[kept.owner].source,
            address: Address {
                identity: kept.identity,
                host: self.hosts[kept.host].address,
            },
        }
    }

    /// The claims of a prefix, the strongest first.
    pub(crate) fn claims(&self, prefix: &IpNet) -> impl Iterator<Item = Claim> {
        self.kept(prefix).map(|kept| self.claim(kept))
    }

    pub(crate) fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.strongest.keys()
    }

    pub(crate) fn hosted_by(&self, host: IpAddr) -> impl Iterator<Item = IpNet> {
        let numbers = self
            .host_numbers
            .range((host, Source::File)..=(host, Source::Kubernetes));
        numbers.flat_map(|(_, number)| self.hosts[*number].prefixes.keys())
    }

    /// Notes which of the prefix's claims are refused.
    pub(crate) fn note_refusals(
        &mut self,
        prefix: &IpNet,
        judge: impl Fn(&Claim) -> Option<Refusal>,
    ) {
        let first = self.strongest.get(prefix).copied();
        let others = self.others.get(prefix).cloned().unwrap_or_default();
        for kept in first.into_iter().chain(others) {
            let (owner, refusal) = (kept.owner, judge(&self.claim(&kept)));
            match refusal {
                Some(refusal) => self.refused.insert((*prefix, owner), refusal),
                None => self.refused.remove(&(*prefix, owner)),
            };
        }
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (IpNet, Source, Refusal)> {
        let refused = self.refused.iter();
        refused.map(|((prefix, owner), refusal)| (*prefix, self.owners[*owner].source, *refusal))
    }

    /// How many claims of a source found no room.
    pub(crate) fn excess(&self) -> impl Iterator<Item = (Source, usize)> {
        let excess = self.sources.iter().filter(|(_, told)| told.excess > 0);
        excess.map(|(source, told)| (*source, told.excess))
    }
}

fn find<'a>(
    strongest: &'a mut PrefixMap<Kept>,
    others: &'a mut BTreeMap<IpNet, Vec<Kept>>,
    prefix: &IpNet,
    owner: u32,
) -> Option<&'a mut Kept> {
    let first = strongest.get_mut(prefix)?;
    if first.owner == owner {
        return Some(first);
    }
    let others = others.get_mut(prefix)?;
    others.iter_mut().find(|kept| kept.owner == owner)
}

fn rank(source: Source, own: ClusterId) -> (u8, Source) {
    let rank = match source {
        Source::File => 0,
        Source::Cluster(id) if id != own => 1,
        Source::Cluster(_) => 2,
        Source::Kubernetes => 3,
    };
    (rank, source)
}
