//! Whether stores hold the truth and nothing else, each by one writer of its kind.

use tombolo_kvstore::Keys;
use tombolo_model::record::Tree;

use super::Wrong;
use crate::{sim::Sim, truth::RESOURCES};

impl Sim {
    /// A store holds the truth of its own cluster, and of those whose copier it belongs to.
    pub(super) fn store_is_right(&self, index: usize) -> Result<(), Wrong> {
        let server = &self.servers[index];
        let own = (server.cluster, Tree::State);
        let mesh = self.meshes.iter().find(|mesh| mesh.server == server.id);
        let copied = mesh.into_iter().flat_map(|mesh| &mesh.config.wanted);
        let copied = copied.map(|peer| (*peer, Tree::Cache));
        for (cluster, tree) in [own].into_iter().chain(copied) {
            let truth = &self.truths[cluster];
            for resource in RESOURCES {
                let prefix = resource.prefix(tree, &truth.name);
                let mut stands = server.contents(Keys::prefix(prefix));
                let live = truth.live.iter();
                for (name, live) in live.filter(|(name, _)| name.resource() == resource) {
                    let value = stands.remove(&truth.key(tree, name));
                    if value.as_ref() != Some(&live.value) {
                        return Err(format!("{tree:?}: {name} of {cluster} is {value:?}"));
                    }
                }
                let junk = &self.judge.junk;
                let honest = stands.keys().find(|key| match truth.name_at(key) {
                    Some((_, name)) => !junk.contains(&truth.key(Tree::State, &name)),
                    None => !junk.contains(*key),
                });
                if let Some(key) = honest {
                    return Err(format!("{key:?} of {cluster} is left"));
                }
            }
        }
        Ok(())
    }

    /// Of each kind of writer one writes, and has nothing left to write.
    pub(super) fn writers_are_right(&self, index: usize) -> Result<(), Wrong> {
        let server = &self.servers[index];
        let exporters = self.exporters.iter().filter(|it| it.server == server.id);
        let meshes = self.meshes.iter().filter(|it| it.server == server.id);
        let exporters: Vec<_> = exporters.map(|it| it.status()).collect();
        let meshes: Vec<_> = meshes.map(|it| it.core().status()).collect();
        for (kind, statuses) in [("exporters", exporters), ("meshes", meshes)] {
            let leading: Vec<_> = statuses.iter().filter(|status| status.leads).collect();
            let [leader] = leading.as_slice() else {
                return Err(format!("{} of {kind} of {index} lead", leading.len()));
            };
            if leader.pending > 0 || !leader.refused.is_empty() || leader.trouble.is_some() {
                return Err(format!("{kind} of {index}: {leader:?}"));
            }
            // Of each kind one lease, and what is left of those before.
            if leader.leases > 4 {
                return Err(format!("{kind} of {index} have {} leases", leader.leases));
            }
        }
        let readers = self.shape.clusters * (2 + self.agents.len()) * self.meshes.len();
        let watches = server.watches();
        if watches > readers * 7 {
            return Err(format!("{watches} watches on store {index}"));
        }
        Ok(())
    }
}
