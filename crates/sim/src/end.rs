//! The end of a run: nothing goes wrong any more, and within some minutes everybody must know the truth and nothing
//! else, in agents, kernels and stores.

mod agents;
mod stores;

use std::time::Duration;

use tombolo_clustermesh::{reader::HEARTBEAT_MAX, writer::LOCK_LEASE};

use crate::{
    fault::Heal,
    shape::Kind,
    sim::{Sim, Step},
};

/// Time enough for a lock to end, a peer to be drained and the longest pauses between attempts.
const CONVERGENCE_MAX: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A run that has converged may go on for longer than a heartbeat may be late.
const STAY: Duration = Duration::from_secs(130);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Calm {
    pub(crate) since: Duration,
    /// Whether it is looked whether all stays right.
    goes_on: bool,
    /// Nothing may change from when all knew the truth until then.
    stays_until: Option<Duration>,
}

type Wrong = String;

impl Sim {
    pub(crate) fn become_calm(&mut self) {
        self.note(|| "nothing goes wrong any more".to_owned(), [10, 0, 0]);
        loop {
            // A process that stands still can't be helped along: it goes on when it would have.
            let may_end = |heal: &Heal| !matches!(heal, Heal::Thaw(_));
            while let Some((number, heal)) = self.heals.iter().find(|(_, heal)| may_end(heal)) {
                let (number, heal) = (*number, *heal);
                self.heals.remove(&number);
                self.heal(number, heal);
            }
            if !self.mend_numbers() {
                break;
            }
        }
        self.net.spare_conns();
        self.agree_on_peers();
        let thawed = self.net.processes().map(|(_, it)| it.frozen_until);
        let since = thawed.fold(self.net.now, Duration::max);
        self.calm = Some(Calm {
            since,
            goes_on: false,
            stays_until: None,
        });
        self.net.plan(since - self.net.now + LOOK_EVERY, Step::Look);
    }

    /// All programs of a cluster have the same files of peers in the end.
    fn agree_on_peers(&mut self) {
        for cluster in 0..self.shape.clusters {
            let mesh = self.meshes.iter().find(|mesh| mesh.cluster == cluster);
            let Some(wanted) = mesh.map(|mesh| mesh.config.wanted.clone()) else {
                continue;
            };
            let meshes = self.meshes.iter_mut();
            for mesh in meshes.filter(|mesh| mesh.cluster == cluster) {
                mesh.set_wanted(wanted.clone(), &mut self.net);
            }
            let agents = self.agents.iter_mut();
            for agent in agents.filter(|agent| agent.cluster == cluster) {
                let (net, judge) = (&mut self.net, &mut self.judge);
                agent.set_wanted(wanted.clone(), net, judge, &self.truths);
            }
        }
    }

    /// Whether the run has come to its end.
    pub(crate) fn look(&mut self) -> bool {
        let Some(calm) = self.calm else { return false };
        let wrong = self.wrong();
        match (calm.stays_until, wrong) {
            (Some(until), Ok(())) if until <= self.net.now => return true,
            (Some(_), Ok(())) => {}
            (Some(_), Err(wrong)) => self
                .judge
                .fail(format_args!("it was right before: {wrong}")),
            (None, Ok(())) => {
                let goes_on = calm.goes_on || self.net.one_in(8);
                if !goes_on {
                    return true;
                }
                let known = self.net.now >= calm.since + self.echo();
                let stays_until = known.then_some(self.net.now + STAY);
                self.calm = Some(Calm {
                    goes_on,
                    stays_until,
                    ..calm
                });
            }
            (None, Err(wrong)) => {
                if self.net.now >= calm.since + CONVERGENCE_MAX {
                    let seconds = CONVERGENCE_MAX.as_secs();
                    self.judge
                        .fail(format_args!("not even after {seconds} s: {wrong}"));
                }
            }
        }
        self.net.plan(LOOK_EVERY, Step::Look);
        false
    }

    /// How long after its end a fault may still be noticed. A reader whose clock has jumped ahead misses the heartbeats
    /// of that time later, connects anew and is right again; a writer learns that it has lost its lock when what it asked
    /// through a cut arrives. Whatever else there is shows at once.
    fn echo(&self) -> Duration {
        match self.shape.has(Kind::Jump) {
            true => HEARTBEAT_MAX,
            false => LOCK_LEASE * 2,
        }
    }

    /// The first thing that is not as it should be. What is looked at fastest comes first.
    fn wrong(&self) -> Result<(), Wrong> {
        for index in 0..self.servers.len() {
            self.writers_are_right(index)?;
        }
        for mesh in &self.meshes {
            let now = self.net.local(mesh.id);
            let statuses = mesh.readers();
            let statuses = statuses.map(|(peer, reader)| (peer, reader.status(now)));
            self.readers_are_right(&mesh.config.wanted, statuses, mesh.ids())
                .map_err(|wrong| format!("mesh {:?}: {wrong}", mesh.id))?;
        }
        for agent in &self.agents {
            let now = self.net.local(agent.id);
            let statuses = agent.remotes();
            let statuses = statuses.map(|(peer, remote)| (peer, remote.status(now).reader));
            self.readers_are_right(&agent.config.wanted, statuses, agent.ids())
                .map_err(|wrong| format!("agent {:?}: {wrong}", agent.id))?;
        }
        for (index, server) in self.servers.iter().enumerate() {
            self.store_is_right(index)
                .map_err(|wrong| format!("store of {}: {wrong}", server.cluster))?;
        }
        for agent in &self.agents {
            self.agent_is_right(agent)
                .and_then(|()| self.kernel_is_right(agent))
                .map_err(|wrong| format!("agent {:?}: {wrong}", agent.id))?;
        }
        Ok(())
    }
}
