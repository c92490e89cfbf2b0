//! What goes wrong, and how it ends.

mod junk;
mod numbers;

use std::time::Duration;

use crate::{
    net::{Cut, Group, Slow},
    process::{ProcessId, Who},
    shape::Kind,
    sim::{Sim, Step, Writer},
};

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heal {
    Link,
    Thaw(ProcessId),
    Start(ProcessId),
    /// A store begins with nothing.
    StartWiped(usize),
    Watches(usize),
    Source(usize),
    /// An operator adds a peer to a process, or takes it out.
    Peer {
        process: ProcessId,
        peer: usize,
        wanted: bool,
    },
    /// A cluster gets a number that no other has.
    Number(usize),
}

impl Sim {
    pub(crate) fn strike(&mut self) {
        let many = self.shape.faults.len() as u64;
        let kind = self.shape.faults[self.net.random.below(many) as usize];
        self.note(|| format!("fault: {kind:?}"), [6, kind as u64, 0]);
        match kind {
            Kind::Cut | Kind::CutAtHome => self.cut(kind),
            Kind::Slow => self.slow_down(),
            Kind::Reset => {
                if let Some(conn) = self.net.any_conn() {
                    self.net.reset(conn);
                }
            }
            Kind::LostAnswer => {
                if let Some(conn) = self.net.any_conn() {
                    self.net.lose_next_answer(conn);
                }
            }
            Kind::LateRequest => self.net.stray_some_writes(),
            Kind::LateWatches => {
                let server = self.any(self.servers.len());
                self.servers[server].lateness = self.net.up_to(Duration::from_secs(8));
                self.heal_later(Heal::Watches(server));
            }
            Kind::Compact => {
                let server = self.any(self.servers.len());
                self.servers[server].compact();
            }
            Kind::Wipe | Kind::Restart => self.kill_server(kind),
            Kind::Switch => self.switch(),
            Kind::KillAgent => {
                let agent = self.any(self.agents.len());
                self.kill(self.agents[agent].id);
            }
            Kind::KillExporter => {
                let exporter = self.any(self.exporters.len());
                self.kill(self.exporters[exporter].id);
            }
            Kind::KillMesh => {
                let mesh = self.any(self.meshes.len());
                self.kill(self.meshes[mesh].id);
            }
            Kind::Freeze => self.freeze(),
            Kind::Jump => self.jump(),
            Kind::RemovePeer => self.remove_peer(),
            Kind::ChangeId => self.change_id(),
            Kind::ExchangeIds => self.exchange_ids(),
            Kind::DuplicateId => self.duplicate_id(),
            Kind::Junk => self.write_junk(),
            Kind::LateSource => self.delay_source(),
        }
    }

    pub(crate) fn any(&mut self, of: usize) -> usize {
        self.net.random.below(of as u64) as usize
    }

    /// Mostly short, sometimes longer than patience, leases or anything else lasts.
    fn duration(&mut self) -> Duration {
        match self.net.random.below(8) {
            0..=2 => self.net.between([0, 5]),
            3..=5 => self.net.between([5, 60]),
            6 => self.net.between([60, 200]),
            _ => self.net.between([200, 1200]),
        }
    }

    fn heal_later(&mut self, heal: Heal) -> u64 {
        let after = self.duration();
        self.heal_after(after, heal)
    }

    pub(crate) fn heal_after(&mut self, after: Duration, heal: Heal) -> u64 {
        self.last_heal += 1;
        let number = self.last_heal;
        self.heals.insert(number, heal);
        self.net.plan(after, Step::Heal(number));
        number
    }

    fn cut(&mut self, kind: Kind) {
        let number = self.heal_later(Heal::Link);
        let [from, to] = match kind {
            Kind::Cut => self.two_clusters().map(Group::Cluster),
            _ => self.at_home(),
        };
        let both_ways = self.net.one_in(2);
        let [from, to] = if self.net.one_in(2) {
            [from, to]
        } else {
            [to, from]
        };
        let cut = Cut {
            from,
            to,
            both_ways,
        };
        self.note(|| format!("{cut:?}"), [7, both_ways.into(), 0]);
        self.net.cut(number, cut);
    }

    fn two_clusters(&mut self) -> [usize; 2] {
        let one = self.any(self.shape.clusters);
        let other = self.any(self.shape.clusters - 1);
        [one, other + usize::from(other >= one)]
    }

    /// A process and the store that it has in its own cluster.
    fn at_home(&mut self) -> [Group; 2] {
        let (exporters, meshes) = (self.exporters.len(), self.meshes.len());
        let one = self.any(exporters + meshes + self.agents.len());
        let (process, server) = if one < exporters {
            (self.exporters[one].id, self.exporters[one].server)
        } else if one < exporters + meshes {
            let mesh = &self.meshes[one - exporters];
            (mesh.id, mesh.server)
        } else {
            let agent = &self.agents[one - exporters - meshes];
            (agent.id, self.net.addresses[agent.cluster])
        };
        [process, server].map(|id| Group::One(self.net.process(id).who))
    }

    fn slow_down(&mut self) {
        let number = self.heal_later(Heal::Link);
        let between = match self.net.random.below(3) {
            0 => self.two_clusters().map(Group::Cluster),
            1 => self.at_home(),
            _ => {
                let server = self.any(self.servers.len());
                [Group::One(Who::Server(server)), Group::All]
            }
        };
        let by = Duration::from_millis(50) + self.net.up_to(Duration::from_secs(6));
        self.net.links.add_slow(number, Slow { between, by });
    }

    fn kill(&mut self, id: ProcessId) {
        if self.net.process(id).is_up {
            self.net.kill(id);
            self.heal_later(Heal::Start(id));
        }
    }

    fn kill_server(&mut self, kind: Kind) {
        let server = self.any(self.servers.len());
        let id = self.servers[server].id;
        if self.net.process(id).is_up {
            self.net.kill(id);
            let heal = match kind {
                Kind::Wipe => Heal::StartWiped(server),
                _ => Heal::Start(id),
            };
            self.heal_later(heal);
        }
    }

    fn switch(&mut self) {
        let cluster = self.any(self.shape.clusters);
        let others = self
            .servers
            .iter()
            .filter(|server| server.cluster == cluster);
        let others: Vec<_> = others.map(|server| server.id).collect();
        let next = self.any(others.len());
        self.net.addresses[cluster] = others[next];
        // What is connected to the former one is sent away, or not.
        if self.net.one_in(2) {
            self.net.reset_all_of(cluster, others[next]);
        }
    }

    fn any_process(&mut self) -> ProcessId {
        let all = self.net.processes().count();
        ProcessId(self.any(all))
    }

    fn freeze(&mut self) {
        let id = self.any_process();
        let time = Duration::from_millis(100) + self.net.up_to(Duration::from_secs(90));
        let process = self.net.process(id);
        if process.is_up && process.frozen_until <= self.net.now {
            let clock_stops = self.net.one_in(2);
            self.net.freeze(id, time, clock_stops);
            self.heal_after(time, Heal::Thaw(id));
        }
    }

    fn jump(&mut self) {
        let id = self.any_process();
        let by = match self.net.random.below(3) {
            0 => self.net.between([0, 10]),
            1 => self.net.between([10, 100]),
            _ => self.net.between([100, 2000]),
        };
        self.net.process_mut(id).jump(by);
        if !self.net.process(id).is_up {
            return;
        }
        match self.net.process(id).who {
            Who::Server(server) => {
                self.servers[server].tick(&self.net);
                self.written(server, Writer::Lease);
                self.pump(server);
            }
            Who::Exporter(exporter) => self.exporters[exporter].clock_jumped(&mut self.net),
            Who::Mesh(mesh) => self.meshes[mesh].clock_jumped(&mut self.net),
            Who::Agent(agent) => self.agents[agent].clock_jumped(&mut self.net),
        }
    }

    /// An operator takes a peer out of a cluster's files, and mostly puts it back.
    fn remove_peer(&mut self) {
        let [cluster, peer] = self.two_clusters();
        let meshes = self.meshes.iter().filter(|mesh| mesh.cluster == cluster);
        let agents = self.agents.iter().filter(|agent| agent.cluster == cluster);
        let ids = meshes
            .map(|mesh| mesh.id)
            .chain(agents.map(|agent| agent.id));
        let ids: Vec<_> = ids.collect();
        let back = (!self.net.one_in(4)).then(|| self.duration());
        for process in ids {
            for (wanted, after) in [(false, Some(Duration::ZERO)), (true, back)] {
                let Some(after) = after else { continue };
                let late = self.net.up_to(Duration::from_secs(10));
                let heal = Heal::Peer {
                    process,
                    peer,
                    wanted,
                };
                self.heal_after(after + late, heal);
            }
        }
    }

    fn set_wanted(&mut self, process: ProcessId, peer: usize, is_wanted: bool) {
        let is_up = self.net.process(process).is_up;
        let change = |wanted: &mut std::collections::BTreeSet<usize>| match is_wanted {
            true => wanted.insert(peer),
            false => wanted.remove(&peer),
        };
        match self.net.process(process).who {
            Who::Mesh(mesh) => {
                let mesh = &mut self.meshes[mesh];
                let mut wanted = mesh.config.wanted.clone();
                change(&mut wanted);
                match is_up {
                    true => mesh.set_wanted(wanted, &mut self.net),
                    false => mesh.config.wanted = wanted,
                }
            }
            Who::Agent(agent) => {
                let agent = &mut self.agents[agent];
                let mut wanted = agent.config.wanted.clone();
                change(&mut wanted);
                match is_up {
                    true => {
                        let (net, judge) = (&mut self.net, &mut self.judge);
                        agent.set_wanted(wanted, net, judge, &self.truths);
                    }
                    false => agent.config.wanted = wanted,
                }
            }
            Who::Server(_) | Who::Exporter(_) => {}
        }
    }

    fn delay_source(&mut self) {
        let exporter = self.any(self.exporters.len());
        let id = self.exporters[exporter].id;
        if self.net.one_in(2) {
            self.exporters[exporter].lateness = self.net.up_to(Duration::from_secs(60));
            self.heal_later(Heal::Source(exporter));
        } else if self.net.process(id).is_up {
            let exporter = &mut self.exporters[exporter];
            let truth = &self.truths[exporter.cluster];
            exporter.tell_all(&mut self.net, truth, self.shape.source_time);
        }
    }

    pub(crate) fn heal(&mut self, number: u64, heal: Heal) {
        self.note(|| format!("heal: {heal:?}"), [8, number, 0]);
        match heal {
            Heal::Link => self.net.heal(number),
            Heal::Thaw(id) => self.net.thaw(id),
            Heal::Start(id) => {
                if let Who::Server(server) = self.net.process(id).who {
                    self.servers[server].restart(None);
                }
                self.start(id);
            }
            Heal::StartWiped(server) => {
                self.stores += 1;
                let data = self.data();
                self.servers[server].restart(Some(data));
                self.start(self.servers[server].id);
            }
            Heal::Watches(server) => self.servers[server].lateness = Duration::ZERO,
            Heal::Source(exporter) => self.exporters[exporter].hasten(&mut self.net),
            Heal::Peer {
                process,
                peer,
                wanted,
            } => self.set_wanted(process, peer, wanted),
            Heal::Number(cluster) => self.renumber_free(cluster),
        }
    }
}
