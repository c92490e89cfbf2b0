//! One range of keys in a peer's store: listed in pages at one revision, then watched from the next.
//!
//! ```text
//! Paused ──► Listing ──► Opening ──► Watching
//!    ▲          │           │           │
//!    └──────────┴───────────┴───────────┘  compacted
//! ```
//! Any other failure is the connection's, and not decided here.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tombolo_kvstore::{Change, Error, Keys, PageEnd, Record, Revision};
use tombolo_model::event::Event;

use crate::{
    backoff::Backoff,
    random::Random,
    request::{Answer, Ask, Request, Ticket},
};

/// How long a list's page or a watch's start may take.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(60);

pub(crate) type Events = Vec<Event<Bytes, Bytes>>;

#[derive(Debug)]
pub(crate) struct Follow {
    keys: Keys,
    ticket: Option<Ticket>,
    state: State,
    backoff: Backoff,
    /// How many keys there are, as far as is known.
    pub(crate) count: usize,
}

#[derive(Debug)]
enum State {
    Paused {
        until: Duration,
    },
    Listing {
        asked: Duration,
        since: Option<Revision>,
    },
    Opening {
        asked: Duration,
    },
    Watching,
}

/// Where requests are put.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    last: u64,
    pub(crate) requests: VecDeque<Request>,
}

impl Outbox {
    pub(crate) fn ask(&mut self, ask: Ask) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.requests.push_back(Request { ticket, ask });
        ticket
    }

    fn leave(&mut self, ticket: Ticket) {
        let ask = Ask::Leave;
        self.requests.push_back(Request { ticket, ask });
    }
}

impl Follow {
    pub(crate) fn start(keys: Keys, now: Duration, outbox: &mut Outbox) -> Follow {
        let mut follow = Follow {
            keys,
            ticket: None,
            state: State::Paused { until: now },
            backoff: Backoff::new(PAUSE, PAUSE_MAX),
            count: 0,
        };
        follow.list(None, None, now, outbox);
        follow
    }

    /// Asks for nothing more.
    pub(crate) fn end(&mut self, outbox: &mut Outbox) {
        if let Some(ticket) = self.ticket.take() {
            outbox.leave(ticket);
        }
    }

    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        self.ticket == Some(ticket)
    }

    /// An error that it can't live with is the connection's.
    pub(crate) fn handle(
        &mut self,
        answer: Answer,
        now: Duration,
        random: &mut Random,
        outbox: &mut Outbox,
    ) -> Result<Events, Error> {
        match (answer, &self.state) {
            (Answer::Page(page, next), State::Listing { since, .. }) => {
                let first = since.is_none();
                let since = since.unwrap_or(page.revision);
                let mut events = Events::new();
                if first {
                    self.count = 0;
                    events.push(Event::Restart);
                }
                self.count += page.records.len();
                events.extend(page.records.into_iter().map(upsert));
                if next.is_some() {
                    self.list(next, Some(since), now, outbox);
                } else {
                    events.push(Event::Synced);
                    let (keys, since) = (self.keys.clone(), since.next());
                    self.ticket = Some(outbox.ask(Ask::Watch { keys, since }));
                    self.state = State::Opening { asked: now };
                }
                Ok(events)
            }
            (Answer::Watching, State::Opening { .. }) => {
                self.state = State::Watching;
                Ok(Events::new())
            }
            (Answer::Changes(changes), State::Watching | State::Opening { .. }) => {
                self.state = State::Watching;
                self.backoff.reset();
                Ok(changes
                    .into_iter()
                    .map(|change| self.event(change))
                    .collect())
            }
            (Answer::Failed(Error::Compacted { .. }), _) => {
                let until = now + self.backoff.next(random);
                self.ticket = None;
                self.state = State::Paused { until };
                Ok(Events::new())
            }
            (Answer::Failed(error), _) => Err(error),
            // A store that answers what it was not asked can't move us.
            (Answer::Connected | Answer::Page(..) | Answer::Watching | Answer::Changes(_), _) => {
                Ok(Events::new())
            }
        }
    }

    /// The deadline of what was asked, or the end of a pause.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Paused { until } => Some(until),
            State::Listing { asked, .. } | State::Opening { asked } => Some(asked + ANSWER_MAX),
            State::Watching => None,
        }
    }

    /// False when the store has not answered in time.
    pub(crate) fn handle_timeout(&mut self, now: Duration, outbox: &mut Outbox) -> bool {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return true;
        }
        let paused = matches!(self.state, State::Paused { .. });
        if paused {
            self.list(None, None, now, outbox);
        }
        paused
    }

    fn list(
        &mut self,
        from: Option<PageEnd>,
        since: Option<Revision>,
        now: Duration,
        outbox: &mut Outbox,
    ) {
        let keys = self.keys.clone();
        self.ticket = Some(outbox.ask(Ask::Page { keys, from }));
        self.state = State::Listing { asked: now, since };
    }

    fn event(&mut self, change: Change) -> Event<Bytes, Bytes> {
        let record = change.record;
        if record.is_deletion() {
            self.count = self.count.saturating_sub(1);
            return Event::Delete(record.key);
        }
        self.count += usize::from(record.version == 1);
        upsert(record)
    }
}

fn upsert(record: Record) -> Event<Bytes, Bytes> {
    Event::Upsert(record.key, record.value)
}
