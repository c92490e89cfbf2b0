//! Who claims which address: every claim is kept, one of them counts.
//!
//! The greater source wins, our own cluster's store among those of clusters, within a source the later claim. What a claim is worth is judged by those who know the nodes.

use crate::{
    fact::{Address, AddressKey, Source},
    id::ClusterId,
    refusal::Refusal,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

#[cfg(test)]
mod tests;

/// As many as the kernel's table has room for.
const CLAIMS_MAX: usize = 512_000;

pub(crate) struct Ipcache {
    own: ClusterId,
    /// The strongest claim first.
    claims: BTreeMap<IpNet, Vec<Claim>>,
    count: usize,
    by_host: BTreeMap<IpAddr, BTreeSet<IpNet>>,
    /// Claims that are known and not believed.
    refused: BTreeMap<(IpNet, Source, String), Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) source: Source,
    pub(crate) address: Address,
    owner: String,
    generation: u64,
}

impl Ipcache {
    pub(crate) fn new(own: ClusterId) -> Ipcache {
        Ipcache {
            own,
            claims: BTreeMap::new(),
            count: 0,
            by_host: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// False when there is no room left.
    pub(crate) fn upsert(
        &mut self,
        source: Source,
        generation: u64,
        key: AddressKey,
        address: Address,
    ) -> bool {
        let AddressKey { prefix, owner } = key;
        let claims = self.claims.entry(prefix).or_default();
        let former = claims
            .iter()
            .position(|claim| claim.source == source && claim.owner == owner);
        // A claim that is only repeated does not become a later one.
        if let Some(former) = former
            && claims[former].address == address
        {
            claims[former].generation = generation;
            return true;
        }
        match former {
            Some(former) => {
                let host = claims.remove(former).address.host;
                if !claims.iter().any(|claim| claim.address.host == host) {
                    unindex(&mut self.by_host, host, prefix);
                }
            }
            None if self.count >= CLAIMS_MAX => {
                if claims.is_empty() {
                    self.claims.remove(&prefix);
                }
                self.refused
                    .insert((prefix, source, owner), Refusal::TableFull);
                return false;
            }
            None => self.count += 1,
        }
        let rank = |source| rank(source, self.own);
        let place = claims.partition_point(|claim| rank(claim.source) > rank(source));
        let claim = Claim {
            source,
            address,
            owner,
            generation,
        };
        let host = claim.address.host;
        claims.insert(place, claim);
        self.by_host.entry(host).or_default().insert(prefix);
        true
    }

    pub(crate) fn delete(&mut self, source: Source, key: &AddressKey) {
        self.refused
            .remove(&(key.prefix, source, key.owner.clone()));
        let Some(claims) = self.claims.get_mut(&key.prefix) else {
            return;
        };
        let Some(place) = claims
            .iter()
            .position(|claim| claim.source == source && claim.owner == key.owner)
        else {
            return;
        };
        let removed = claims.remove(place);
        let last_of_host = !claims
            .iter()
            .any(|claim| claim.address.host == removed.address.host);
        if claims.is_empty() {
            self.claims.remove(&key.prefix);
        }
        self.count -= 1;
        if last_of_host {
            unindex(&mut self.by_host, removed.address.host, key.prefix);
        }
    }

    /// The claims that a source did not repeat in its snapshot.
    pub(crate) fn unrepeated(&self, source: Source, generation: u64) -> Vec<AddressKey> {
        let all = self
            .claims
            .iter()
            .flat_map(|(prefix, claims)| claims.iter().map(move |claim| (prefix, claim)));
        let old = all.filter(|(_, claim)| claim.source == source && claim.generation != generation);
        old.map(|(prefix, claim)| AddressKey {
            prefix: *prefix,
            owner: claim.owner.clone(),
        })
        .collect()
    }

    /// The claims of a prefix, the strongest first.
    pub(crate) fn claims(&self, prefix: &IpNet) -> &[Claim] {
        self.claims.get(prefix).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &IpNet> {
        self.claims.keys()
    }

    pub(crate) fn hosted_by(&self, host: IpAddr) -> impl Iterator<Item = &IpNet> {
        self.by_host.get(&host).into_iter().flatten()
    }

    /// Notes which of the prefix's claims are refused.
    pub(crate) fn note_refusals(
        &mut self,
        prefix: &IpNet,
        judge: impl Fn(&Claim) -> Option<Refusal>,
    ) {
        for claim in self.claims.get(prefix).into_iter().flatten() {
            let key = (*prefix, claim.source, claim.owner.clone());
            match judge(claim) {
                Some(refusal) => self.refused.insert(key, refusal),
                None => self.refused.remove(&key),
            };
        }
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (&IpNet, Source, Refusal)> {
        self.refused
            .iter()
            .map(|((prefix, source, _), refusal)| (prefix, *source, *refusal))
    }
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

fn unindex(by_host: &mut BTreeMap<IpAddr, BTreeSet<IpNet>>, host: IpAddr, prefix: IpNet) {
    if let Some(prefixes) = by_host.get_mut(&host) {
        prefixes.remove(&prefix);
        if prefixes.is_empty() {
            by_host.remove(&host);
        }
    }
}
