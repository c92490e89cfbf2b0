//! The life of one peer's connection: its config, its number, its canaries, its records, and what ends it.
//!
//! ```text
//! Waiting ──► Connecting ──► Session: heartbeat and config ──► canaries ──► records ──► ready
//!    ▲             │            │ silent, refused, config changed, any failure
//!    └─────────────┴────────────┘ a pause, longer each time until it was ready once
//! ```
//! What was told stays told when a connection ends: nothing is deleted because a peer is unreachable. It speaks of keys
//! and values as they lie in the peer's store; what they mean is for those who use it.

mod session;
mod status;
mod trouble;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use tombolo_model::{
    event::Event,
    id::ClusterId,
    record::{ClusterConfig, Peer, Resource, Tree},
};

use crate::{Answer, Ask, Ids, Random, Request, Scope, Ticket, backoff::Backoff, follow::Outbox};
use session::Session;
pub use status::{Kind, Phase, Status};
pub use trouble::Trouble;

/// A peer whose heartbeat was not seen for so long is taken for dead.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(120);
/// How long to wait for a peer's config before connecting anew.
pub const CONFIG_MAX: Duration = Duration::from_secs(180);
const CONNECT_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Whom to read, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The peer's name.
    pub cluster: String,
    /// Our own number.
    pub own: ClusterId,
    /// It is our own cluster, read from its own store: it must have our number, not another one.
    pub ours: bool,
    /// 255 or 511.
    pub clusters_max: u16,
    /// The kinds of records to read, so far as the peer writes them.
    pub resources: Vec<Resource>,
    pub scope: Scope,
}

/// What a reader has learnt, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The peer is believed; what follows is of it.
    Peer {
        peer: Peer,
        tree: Tree,
        config: Bytes,
    },
    /// Keys and values as they are in the peer's store.
    Records(Resource, Vec<Event<Bytes, Bytes>>),
    /// Whether what was told may be out of date, since nobody tells what becomes of it.
    Stale(bool),
    /// All that was told of this peer is void.
    Gone(Peer),
}

#[derive(Debug)]
pub struct Reader {
    options: Options,
    random: Random,
    backoff: Backoff,
    outbox: Outbox,
    told: VecDeque<Told>,
    life: Life,
    peer: Option<Peer>,
    /// In words, with what to do about it.
    trouble: Option<(String, &'static str)>,
    failures: u64,
    /// When all that the peer has was last known to be so.
    fresh: Option<Duration>,
    /// What was told last of whether it is so; to be told anew if it is absent.
    stale: Option<bool>,
    /// How many records there were of each kind when that was last known.
    counts: BTreeMap<Resource, usize>,
}

#[derive(Debug)]
enum Life {
    Waiting { until: Duration },
    Connecting { ticket: Ticket, until: Duration },
    Session(Box<Session>),
}

impl Reader {
    pub fn new(options: Options, random: Random, now: Duration) -> Reader {
        Reader {
            options,
            random,
            backoff: Backoff::new(PAUSE, PAUSE_MAX),
            outbox: Outbox::default(),
            told: VecDeque::new(),
            life: Life::Waiting { until: now },
            peer: None,
            trouble: None,
            failures: 0,
            fresh: None,
            stale: None,
            counts: BTreeMap::new(),
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Holds from the next connection on, whose snapshots sweep what it leaves out; `restart` brings it about at once.
    pub fn set_scope(&mut self, scope: Scope) {
        self.options.scope = scope;
    }

    /// The peer that was believed last, whose records are known.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    pub fn poll_request(&mut self) -> Option<Request> {
        self.outbox.requests.pop_front()
    }

    pub fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// False when nobody waits for this answer, nor for more of its kind.
    pub fn handle(&mut self, ticket: Ticket, answer: Answer, now: Duration, ids: &mut Ids) -> bool {
        let ended = match &mut self.life {
            Life::Connecting { ticket: asked, .. } if *asked == ticket => match answer {
                Answer::Failed(error) => Err(error.into()),
                _ => {
                    let session = Session::start(&self.options.cluster, now, &mut self.outbox);
                    self.life = Life::Session(Box::new(session));
                    Ok(())
                }
            },
            Life::Session(session) if session.awaits(ticket) => {
                self.advance(ticket, answer, now, ids)
            }
            _ => return false,
        };
        if let Err(trouble) = ended {
            self.fail(trouble, now);
        }
        true
    }

    pub fn poll_timeout(&self) -> Duration {
        match &self.life {
            Life::Waiting { until } | Life::Connecting { until, .. } => *until,
            Life::Session(session) => session.poll_timeout(),
        }
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        match &mut self.life {
            Life::Waiting { until } if *until <= now => {
                let ticket = self.outbox.ask(Ask::Connect);
                let until = now + CONNECT_MAX;
                self.life = Life::Connecting { ticket, until };
            }
            Life::Connecting { until, .. } if *until <= now => self.fail(Trouble::Connect, now),
            Life::Session(session) => {
                let ended = session.handle_timeout(now, &mut self.outbox);
                if let Err(trouble) = ended {
                    self.fail(trouble, now);
                }
            }
            Life::Waiting { .. } | Life::Connecting { .. } => {}
        }
    }

    /// Connects anew at once: the way to the peer has changed.
    pub fn restart(&mut self, now: Duration) {
        self.close();
        self.backoff.reset();
        self.stale = None;
        self.life = Life::Waiting { until: now };
    }

    /// The peer has been taken out of the mesh: all that was told of it becomes void, its number is free.
    pub fn remove(&mut self, now: Duration, ids: &mut Ids) {
        self.restart(now);
        self.forget_peer(ids);
    }

    fn advance(
        &mut self,
        ticket: Ticket,
        answer: Answer,
        now: Duration,
        ids: &mut Ids,
    ) -> Result<(), Trouble> {
        let Life::Session(session) = &mut self.life else {
            return Ok(());
        };
        let (random, outbox) = (&mut self.random, &mut self.outbox);
        let was_unheard = session.is_unheard();
        let learnt = session.handle(ticket, answer, now, random, outbox)?;
        if session.is_ready() {
            self.backoff.reset();
            self.trouble = None;
            if !was_unheard || self.fresh.is_none() {
                self.fresh = Some(now);
            }
        }
        match learnt {
            session::Learnt::Nothing => {}
            session::Learnt::Records(resource, events) => {
                let told = Told::Records(resource, events);
                self.told.push_back(told);
            }
            session::Learnt::Config(value) => self.believe(value, now, ids)?,
        }
        self.look_whether_stale();
        Ok(())
    }

    /// While it is read for the first time nothing is said of it.
    fn look_whether_stale(&mut self) {
        let Life::Session(session) = &self.life else {
            return;
        };
        let is_ready = session.is_ready();
        if is_ready || self.stale == Some(false) {
            let is_stale = !is_ready || session.is_unheard();
            self.tell_stale(is_stale);
        }
    }

    fn tell_stale(&mut self, is_stale: bool) {
        if self.stale.replace(is_stale) != Some(is_stale) {
            self.told.push_back(Told::Stale(is_stale));
        }
    }

    fn believe(&mut self, value: Bytes, now: Duration, ids: &mut Ids) -> Result<(), Trouble> {
        let config = ClusterConfig::decode(&value).map_err(Trouble::Config)?;
        let Options {
            own, clusters_max, ..
        } = self.options;
        let id = if self.options.ours {
            config.check_own(own, clusters_max)?;
            own
        } else {
            config.check(own, clusters_max)?
        };
        let mode = config.capabilities.export_mode()?;
        if self.peer.as_ref().is_some_and(|peer| peer.id != id) {
            // Before the new number is asked for: two peers that exchange theirs would wait for each other for ever.
            self.forget_peer(ids);
        }
        ids.reserve(id, &self.options.cluster)
            .map_err(|holder| Trouble::DuplicateId { id, holder })?;
        let peer = Peer {
            cluster: self.options.cluster.clone(),
            id,
            clusters_max,
        };
        let tree = if config.capabilities.cached {
            Tree::Cache
        } else {
            Tree::State
        };
        self.peer = Some(peer.clone());
        self.told.push_back(Told::Peer {
            peer,
            tree,
            config: value,
        });
        let written = |resource: &Resource| session::writes(&config, mode, *resource);
        let resources = self.options.resources.iter().copied().filter(written);
        let plan = session::Plan {
            cluster: self.options.cluster.clone(),
            tree,
            canaries: config.capabilities.synced_canaries,
            resources: resources.collect(),
            scope: self.options.scope.clone(),
        };
        if let Life::Session(session) = &mut self.life {
            session.read(plan, now, &mut self.outbox);
        }
        Ok(())
    }

    fn fail(&mut self, trouble: Trouble, now: Duration) {
        self.close();
        self.tell_stale(true);
        self.failures += 1;
        self.trouble = Some((trouble.to_string(), trouble.hint()));
        let until = now + self.backoff.next(&mut self.random);
        self.life = Life::Waiting { until };
    }

    fn close(&mut self) {
        if let Life::Session(session) = &self.life {
            if session.is_ready() && !session.is_unheard() {
                self.fresh = Some(session.last_heard());
            }
            self.counts.extend(session.counts());
        }
        self.outbox.requests.clear();
        self.outbox.ask(Ask::Close);
    }

    fn forget_peer(&mut self, ids: &mut Ids) {
        if let Some(peer) = self.peer.take() {
            ids.release(peer.id, &peer.cluster);
            self.fresh = None;
            self.counts.clear();
            self.told.push_back(Told::Gone(peer));
        }
    }
}
