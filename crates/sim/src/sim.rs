//! One run: all processes, what happens to them in which order, and its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tombolo_clustermesh::Random;

use crate::{
    agent::{self, Agent},
    end::Calm,
    exporter::Exporter,
    fault::Heal,
    judge::{By, Judge},
    mesh::{self, Mesh},
    net::{ConnId, Event, Letter, Net, Side, What, describe},
    planted::Planted,
    process::{End, ITSELF, ProcessId, Who},
    server::Server,
    shape::Shape,
    trace::Trace,
    truth::{Told, Truth},
};

/// More than any run has that comes to an end.
const EVENTS_MAX: u64 = 2_000_000;
/// Events that are still to come, at any moment.
const QUEUE_MAX: usize = 20_000;

/// What happens beside processes and letters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Something changes in a cluster.
    Change,
    Fault,
    Heal(u64),
    /// Nothing goes wrong any more, and nothing changes.
    Calm,
    /// Whether all know the truth by now.
    Look,
}

/// Who has written into a store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writer {
    /// Nobody: a lease has ended.
    Lease,
    Stranger,
    /// With the number of what it asked.
    End(End, u64),
}

pub(crate) struct Sim {
    pub(crate) shape: Shape,
    pub(crate) planted: Option<Planted>,
    pub(crate) net: Net<Step>,
    pub(crate) truths: Vec<Truth>,
    pub(crate) servers: Vec<Server>,
    pub(crate) exporters: Vec<Exporter>,
    pub(crate) meshes: Vec<Mesh>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) judge: Judge,
    pub(crate) heals: BTreeMap<u64, Heal>,
    pub(crate) last_heal: u64,
    /// Stores that there ever were.
    pub(crate) stores: u64,
    /// Which addresses of all clusters a cluster's pods have.
    pub(crate) floating: BTreeSet<(usize, u8)>,
    pub(crate) calm: Option<Calm>,
    pub(crate) events: u64,
}

impl Sim {
    pub(crate) fn new(seed: u64, planted: Option<Planted>, recorded: bool) -> Sim {
        let mut random = Random::new(seed);
        let shape = Shape::new(&mut random);
        let net = Net::new(random, Trace::new(recorded), shape.latency);
        let judge = Judge::new(&shape);
        let mut sim = Sim {
            planted,
            net,
            truths: Vec::new(),
            servers: Vec::new(),
            exporters: Vec::new(),
            meshes: Vec::new(),
            agents: Vec::new(),
            judge,
            heals: BTreeMap::new(),
            last_heal: 0,
            stores: 0,
            floating: BTreeSet::new(),
            calm: None,
            events: 0,
            shape,
        };
        let text = format!("{:?}", sim.shape);
        sim.net.trace.note(Duration::ZERO, [seed, 0, 0], || text);
        for cluster in 0..sim.shape.clusters {
            sim.build(cluster);
        }
        sim.begin();
        sim
    }

    fn build(&mut self, cluster: usize) {
        let mut truth = Truth::new(cluster, cluster as u16 + 1);
        truth.begin(&mut self.net.random, self.shape.pods);
        let mut address = None;
        for _ in 0..self.shape.replicas {
            let server = self.net.add(Who::Server(self.servers.len()), cluster);
            address.get_or_insert(server);
            self.stores += 1;
            let data = self.data();
            let (page, age) = (self.shape.page, self.shape.history_age);
            let new = Server::new(server, cluster, data, page, age);
            self.servers.push(new);
            for _ in 0..self.shape.exporters {
                let id = self.net.add(Who::Exporter(self.exporters.len()), cluster);
                let exporter = Exporter::new(id, cluster, server, &truth);
                self.exporters.push(exporter);
            }
            for _ in 0..self.shape.meshes {
                let id = self.net.add(Who::Mesh(self.meshes.len()), cluster);
                let config = self.mesh_config(cluster);
                self.meshes.push(Mesh::new(id, cluster, server, config));
            }
        }
        self.net.addresses.extend(address);
        let [in_mesh, direct] = self.shape.agents;
        for number in 0..in_mesh + direct {
            let id = self.net.add(Who::Agent(self.agents.len()), cluster);
            let config = agent::Config {
                own: truth.id,
                wanted: self.others(cluster),
                direct: number >= in_mesh,
                connects_late: self.shape.connects_late,
                planted: self.planted,
            };
            let kernel = number == 0;
            self.agents.push(Agent::new(id, cluster, config, kernel));
        }
        self.truths.push(truth);
    }

    /// Distinct for each store that there ever was.
    pub(crate) fn data(&self) -> u64 {
        self.stores << 20
    }

    fn mesh_config(&mut self, cluster: usize) -> mesh::Config {
        mesh::Config {
            own: cluster as u16 + 1,
            wanted: self.others(cluster),
            connects_late: self.shape.connects_late,
            pending_max: 4 + self.net.random.below(40) as usize,
            planted: self.planted,
        }
    }

    pub(crate) fn others(&self, cluster: usize) -> BTreeSet<usize> {
        let all = 0..self.shape.clusters;
        all.filter(|other| *other != cluster).collect()
    }

    fn begin(&mut self) {
        let all: Vec<_> = self.net.processes().map(|(id, _)| id).collect();
        for id in all {
            self.start(id);
        }
        let (change, fault) = (self.shape.change_every, self.shape.fault_every);
        self.net.plan(change, Step::Change);
        self.net.plan(fault, Step::Fault);
        self.net.plan(self.shape.chaos, Step::Calm);
    }

    pub(crate) fn start(&mut self, id: ProcessId) {
        self.net.start(id);
        let who = self.net.process(id).who;
        self.note(|| format!("{who:?} starts"), [1, id.0 as u64, 0]);
        match who {
            Who::Server(server) => self.pump(server),
            Who::Exporter(exporter) => {
                let exporter = &mut self.exporters[exporter];
                let truth = &self.truths[exporter.cluster];
                let time = self.shape.source_time;
                exporter.start(&mut self.net, truth, time, self.planted);
            }
            Who::Mesh(mesh) => self.meshes[mesh].start(&mut self.net),
            Who::Agent(agent) => {
                let (net, judge) = (&mut self.net, &mut self.judge);
                self.agents[agent].start(net, judge, &self.truths);
            }
        }
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String, words: [u64; 3]) {
        self.net.trace.note(self.net.now, words, text);
    }

    /// Until all know the truth after all has become calm, or something is wrong.
    pub(crate) fn run(&mut self) {
        while self.judge.violation().is_none() {
            self.events += 1;
            if self.events > EVENTS_MAX || self.net.queued() > QUEUE_MAX {
                let (events, queued) = (self.events, self.net.queued());
                self.judge.fail(format_args!(
                    "no end after {events} events, {queued} to come"
                ));
                return;
            }
            let Some(event) = self.net.next() else {
                return self.judge.fail("nothing happens any more");
            };
            match event {
                Event::Plan(step) => {
                    if self.step(step) {
                        return;
                    }
                }
                Event::Process {
                    process,
                    life,
                    what,
                } => self.happen(process, life, what),
            }
        }
    }

    /// Whether the run has come to its end.
    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Change if self.calm.is_none() => {
                self.change();
                let pause = self.net.up_to(self.shape.change_every * 2);
                self.net.plan(pause, Step::Change);
            }
            Step::Fault if self.calm.is_none() => {
                self.strike();
                let pause = self.net.up_to(self.shape.fault_every * 2);
                self.net.plan(pause, Step::Fault);
            }
            Step::Change | Step::Fault => {}
            Step::Heal(number) => {
                if let Some(heal) = self.heals.remove(&number) {
                    self.heal(number, heal);
                }
            }
            Step::Calm => self.become_calm(),
            Step::Look => return self.look(),
        }
        false
    }

    fn change(&mut self) {
        let cluster = self.net.random.below(self.shape.clusters as u64) as usize;
        let burst = if self.net.one_in(6) { 8 } else { 1 };
        for _ in 0..=self.net.random.below(burst) {
            let told = if self.net.one_in(12) {
                let host = 2 + self.net.random.below(3) as u8;
                let key = (cluster, host);
                let has = self.floating.insert(key) || !self.floating.remove(&key);
                self.truths[cluster].float(host, has, &mut self.net.random)
            } else {
                self.truths[cluster].change(&mut self.net.random)
            };
            self.tell(cluster, &told);
        }
    }

    fn tell(&mut self, cluster: usize, told: &[Told]) {
        for told in told {
            let version = told.record.as_ref().map_or(0, |(version, _)| *version);
            self.note(
                || format!("truth of {cluster}: {} is {version}", told.name),
                [2, cluster as u64, version],
            );
        }
        for exporter in &mut self.exporters {
            if exporter.cluster == cluster && self.net.process(exporter.id).is_up {
                exporter.tell(&mut self.net, told);
            }
        }
    }

    fn happen(&mut self, process: ProcessId, life: u32, what: What) {
        let (who, is_present) = {
            let process = self.net.process(process);
            (process.who, process.is_up && process.life == life)
        };
        match what {
            What::Arrive {
                conn,
                side,
                number,
                letter,
            } => {
                if let Some(letter) = self.net.arrive(conn, side, number, letter) {
                    self.receive(conn, side, letter);
                }
            }
            What::Silence { conn, side, since } => {
                if let Some(letter) = self.net.silence(conn, side, since) {
                    self.receive(conn, side, letter);
                }
            }
            What::Late { conn, letter } if is_present => self.receive(conn, Side::Server, letter),
            What::Wake { part } if is_present => self.wake(who, part),
            What::Flush { watch } if is_present => {
                if let Who::Server(server) = who {
                    self.servers[server].flush(watch, &mut self.net);
                    self.pump(server);
                }
            }
            What::Late { .. } | What::Wake { .. } | What::Flush { .. } => {}
        }
    }

    fn wake(&mut self, who: Who, part: u8) {
        let (net, judge, truths) = (&mut self.net, &mut self.judge, &self.truths);
        match who {
            Who::Server(server) => {
                self.servers[server].tick(net);
                self.written(server, Writer::Lease);
                self.pump(server);
            }
            Who::Exporter(exporter) => self.exporters[exporter].woken(part, net),
            Who::Mesh(mesh) => self.meshes[mesh].woken(part, net, judge, truths),
            Who::Agent(agent) if part != ITSELF => {
                self.agents[agent].woken(part, net, judge, truths);
            }
            Who::Agent(_) => {}
        }
    }

    fn receive(&mut self, conn: ConnId, side: Side, letter: Letter) {
        let owner = self.net.owner(conn);
        if side == Side::Server {
            let Who::Server(server) = self.net.process(self.net.server(conn)).who else {
                panic!("a client was asked")
            };
            self.note(
                || format!("store {server} gets from {owner} {letter}"),
                [3, conn.0 as u64, server as u64],
            );
            // A lease that has run out may end before the next request, or after.
            if self.net.one_in(2) {
                self.servers[server].tick(&self.net);
                self.written(server, Writer::Lease);
            }
            let number = match &letter {
                Letter::Request { number, .. } => *number,
                _ => 0,
            };
            self.servers[server].receive(conn, letter, &mut self.net);
            self.written(server, Writer::End(owner, number));
            return self.pump(server);
        }
        let process = self.net.process(owner.process);
        let who = process.who;
        if !process.is_up || process.life != owner.life {
            return;
        }
        self.note(
            || format!("{who:?} gets as {} {letter}", owner.part),
            [4, conn.0 as u64, owner.part.into()],
        );
        let (net, judge, truths) = (&mut self.net, &mut self.judge, &self.truths);
        let part = owner.part;
        match who {
            Who::Exporter(exporter) => self.exporters[exporter].receive(conn, letter, net),
            Who::Mesh(mesh) => self.meshes[mesh].receive(part, conn, letter, net, judge, truths),
            Who::Agent(agent) => {
                self.agents[agent].receive(part, conn, letter, net, judge, truths);
            }
            Who::Server(_) => panic!("a store asks nobody"),
        }
    }

    /// Judges what has been written into a store.
    pub(crate) fn written(&mut self, server: usize, writer: Writer) {
        let changes = self.servers[server].written();
        let Some(last) = changes.last().map(|change| change.record.modified.0) else {
            return;
        };
        self.note(
            || format!("store {server} writes {}", describe::changes(&changes)),
            [5, server as u64, last as u64],
        );
        let by = match writer {
            Writer::Lease => By::Lease,
            Writer::Stranger => By::Stranger,
            Writer::End(end, number) => {
                let process = self.net.process(end.process);
                match process.who {
                    _ if process.life != end.life => By::Stranger,
                    Who::Exporter(exporter) => {
                        By::Exporter(end, &self.exporters[exporter].view, number)
                    }
                    Who::Mesh(mesh) => By::Mesh(&self.meshes[mesh].views),
                    Who::Server(_) | Who::Agent(_) => By::Stranger,
                }
            }
        };
        self.judge
            .written(&self.servers[server], by, &changes, &self.truths);
    }

    pub(crate) fn pump(&mut self, server: usize) {
        self.servers[server].pump(&mut self.net);
    }
}
