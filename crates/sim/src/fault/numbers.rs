//! Clusters that change their numbers, exchange them, or have one that another has.

use std::time::Duration;

use super::Heal;
use crate::{process::ProcessId, sim::Sim};

/// Few, so that numbers are taken again.
const NUMBERS: u16 = 6;

impl Sim {
    pub(super) fn change_id(&mut self) {
        let cluster = self.any(self.shape.clusters);
        self.renumber_free(cluster);
    }

    pub(super) fn exchange_ids(&mut self) {
        let [one, other] = self.two_clusters();
        let ids = [self.truths[one].id, self.truths[other].id];
        if ids[0] != ids[1] {
            self.renumber(one, ids[1]);
            self.renumber(other, ids[0]);
        }
    }

    /// A mistake that is mended later.
    pub(super) fn duplicate_id(&mut self) {
        let [one, other] = self.two_clusters();
        let id = self.truths[other].id;
        if self.truths[one].id != id {
            self.renumber(one, id);
            self.heal_later(Heal::Number(one));
        }
    }

    /// Gives a cluster a number that no cluster has.
    pub(super) fn renumber_free(&mut self, cluster: usize) {
        let taken = |id: &u16| self.truths.iter().any(|truth| truth.id == *id);
        let free: Vec<_> = (1..=NUMBERS).filter(|id| !taken(id)).collect();
        let one = self.any(free.len());
        self.renumber(cluster, free[one]);
    }

    /// Mends a number that two clusters have. False if there is none.
    pub(crate) fn mend_numbers(&mut self) -> bool {
        let numbers: Vec<_> = self.truths.iter().map(|truth| truth.id).collect();
        let twice = |(cluster, id): (usize, &u16)| numbers[..cluster].contains(id);
        let mut all = numbers.iter().enumerate();
        let Some(cluster) = all.position(twice) else {
            return false;
        };
        self.renumber_free(cluster);
        true
    }

    /// All programs of the cluster start anew with its other number, one after another.
    fn renumber(&mut self, cluster: usize, id: u16) {
        self.note(
            || format!("cluster {cluster} gets number {id}"),
            [9, cluster as u64, id.into()],
        );
        self.truths[cluster].renumber(id);
        let exporters = self.exporters.iter().map(|it| (it.cluster, it.id));
        let meshes = self.meshes.iter().map(|it| (it.cluster, it.id));
        let agents = self.agents.iter().map(|it| (it.cluster, it.id));
        let all = exporters.chain(meshes).chain(agents);
        let of_cluster = all.filter(|(of, _)| *of == cluster);
        let ids: Vec<_> = of_cluster.map(|(_, id)| id).collect();
        for mesh in self.meshes.iter_mut().filter(|it| it.cluster == cluster) {
            mesh.config.own = id;
        }
        for agent in self.agents.iter_mut().filter(|it| it.cluster == cluster) {
            agent.config.own = id;
        }
        ids.into_iter().for_each(|id| self.start_anew(id));
    }

    fn start_anew(&mut self, id: ProcessId) {
        if self.net.process(id).is_up {
            self.net.kill(id);
            let after = self.net.up_to(Duration::from_secs(10));
            self.heal_after(after, Heal::Start(id));
        }
    }
}
