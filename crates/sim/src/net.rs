//! The network between processes and the time for all of them: connections, their letters, and what keeps letters back.
//!
//! It does what TCP does: in order, each letter once, held while the way is cut and delivered after, also when the
//! sender has closed the connection meanwhile. What is lost is a connection with all that had not arrived; what its server
//! had taken may still be executed.

mod arrive;
pub(crate) mod describe;
mod links;

use std::{collections::BTreeMap, time::Duration};

use tombolo_clustermesh::Random;
use tombolo_kvstore::{
    Change, Keys, Lease, LeaseId, Page, PageEnd, Result, Revision, Transaction, TransactionAnswer,
};

use crate::{
    process::{End, Process, ProcessId, Who},
    queue::Queue,
    trace::Trace,
};
pub(crate) use links::{Cut, Group, Links, Slow};

/// A client that hears nothing on a connection gives it up after a time from the first to the second.
const CLIENT_PATIENCE: [u64; 2] = [25, 40];
const SERVER_PATIENCE: [u64; 2] = [30, 50];
/// Pauses between attempts to open a connection through a cut.
const SYN_PAUSES: [u64; 3] = [1, 2, 4];
/// The longest pause of a sender whose letters are not acknowledged.
const RESEND_MAX: Duration = Duration::from_secs(16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Whom a client wants to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dial {
    /// Whichever of a cluster's stores stands behind its address.
    Cluster(usize),
    Server(ProcessId),
}

#[derive(Clone, Debug)]
pub(crate) enum Call {
    Page { keys: Keys, from: Option<PageEnd> },
    Watch { keys: Keys, since: Revision },
    Transact(Transaction),
    Grant(Duration),
    Renew(LeaseId),
}

#[derive(Debug)]
pub(crate) enum Reply {
    Page(Page, Option<PageEnd>),
    Watching,
    Changes(Vec<Change>),
    Transacted(TransactionAnswer),
    Granted(Lease),
    Renewed,
}

#[derive(Debug)]
pub(crate) enum Letter {
    Syn {
        attempt: usize,
    },
    Request {
        number: u64,
        call: Call,
    },
    Fin,
    Open,
    Refused,
    /// The cluster id of the store that answers comes with it.
    Reply {
        number: u64,
        cluster: u64,
        reply: Result<Reply>,
    },
    Reset,
}

impl Letter {
    fn is_write(&self) -> bool {
        let write = |call: &Call| matches!(call, Call::Transact(_));
        matches!(self, Letter::Request { call, .. } if write(call))
    }
}

#[derive(Debug)]
pub(crate) enum What {
    /// A part of a process wanted to be woken.
    Wake { part: u8 },
    Arrive {
        conn: ConnId,
        side: Side,
        number: u64,
        letter: Letter,
    },
    /// What a client had asked is executed at last; its connection ended long ago.
    Late { conn: ConnId, letter: Letter },
    /// A server looks what there is to tell to a watch.
    Flush { watch: u64 },
    /// One side has not heard the other since.
    Silence {
        conn: ConnId,
        side: Side,
        since: Duration,
    },
}

/// What happens, and to which life of which process; to the plan of the run if to none.
#[derive(Debug)]
pub(crate) enum Event<P> {
    Process {
        process: ProcessId,
        life: u32,
        what: What,
    },
    Plan(P),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Connecting,
    Open,
    Closed,
}

#[derive(Debug)]
struct Conn {
    owner: End,
    dial: Dial,
    server: ProcessId,
    server_life: u32,
    client: Client,
    server_open: bool,
    /// When the last letter to each side arrives.
    last: [Duration; 2],
    /// How many letters were sent to each side, and how many have come.
    sent: [u64; 2],
    come: [u64; 2],
    /// What a cut keeps back, and what has come before what it follows.
    held: [Vec<(u64, Letter)>; 2],
    early_come: [BTreeMap<u64, Letter>; 2],
    /// Asked before the connection was open.
    early: Vec<(u64, Call)>,
    silent_since: Option<Duration>,
    /// It breaks after the next request has been executed and before its answer leaves.
    breaks: bool,
    /// It breaks when the next write comes to its server, which is executed later.
    strays: bool,
}

#[derive(Debug)]
pub(crate) struct Net<P> {
    pub(crate) now: Duration,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) links: Links,
    /// The store that stands behind each cluster's address.
    pub(crate) addresses: Vec<ProcessId>,
    /// Letters between processes of one cluster, and of two.
    pub(crate) latency: [Duration; 2],
    queue: Queue<Event<P>>,
    processes: Vec<Process>,
    conns: Vec<Conn>,
}

impl<P> Net<P> {
    pub(crate) fn new(random: Random, trace: Trace, latency: [Duration; 2]) -> Net<P> {
        Net {
            now: Duration::ZERO,
            random,
            trace,
            links: Links::default(),
            addresses: Vec::new(),
            latency,
            queue: Queue::default(),
            processes: Vec::new(),
            conns: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, who: Who, cluster: usize) -> ProcessId {
        self.processes.push(Process::new(who, cluster));
        ProcessId(self.processes.len() - 1)
    }

    pub(crate) fn process(&self, id: ProcessId) -> &Process {
        &self.processes[id.0]
    }

    pub(crate) fn process_mut(&mut self, id: ProcessId) -> &mut Process {
        &mut self.processes[id.0]
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = (ProcessId, &Process)> {
        (0..).map(ProcessId).zip(&self.processes)
    }

    pub(crate) fn local(&self, id: ProcessId) -> Duration {
        self.process(id).local(self.now)
    }

    pub(crate) fn end(&self, process: ProcessId, part: u8) -> End {
        let life = self.process(process).life;
        End {
            process,
            life,
            part,
        }
    }

    /// Up to, but without, `limit`.
    pub(crate) fn up_to(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.random.below(limit.as_micros() as u64))
    }

    pub(crate) fn between(&mut self, [from, to]: [u64; 2]) -> Duration {
        Duration::from_secs(from) + self.up_to(Duration::from_secs(to - from))
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.random.below(many) == 0
    }

    pub(crate) fn plan(&mut self, after: Duration, step: P) {
        self.queue.put(self.now + after, Event::Plan(step));
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn happen(&mut self, at: Duration, process: ProcessId, what: What) {
        let life = self.process(process).life;
        let at = at.max(self.now);
        let event = Event::Process {
            process,
            life,
            what,
        };
        self.queue.put(at, event);
    }

    /// The next thing that happens and the time it has become by then. What a frozen process should do waits.
    pub(crate) fn next(&mut self) -> Option<Event<P>> {
        loop {
            let (at, event) = self.queue.take()?;
            self.now = at;
            let Event::Process { process, life, .. } = &event else {
                return Some(event);
            };
            let (process, life) = (*process, *life);
            let frozen_until = self.process(process).frozen_until;
            if frozen_until > self.now && self.process(process).life == life {
                self.queue.put(frozen_until, event);
                continue;
            }
            return Some(event);
        }
    }

    /// Wakes a part when its process's clock says so, unless it will be woken before.
    pub(crate) fn wake(&mut self, end: End, local: Duration, alarm: &mut Option<Duration>) {
        let at = self.process(end.process).global(local).max(self.now);
        if alarm.is_none_or(|alarm| alarm <= self.now || alarm > at) {
            *alarm = Some(at);
            self.happen(at, end.process, What::Wake { part: end.part });
        }
    }

    pub(crate) fn dial(&mut self, owner: End, dial: Dial) -> ConnId {
        let server = match dial {
            Dial::Cluster(cluster) => self.addresses[cluster],
            Dial::Server(server) => server,
        };
        let id = ConnId(self.conns.len());
        self.conns.push(Conn {
            owner,
            dial,
            server,
            server_life: 0,
            client: Client::Connecting,
            server_open: false,
            last: [Duration::ZERO; 2],
            sent: [0; 2],
            come: [0; 2],
            held: [Vec::new(), Vec::new()],
            early_come: [BTreeMap::new(), BTreeMap::new()],
            early: Vec::new(),
            silent_since: None,
            breaks: false,
            strays: false,
        });
        self.post(id, Side::Server, Letter::Syn { attempt: 0 });
        id
    }

    pub(crate) fn ask(&mut self, id: ConnId, number: u64, call: Call) {
        let conn = &mut self.conns[id.0];
        match conn.client {
            Client::Connecting => conn.early.push((number, call)),
            Client::Open => self.post(id, Side::Server, Letter::Request { number, call }),
            Client::Closed => {}
        }
    }

    /// The client has done with it. What it sent before may still arrive.
    pub(crate) fn close(&mut self, id: ConnId) {
        let conn = &mut self.conns[id.0];
        if conn.client != Client::Closed {
            conn.client = Client::Closed;
            conn.early.clear();
            self.post(id, Side::Server, Letter::Fin);
        }
    }

    pub(crate) fn owner(&self, id: ConnId) -> End {
        self.conns[id.0].owner
    }

    pub(crate) fn server(&self, id: ConnId) -> ProcessId {
        self.conns[id.0].server
    }

    pub(crate) fn answer(&mut self, id: ConnId, number: u64, cluster: u64, reply: Result<Reply>) {
        let conn = &mut self.conns[id.0];
        if !conn.server_open {
            return;
        }
        if std::mem::take(&mut conn.breaks) {
            return self.reset(id);
        }
        let letter = Letter::Reply {
            number,
            cluster,
            reply,
        };
        self.post(id, Side::Client, letter);
    }

    fn post(&mut self, id: ConnId, side: Side, letter: Letter) {
        let sent = &mut self.conns[id.0].sent[side as usize];
        let number = *sent;
        *sent += 1;
        self.send(id, side, number, letter);
    }

    fn send(&mut self, id: ConnId, side: Side, number: u64, letter: Letter) {
        let conn = &self.conns[id.0];
        let (client, server) = (conn.owner.process, conn.server);
        let (of_client, of_server) = (self.process(client), self.process(server));
        let latency = self.latency[usize::from(of_client.cluster != of_server.cluster)];
        let slow = self.links.slowness(of_client, of_server);
        let travel = latency + self.up_to(latency / 2 + slow) + slow / 2;
        let at = (self.now + travel).max(self.conns[id.0].last[side as usize]);
        self.conns[id.0].last[side as usize] = at;
        let to = match side {
            Side::Client => client,
            Side::Server => server,
        };
        let what = What::Arrive {
            conn: id,
            side,
            number,
            letter,
        };
        self.happen(at, to, what);
    }
}
