//! An agent's process: the production code's remote for each peer, what they tell, and for some a world with a kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tombolo_clustermesh::{
    Ids, Random, Scope,
    reader::Options,
    remote::{Remote, Told},
};
use tombolo_model::{
    event::Event,
    fact::{Address, Fact},
    id::{ClusterId, Identity},
    record::Tree,
};

use crate::{
    heard::Heard,
    judge::{self, Judge},
    kernel::{Kernel, Known},
    net::{ConnId, Dial, Letter, Net},
    planted::Planted,
    process::ProcessId,
    reading::{FLIGHTS_MAX, Reading, Setup},
    truth::{RESOURCES, Truth, name_of},
    view::View,
};

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: ProcessId,
    pub(crate) cluster: usize,
    pub(crate) config: Config,
    pub(crate) view: View,
    pub(crate) kernel: Option<Kernel>,
    heard: Heard,
    ids: Ids,
    peers: BTreeMap<usize, Peer>,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) own: u16,
    pub(crate) wanted: BTreeSet<usize>,
    /// Reads the peers' stores and not its own.
    pub(crate) direct: bool,
    pub(crate) connects_late: bool,
    pub(crate) planted: Option<Planted>,
}

#[derive(Debug)]
struct Peer {
    reading: Reading<Remote>,
    /// The store that it has heard last.
    data: Option<u64>,
}

enum Happens {
    Wake,
    Letter(ConnId, Letter),
    Remove,
}

impl Config {
    /// Where the peers' records are that it reads.
    pub(crate) fn tree(&self) -> Tree {
        match self.direct {
            true => Tree::State,
            false => Tree::Cache,
        }
    }
}

impl Agent {
    pub(crate) fn new(id: ProcessId, cluster: usize, config: Config, kernel: bool) -> Agent {
        Agent {
            id,
            cluster,
            view: View::default(),
            kernel: kernel.then(Kernel::default),
            heard: Heard::default(),
            ids: Ids::default(),
            peers: BTreeMap::new(),
            config,
        }
    }

    /// Its process has started. Its kernel holds what it held.
    pub(crate) fn start<P>(&mut self, net: &mut Net<P>, judge: &mut Judge, truths: &[Truth]) {
        self.view = View::default();
        self.ids = Ids::default();
        self.peers.clear();
        if let Some(kernel) = &mut self.kernel {
            kernel.start(&truths[self.cluster], self.config.own, net.now);
        }
        self.heard.start();
        self.name_peers(net, judge, truths);
        self.add_peers(net);
    }

    /// Tells the world whom to wait for.
    fn name_peers<P>(&mut self, net: &Net<P>, judge: &mut Judge, truths: &[Truth]) {
        let awaited = self.heard.name(&self.config.wanted);
        if let Some(kernel) = &mut self.kernel {
            let known = Known {
                wanted: &self.config.wanted,
                view: &self.view,
                ids: &self.ids,
                truths,
            };
            kernel.take([awaited], net.now, known, judge);
        }
    }

    fn add_peers<P>(&mut self, net: &mut Net<P>) {
        for peer in &self.config.wanted {
            if self.peers.contains_key(peer) {
                continue;
            }
            let options = Options {
                cluster: name_of(*peer),
                own: ClusterId(self.config.own),
                ours: false,
                clusters_max: 255,
                resources: RESOURCES.to_vec(),
                scope: Scope::All,
            };
            let random = Random::new(net.random.below(u64::MAX));
            let core = Remote::new(options, random, net.local(self.id));
            let setup = Setup {
                end: net.end(self.id, *peer as u8),
                dial: Dial::Cluster(if self.config.direct {
                    *peer
                } else {
                    self.cluster
                }),
                connects_late: self.config.connects_late,
                planted: self.config.planted,
            };
            let mut reading = Reading::new(core, setup);
            reading.set_alarm(net);
            let data = None;
            self.peers.insert(*peer, Peer { reading, data });
        }
    }

    pub(crate) fn set_wanted<P>(
        &mut self,
        wanted: BTreeSet<usize>,
        net: &mut Net<P>,
        judge: &mut Judge,
        truths: &[Truth],
    ) {
        let gone: Vec<_> = self.config.wanted.difference(&wanted).copied().collect();
        self.config.wanted = wanted;
        self.name_peers(net, judge, truths);
        for peer in gone {
            self.happens(peer, Happens::Remove, net, judge, truths);
            self.peers.remove(&peer);
            self.heard.end(peer);
        }
        self.add_peers(net);
    }

    pub(crate) fn woken<P>(
        &mut self,
        part: u8,
        net: &mut Net<P>,
        judge: &mut Judge,
        truths: &[Truth],
    ) {
        self.happens(usize::from(part), Happens::Wake, net, judge, truths);
    }

    pub(crate) fn receive<P>(
        &mut self,
        part: u8,
        conn: ConnId,
        letter: Letter,
        net: &mut Net<P>,
        judge: &mut Judge,
        truths: &[Truth],
    ) {
        let letter = Happens::Letter(conn, letter);
        self.happens(usize::from(part), letter, net, judge, truths);
    }

    fn happens<P>(
        &mut self,
        peer: usize,
        what: Happens,
        net: &mut Net<P>,
        judge: &mut Judge,
        truths: &[Truth],
    ) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let leaves = matches!(what, Happens::Remove);
        match what {
            Happens::Wake => state.reading.woken(net, &mut self.ids),
            Happens::Remove => state.reading.remove(net, &mut self.ids),
            Happens::Letter(conn, letter) => {
                if let Letter::Reply { cluster, .. } = &letter
                    && state.reading.conn() == Some(conn)
                {
                    state.data = Some(*cluster);
                }
                state.reading.receive(conn, letter, net, &mut self.ids);
            }
        }
        let broke = std::mem::take(&mut state.reading.broke);
        let mut told = state.reading.pump(net);
        judge.check(state.reading.flights() <= FLIGHTS_MAX, || {
            format!("agent {:?} has many questions to {peer}", self.id)
        });
        match self.config.planted {
            Some(Planted::GoneWhenUnreachable) if broke => told.extend(nothing(&truths[peer])),
            Some(Planted::WrongIdentity) => told.iter_mut().for_each(mistake),
            _ => {}
        }
        if told.is_empty() {
            return;
        }
        let reader = judge::Reader {
            process: self.id,
            peer,
            tree: self.config.tree(),
            data: state.data,
            leaves,
        };
        let truth = &truths[peer];
        let mut learnt = Vec::new();
        for told in &told {
            self.view.take_told(truth, told, &mut learnt);
        }
        judge.told(reader, &learnt, truth, &self.view);
        let restarts = told
            .iter()
            .any(|told| matches!(told, Told::Fact(Fact::Address(_, Event::Restart))));
        let awaited = self.heard.note(peer, &told);
        if let Some(kernel) = &mut self.kernel {
            let facts = told.into_iter().filter_map(|told| match told {
                Told::Fact(fact) => Some(fact),
                Told::Record(..) => None,
            });
            let facts = facts.chain(awaited);
            let known = Known {
                wanted: &self.config.wanted,
                view: &self.view,
                ids: &self.ids,
                truths,
            };
            kernel.take(facts, net.now, known, judge);
        }
        // What is told of another number begins with this.
        if restarts {
            self.check_ids(net.local(self.id), judge);
        }
    }

    /// No two peers are believed to have one number, and none has ours.
    fn check_ids(&self, now: Duration, judge: &mut Judge) {
        let mut seen = BTreeMap::from([(ClusterId(self.config.own), usize::MAX)]);
        for (peer, state) in &self.peers {
            if let Some(id) = state.reading.core.status(now).reader.id
                && let Some(other) = seen.insert(id, *peer)
            {
                judge.fail(format_args!("{peer} and {other} both have number {id}"));
            }
        }
    }

    pub(crate) fn clock_jumped<P>(&mut self, net: &mut Net<P>) {
        for state in self.peers.values_mut() {
            state.reading.set_alarm(net);
        }
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The store that it reads a peer from.
    pub(crate) fn data(&self, peer: usize) -> Option<u64> {
        self.peers.get(&peer)?.data
    }

    pub(crate) fn remotes(&self) -> impl Iterator<Item = (usize, &Remote)> {
        let peers = self.peers.iter();
        peers.map(|(peer, state)| (*peer, &state.reading.core))
    }
}

/// As if the peer had nothing.
fn nothing(truth: &Truth) -> Vec<Told> {
    let source = truth.peer().source();
    [Event::Restart, Event::Synced]
        .map(|event| Told::Fact(Fact::Address(source, event)))
        .into()
}

fn mistake(told: &mut Told) {
    if let Told::Fact(Fact::Address(_, Event::Upsert(_, Address { identity, .. }))) = told
        && !identity.is_reserved()
    {
        *identity = Identity(identity.0 + (1 << 16));
    }
}
