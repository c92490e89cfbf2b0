//! What the kernel held at start: it counts as its clusters' word until they are heard.

use super::{
    super::{
        claims::{kept, touch},
        pool::{Claim, Rank},
    },
    Services, owner, pool_named,
};
use crate::{id::ClusterId, tables::Tables};
use std::collections::{BTreeMap, BTreeSet};

impl Services {
    /// Takes what the kernel holds of other clusters for theirs, until `heard` is called of them.
    pub(crate) fn recover(&mut self, tables: &Tables) {
        for ((pool, backend), path) in &tables.backends {
            if path.cluster != self.here.cluster {
                self.kept.entry(*pool).or_default().insert(*backend, *path);
            }
        }
    }

    pub(crate) fn kept_clusters(&self) -> BTreeSet<ClusterId> {
        let paths = self.kept.values().flat_map(BTreeMap::values);
        paths.map(|path| path.cluster).collect()
    }

    /// Who the clusters are that have not been heard: what was kept of them has a name, by which it may have a turn.
    pub(crate) fn name_clusters<'a>(&mut self, names: impl Iterator<Item = (ClusterId, &'a str)>) {
        for (id, name) in names {
            if self
                .here
                .names
                .get(&id)
                .is_some_and(|known| **known == *name)
            {
                continue;
            }
            self.here.names.insert(id, name.into());
            for (pool_name, backends) in &self.kept {
                let owner = owner(&self.owners, pool_name);
                let service = owner.and_then(|owner| self.services.get_mut(owner));
                let pool = service.and_then(|service| pool_named(&mut service.pools, pool_name));
                let Some(pool) = pool else { continue };
                for (backend, path) in backends.iter().filter(|(_, path)| path.cluster == id) {
                    let (claim, claimed) = kept(backend, path, &self.here);
                    let changed = pool.claim(*backend, claim, claimed);
                    touch(&mut self.touched, pool, *backend, changed);
                }
            }
        }
    }

    /// A cluster has told all, or is in the mesh no more: what was kept for it goes.
    pub(crate) fn heard(&mut self, cluster: ClusterId) {
        let meant = |claim: &Claim| claim.rank == Rank::Kept && claim.cluster == cluster;
        for (name, backends) in &mut self.kept {
            backends.retain(|_, path| path.cluster != cluster);
            let owner = owner(&self.owners, name).and_then(|owner| self.services.get_mut(owner));
            let pool = owner.and_then(|service| pool_named(&mut service.pools, name));
            let Some(pool) = pool else { continue };
            for (backend, claim) in pool.claimed_by(meant) {
                let changed = pool.unclaim(backend, &claim);
                touch(&mut self.touched, pool, backend, changed);
            }
        }
        self.kept.retain(|_, backends| !backends.is_empty());
    }
}
