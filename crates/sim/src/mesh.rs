//! A copier's process: the production code's mesh of stores with a reader for each peer.
//!
//! Between a reader and the copier is a short channel: while the copier has much to write, the reader is not listened
//! to, and then it does nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tombolo_clustermesh::{
    Ids, Random, Scope,
    drive::Writing as _,
    kvstoremesh::Kvstoremesh,
    reader::{Options, Reader, Told},
};
use tombolo_model::{event::Event, id::ClusterId, record::Resource};

use crate::{
    exporter::lock,
    judge::{self, Judge},
    net::{ConnId, Dial, Letter, Net},
    planted::Planted,
    process::{ITSELF, ProcessId, WRITER},
    reading::{Reading, Setup},
    truth::{RESOURCES, Truth, name_of},
    view::{Learnt, View},
    writing::Writing,
};
use tombolo_model::record::Tree;

/// Batches between a reader and the copier.
const CHANNEL: usize = 2;
/// How often a peer that is still being drained is tried again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) id: ProcessId,
    pub(crate) cluster: usize,
    pub(crate) server: ProcessId,
    /// What it has been told of each peer that it copies.
    pub(crate) views: BTreeMap<usize, View>,
    /// The same of those that were taken out; they may come back before their records go.
    left: BTreeMap<usize, View>,
    pub(crate) config: Config,
    core: Kvstoremesh,
    writing: Writing,
    ids: Ids,
    peers: BTreeMap<usize, Peer>,
    /// In which its readers have begun.
    term: u64,
    alarm: Option<Duration>,
}

/// What its operator has decided.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) own: u16,
    pub(crate) wanted: BTreeSet<usize>,
    pub(crate) connects_late: bool,
    /// Keys that may wait to be written before readers are not listened to.
    pub(crate) pending_max: usize,
    pub(crate) planted: Option<Planted>,
}

#[derive(Debug)]
struct Peer {
    reading: Reading<Reader>,
    /// Each batch with where its reader stood.
    channel: VecDeque<(judge::Reader, Vec<Told>)>,
    /// What happens to the reader while it does nothing.
    later: VecDeque<Later>,
    /// The store that it has heard last.
    data: Option<u64>,
}

#[derive(Debug)]
enum Later {
    Wake,
    Letter(ConnId, Letter),
}

impl Mesh {
    pub(crate) fn new(id: ProcessId, cluster: usize, server: ProcessId, config: Config) -> Mesh {
        let end = crate::process::End {
            process: id,
            life: 0,
            part: WRITER,
        };
        Mesh {
            id,
            cluster,
            server,
            views: BTreeMap::new(),
            left: BTreeMap::new(),
            core: Kvstoremesh::new(lock(id), Random::new(0)),
            writing: Writing::new(end, server, None),
            ids: Ids::default(),
            peers: BTreeMap::new(),
            term: 0,
            alarm: None,
            config,
        }
    }

    /// Its process has started.
    pub(crate) fn start<P>(&mut self, net: &mut Net<P>) {
        let seed = net.random.below(u64::MAX);
        self.core = Kvstoremesh::new(lock(self.id), Random::new(seed));
        self.writing = Writing::new(net.end(self.id, WRITER), self.server, self.config.planted);
        self.ids = Ids::default();
        self.peers.clear();
        self.views.clear();
        self.left.clear();
        (self.term, self.alarm) = (0, None);
        self.add_peers(net);
        self.pump(net);
    }

    /// Adds those that are wanted and not being drained.
    fn add_peers<P>(&mut self, net: &mut Net<P>) {
        let wanted = self.config.wanted.iter();
        let new = wanted.filter(|peer| !self.peers.contains_key(peer));
        for peer in new.copied().collect::<Vec<_>>() {
            let has_records = self.core.step(&name_of(peer)).is_some();
            if !self.core.add(&name_of(peer)) {
                let again = net.local(self.id) + RETRY;
                net.wake(net.end(self.id, ITSELF), again, &mut self.alarm);
                continue;
            }
            let options = Options {
                cluster: name_of(peer),
                own: ClusterId(self.config.own),
                ours: false,
                clusters_max: 255,
                resources: RESOURCES.to_vec(),
                scope: Scope::All,
            };
            let random = Random::new(net.random.below(u64::MAX));
            let core = Reader::new(options, random, net.local(self.id));
            let setup = Setup {
                end: net.end(self.id, peer as u8),
                dial: Dial::Cluster(peer),
                connects_late: self.config.connects_late,
                planted: self.config.planted,
            };
            let mut reading = Reading::new(core, setup);
            reading.set_alarm(net);
            let peer_state = Peer {
                reading,
                channel: VecDeque::new(),
                later: VecDeque::new(),
                data: None,
            };
            self.peers.insert(peer, peer_state);
            let view = self.left.remove(&peer).filter(|_| has_records);
            self.views.insert(peer, view.unwrap_or_default());
        }
    }

    pub(crate) fn set_wanted<P>(&mut self, wanted: BTreeSet<usize>, net: &mut Net<P>) {
        let gone: Vec<_> = self.config.wanted.difference(&wanted).copied().collect();
        self.config.wanted = wanted;
        for peer in gone {
            if let Some(mut gone) = self.peers.remove(&peer) {
                gone.reading.remove(net, &mut self.ids);
                // The copier does not listen to it any more.
                gone.reading.pump(net);
                let view = self.views.remove(&peer);
                self.left.extend(view.map(|view| (peer, view)));
                self.core.remove(&name_of(peer));
            }
        }
        self.add_peers(net);
        self.pump(net);
    }

    pub(crate) fn woken<P>(
        &mut self,
        part: u8,
        net: &mut Net<P>,
        judge: &mut Judge,
        truths: &[Truth],
    ) {
        match part {
            WRITER => self.writing.woken(&mut self.core, net),
            ITSELF => self.add_peers(net),
            peer => self.happens(usize::from(peer), Later::Wake, net, judge),
        }
        self.settle(net, judge, truths);
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
        match part {
            WRITER => self.writing.receive(conn, letter, &mut self.core, net),
            peer => {
                let letter = Later::Letter(conn, letter);
                self.happens(usize::from(peer), letter, net, judge);
            }
        }
        self.settle(net, judge, truths);
    }

    fn happens<P>(&mut self, peer: usize, what: Later, net: &mut Net<P>, judge: &mut Judge) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if state.channel.len() > CHANNEL {
            state.later.push_back(what);
            return;
        }
        match what {
            Later::Wake => state.reading.woken(net, &mut self.ids),
            Later::Letter(conn, letter) => {
                if let Letter::Reply { cluster, .. } = &letter
                    && state.reading.conn() == Some(conn)
                {
                    state.data = Some(*cluster);
                }
                state.reading.receive(conn, letter, net, &mut self.ids);
            }
        }
        let told = state.reading.pump(net);
        judge.check(
            state.reading.flights() <= crate::reading::FLIGHTS_MAX,
            || format!("mesh {} has many questions to {peer}", self.cluster),
        );
        if told.is_empty() {
            return;
        }
        let reader = judge::Reader {
            process: self.id,
            peer,
            tree: Tree::State,
            data: state.data,
            leaves: false,
        };
        state.channel.push_back((reader, told));
    }

    /// Lets readers be heard as far as there is room, and writes.
    fn settle<P>(&mut self, net: &mut Net<P>, judge: &mut Judge, truths: &[Truth]) {
        loop {
            self.pump(net);
            let max = self.config.pending_max;
            let mut moved = None;
            let listens =
                self.core.pending() < max || self.config.planted == Some(Planted::NoBackpressure);
            for (peer, state) in &mut self.peers {
                if listens && let Some((reader, told)) = state.channel.pop_front() {
                    let view = self.views.entry(*peer).or_default();
                    let keys = self.core.status().keys;
                    let more = told.iter().map(|told| keys_max(told, keys)).sum::<usize>();
                    for told in told {
                        note(reader, &told, &truths[*peer], view, judge);
                        self.core.take(&name_of(*peer), told);
                    }
                    let pending = self.core.pending();
                    judge.check(pending <= max + more, || {
                        format!("{pending} keys wait, of {more} told last and {max} before")
                    });
                    moved = Some(*peer);
                    break;
                }
            }
            let Some(peer) = moved else { break };
            let later = self.peers.get_mut(&peer);
            let later = later.map(|state| std::mem::take(&mut state.later));
            for what in later.unwrap_or_default() {
                self.happens(peer, what, net, judge);
            }
        }
        let status = self.core.status();
        judge.check(status.pending <= status.keys, || {
            format!("{} keys wait of {}", status.pending, status.keys)
        });
    }

    fn pump<P>(&mut self, net: &mut Net<P>) {
        if self.writing.pump(&mut self.core, net) {
            let all = self.views.values_mut().chain(self.left.values_mut());
            all.for_each(View::note_ask);
        }
        let term = self.core.term();
        if self.term != term {
            self.term = term;
            // Whoever begins to lead reads all peers anew.
            for (peer, state) in &mut self.peers {
                state.reading.core.restart(net.local(self.id));
                state.reading.pump(net);
                self.views.entry(*peer).or_default().begin_term();
            }
        }
    }

    pub(crate) fn clock_jumped<P>(&mut self, net: &mut Net<P>) {
        self.writing.set_alarm(&self.core, net);
        for state in self.peers.values_mut() {
            state.reading.set_alarm(net);
        }
    }

    pub(crate) fn core(&self) -> &Kvstoremesh {
        &self.core
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    pub(crate) fn readers(&self) -> impl Iterator<Item = (usize, &Reader)> {
        let peers = self.peers.iter();
        peers.map(|(peer, state)| (*peer, &state.reading.core))
    }
}

/// How many keys may have to be written because of this, for one that knows so many.
fn keys_max(told: &Told, keys: usize) -> usize {
    match told {
        Told::Peer { .. } | Told::Stale(_) => 1,
        // What is not repeated is swept, and the canary written.
        Told::Records(_, events) if events.contains(&Event::Synced) => events.len() + keys,
        Told::Records(_, events) => events.len(),
        Told::Gone(_) => 0,
    }
}

/// What the copier knows with this, which it did not know while it waited in the channel.
fn note(reader: judge::Reader, told: &Told, truth: &Truth, view: &mut View, judge: &mut Judge) {
    match told {
        Told::Peer { .. } => view.begin_peer(),
        Told::Records(resource, events) => {
            for event in events {
                let learnt = learn(*resource, event, truth, view);
                judge.told(reader, &learnt, truth, view);
            }
        }
        Told::Stale(_) | Told::Gone(_) => {}
    }
}

fn learn(
    resource: Resource,
    event: &Event<bytes::Bytes, bytes::Bytes>,
    truth: &Truth,
    view: &mut View,
) -> Vec<Learnt> {
    let event = match event {
        Event::Restart => Event::Restart,
        Event::Synced => Event::Synced,
        Event::Delete(key) => match truth.name_at(key) {
            Some((_, name)) => Event::Delete(name),
            None => return Vec::new(),
        },
        // What was never true is copied all the same: it is for agents to judge.
        Event::Upsert(key, value) => match truth.name_at(key) {
            Some((_, name)) => match truth.version_of(&name, value) {
                Some(version) => Event::Upsert(name, Some(version)),
                None => return Vec::new(),
            },
            None => return Vec::new(),
        },
    };
    let mut learnt = Vec::new();
    view.take(0, resource, event, &mut learnt);
    learnt
}
