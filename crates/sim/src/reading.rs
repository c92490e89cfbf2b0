//! A reader meets a store: what `clustermesh::drive::read` does, with letters of the simulated network.

use std::{collections::BTreeMap, time::Duration};

use tombolo_clustermesh::{Answer, Ask, Ids, Request, Ticket, drive};
use tombolo_kvstore::{Error, Keys};

use crate::{
    net::{Call, ConnId, Dial, Letter, Net, Reply},
    planted::Planted,
    process::End,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Heartbeat, config, canaries and six kinds of records, each with one question at most, and the connection itself.
pub(crate) const FLIGHTS_MAX: usize = 10;

#[derive(Debug)]
pub(crate) struct Reading<R> {
    pub(crate) core: R,
    end: End,
    dial: Dial,
    /// Whether it is said to be connected before it is.
    connects_late: bool,
    planted: Option<Planted>,
    conn: Option<ConnId>,
    flights: BTreeMap<Ticket, Flight>,
    /// Of a bug: changes that are told later than they should.
    late: Option<(Ticket, Answer)>,
    alarm: Option<Duration>,
    /// The connection has broken since this was last looked at.
    pub(crate) broke: bool,
}

#[derive(Debug)]
struct Flight {
    kind: Kind,
    /// When it is given up, by the process's clock; never where it follows changes.
    until: Option<Duration>,
}

#[derive(Debug)]
enum Kind {
    Connect,
    Page(Keys),
    Watch,
}

/// How a reader is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) end: End,
    pub(crate) dial: Dial,
    pub(crate) connects_late: bool,
    pub(crate) planted: Option<Planted>,
}

impl<R: drive::Reading> Reading<R> {
    pub(crate) fn new(core: R, setup: Setup) -> Reading<R> {
        Reading {
            core,
            end: setup.end,
            dial: setup.dial,
            connects_late: setup.connects_late,
            planted: setup.planted,
            conn: None,
            flights: BTreeMap::new(),
            late: None,
            alarm: None,
            broke: false,
        }
    }

    pub(crate) fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    pub(crate) fn flights(&self) -> usize {
        self.flights.len()
    }

    /// The time has come for something.
    pub(crate) fn woken<P>(&mut self, net: &mut Net<P>, ids: &mut Ids) {
        let now = net.local(self.end.process);
        let due = |flight: &Flight| flight.until.is_some_and(|until| until <= now);
        let overdue = self.flights.iter().find(|(_, flight)| due(flight));
        if let Some((ticket, flight)) = overdue {
            let answer = match flight.kind {
                Kind::Connect if self.connects_late => Answer::Connected,
                _ => Answer::Failed(timeout(flight)),
            };
            let ticket = *ticket;
            self.flights.remove(&ticket);
            self.hand(ticket, answer, now, ids);
        }
        self.core.handle_timeout(now);
    }

    /// A letter of its connection.
    pub(crate) fn receive<P>(
        &mut self,
        conn: ConnId,
        letter: Letter,
        net: &mut Net<P>,
        ids: &mut Ids,
    ) {
        if self.conn != Some(conn) {
            return;
        }
        let now = net.local(self.end.process);
        match letter {
            Letter::Open => {
                let connecting = self.flights.iter();
                let mut connecting = connecting.filter(|(_, flight)| flight.is_connect());
                if let Some(ticket) = connecting.next().map(|(ticket, _)| *ticket) {
                    self.flights.remove(&ticket);
                    self.hand(ticket, Answer::Connected, now, ids);
                }
            }
            Letter::Reply { number, reply, .. } => {
                let ticket = Ticket(number);
                let answer = match reply {
                    Ok(reply) => Ok(answer(reply)),
                    Err(error) => Err(error),
                };
                self.land(ticket, answer, now, ids);
            }
            Letter::Refused | Letter::Reset => {
                self.broke = true;
                // All of them fail; the first one makes the reader close the connection.
                let all: Vec<_> = self.flights.keys().copied().collect();
                let first = net.random.below(all.len() as u64) as usize;
                if let Some(ticket) = all.get(first) {
                    self.flights.remove(ticket);
                    self.hand(*ticket, Answer::Failed(broken()), now, ids);
                }
            }
            Letter::Syn { .. } | Letter::Request { .. } | Letter::Fin => {
                panic!("a client got {letter:?}")
            }
        }
    }

    fn land(
        &mut self,
        ticket: Ticket,
        answer: Result<Answer, Error>,
        now: Duration,
        ids: &mut Ids,
    ) {
        let Some(flight) = self.flights.get_mut(&ticket) else {
            return;
        };
        let goes_on = matches!(answer, Ok(Answer::Watching | Answer::Changes(_)));
        let asked = match &flight.kind {
            Kind::Page(keys) => Some(keys.clone()),
            _ => None,
        };
        if goes_on {
            flight.until = None;
        } else {
            self.flights.remove(&ticket);
        }
        let mut answer = answer.unwrap_or_else(Answer::Failed);
        if let Some(planted) = self.planted {
            answer = planted.twist(asked.as_ref(), answer);
        }
        let wanted = self.hand_late(ticket, answer, now, ids);
        if !wanted {
            self.flights.remove(&ticket);
        }
    }

    /// Hands the answer over, unless a bug keeps it back or has kept back another.
    fn hand_late(&mut self, ticket: Ticket, answer: Answer, now: Duration, ids: &mut Ids) -> bool {
        let is_changes = matches!(answer, Answer::Changes(_));
        match (self.planted, self.late.take()) {
            (Some(Planted::Reordered), None) if is_changes => {
                self.late = Some((ticket, answer));
                true
            }
            (Some(Planted::Repeated), None) if is_changes => {
                if let Answer::Changes(changes) = &answer {
                    self.late = Some((ticket, Answer::Changes(changes.clone())));
                }
                self.hand(ticket, answer, now, ids)
            }
            (_, late) => {
                let wanted = self.hand(ticket, answer, now, ids);
                if let Some((ticket, answer)) = late {
                    self.hand(ticket, answer, now, ids);
                }
                wanted
            }
        }
    }

    fn hand(&mut self, ticket: Ticket, answer: Answer, now: Duration, ids: &mut Ids) -> bool {
        self.core.handle(ticket, answer, now, ids)
    }

    pub(crate) fn remove<P>(&mut self, net: &Net<P>, ids: &mut Ids) {
        let now = net.local(self.end.process);
        match self.planted {
            Some(Planted::IdKept) => self.core.remove(now, &mut ids.clone()),
            _ => self.core.remove(now, ids),
        }
    }

    /// Does what the core asks for and returns what it tells. To be called after anything else.
    pub(crate) fn pump<P>(&mut self, net: &mut Net<P>) -> Vec<R::Told> {
        while let Some(Request { ticket, ask }) = self.core.poll_request() {
            self.ask(ticket, ask, net);
        }
        let told = std::iter::from_fn(|| self.core.poll_told());
        let told = told.flatten().collect();
        self.set_alarm(net);
        told
    }

    /// To be called also when the clock has jumped.
    pub(crate) fn set_alarm<P>(&mut self, net: &mut Net<P>) {
        let flights = self.flights.values().filter_map(|flight| flight.until);
        let next = flights.fold(self.core.poll_timeout(), Duration::min);
        net.wake(self.end, next, &mut self.alarm);
    }

    fn ask<P>(&mut self, ticket: Ticket, ask: Ask, net: &mut Net<P>) {
        let now = net.local(self.end.process);
        let (kind, call) = match ask {
            Ask::Connect => {
                self.conn = Some(net.dial(self.end, self.dial));
                let patience = match self.connects_late {
                    // It is said to be connected at once.
                    true => Duration::ZERO,
                    false => CONNECT_TIMEOUT,
                };
                let (kind, until) = (Kind::Connect, Some(now + patience));
                self.flights.insert(ticket, Flight { kind, until });
                return;
            }
            Ask::Leave => {
                self.flights.remove(&ticket);
                return;
            }
            Ask::Close => {
                self.flights.clear();
                self.late = None;
                if let Some(conn) = self.conn.take() {
                    net.close(conn);
                }
                return;
            }
            Ask::Page { keys, from } => {
                let kind = Kind::Page(keys.clone());
                (kind, Call::Page { keys, from })
            }
            Ask::Watch { keys, since } => (Kind::Watch, Call::Watch { keys, since }),
        };
        // Without a connection nobody answers, and nobody waits.
        if let Some(conn) = self.conn {
            net.ask(conn, ticket.0, call);
            let until = Some(now + REQUEST_TIMEOUT);
            self.flights.insert(ticket, Flight { kind, until });
        }
    }
}

impl Flight {
    fn is_connect(&self) -> bool {
        matches!(self.kind, Kind::Connect)
    }
}

fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Page(page, next) => Answer::Page(page, next),
        Reply::Watching => Answer::Watching,
        Reply::Changes(changes) => Answer::Changes(changes),
        reply => panic!("a reader was answered {reply:?}"),
    }
}

pub(crate) fn broken() -> Error {
    Error::Answer {
        operation: "reading",
        message: "the connection has ended".to_owned(),
        temporary: true,
    }
}

fn timeout(flight: &Flight) -> Error {
    match flight.kind {
        Kind::Connect => Error::Connect {
            endpoint: "https://peer".to_owned(),
            problem: "no answer".to_owned(),
        },
        _ => Error::Timeout {
            operation: "reading",
            after: REQUEST_TIMEOUT,
        },
    }
}
