//! A writer meets a store: what `clustermesh::drive::write` does, with letters of the simulated network.

use std::time::Duration;

use tombolo_clustermesh::{
    drive::Writing as Core,
    writer::{Answer, Ask},
};
use tombolo_kvstore::{Error, Operand, Result};

use crate::{
    net::{Call, ConnId, Dial, Letter, Net, Reply},
    planted::Planted,
    process::{End, ProcessId},
    reading::broken,
};

const ANSWER_MAX: Duration = Duration::from_secs(25);

#[derive(Debug)]
pub(crate) struct Writing {
    end: End,
    server: ProcessId,
    planted: Option<Planted>,
    client: Option<Client>,
    flight: Option<Flight>,
    last: u64,
    alarm: Option<Duration>,
}

/// A client of one etcd cluster. It connects anew by itself, but notices when another cluster answers.
#[derive(Debug, Default)]
struct Client {
    conn: Option<ConnId>,
    cluster: Option<u64>,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    until: Duration,
}

impl Writing {
    pub(crate) fn new(end: End, server: ProcessId, planted: Option<Planted>) -> Writing {
        Writing {
            end,
            server,
            planted,
            client: None,
            flight: None,
            last: 0,
            alarm: None,
        }
    }

    pub(crate) fn woken<P>(&mut self, core: &mut impl Core, net: &mut Net<P>) {
        let now = net.local(self.end.process);
        if self
            .flight
            .as_ref()
            .is_some_and(|flight| flight.until <= now)
        {
            let (operation, after) = ("writing", ANSWER_MAX);
            self.answer(Err(Error::Timeout { operation, after }), core, net);
        }
    }

    pub(crate) fn receive<P>(
        &mut self,
        conn: ConnId,
        letter: Letter,
        core: &mut impl Core,
        net: &mut Net<P>,
    ) {
        let client = self.client.as_mut();
        let Some(client) = client.filter(|client| client.conn == Some(conn)) else {
            return;
        };
        match letter {
            Letter::Open => {}
            Letter::Reply {
                number,
                cluster: found,
                reply,
            } => {
                if self
                    .flight
                    .as_ref()
                    .is_none_or(|flight| flight.number != number)
                {
                    return;
                }
                let expected = *client.cluster.get_or_insert(found);
                let answer = match reply {
                    Ok(_) if expected != found => Err(Error::ClusterChanged {
                        operation: "writing",
                        expected,
                        found,
                    }),
                    reply => reply.map(answer),
                };
                self.answer(answer, core, net);
            }
            Letter::Refused | Letter::Reset => {
                client.conn = None;
                if self.flight.is_some() {
                    self.answer(Err(broken()), core, net);
                }
            }
            Letter::Syn { .. } | Letter::Request { .. } | Letter::Fin => {
                panic!("a client got {letter:?}")
            }
        }
    }

    fn answer<P>(&mut self, answer: Result<Answer>, core: &mut impl Core, net: &mut Net<P>) {
        self.flight = None;
        let answer = answer.unwrap_or_else(|error| {
            if !matches!(error, Error::LeaseNotFound { .. } | Error::TooLarge { .. }) {
                let client = self.client.take();
                if let Some(conn) = client.and_then(|client| client.conn) {
                    net.close(conn);
                }
            }
            Answer::Failed(error)
        });
        core.answered(answer, net.local(self.end.process));
    }

    /// Asks what the core wants asked, and says whether it did. To be called after anything else.
    pub(crate) fn pump<P>(&mut self, core: &mut impl Core, net: &mut Net<P>) -> bool {
        let now = net.local(self.end.process);
        let before = self.last;
        if self.flight.is_none()
            && let Some(ask) = core.poll_ask(now)
        {
            self.last += 1;
            let client = self.client.get_or_insert_default();
            let dial = Dial::Server(self.server);
            let conn = *client.conn.get_or_insert_with(|| net.dial(self.end, dial));
            net.ask(conn, self.last, call(ask, self.planted));
            let (number, until) = (self.last, now + ANSWER_MAX);
            self.flight = Some(Flight { number, until });
        }
        self.set_alarm(core, net);
        self.last != before
    }

    pub(crate) fn set_alarm<P>(&mut self, core: &impl Core, net: &mut Net<P>) {
        let next = match &self.flight {
            // Nothing else is done meanwhile.
            Some(flight) => Some(flight.until),
            None => core.poll_timeout(),
        };
        if let Some(next) = next {
            net.wake(self.end, next, &mut self.alarm);
        }
    }
}

fn call(ask: Ask, planted: Option<Planted>) -> Call {
    match ask {
        Ask::Page { keys, from } => Call::Page { keys, from },
        Ask::Transact(mut transaction) => {
            if planted == Some(Planted::Unfenced) {
                let fences = |to: &Operand| matches!(to, Operand::Modified(_));
                transaction.compares.retain(|compare| !fences(&compare.to));
            }
            Call::Transact(transaction)
        }
        Ask::Grant(ttl) => Call::Grant(ttl),
        Ask::Renew(lease) => Call::Renew(lease),
    }
}

fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Page(page, next) => Answer::Page(page, next),
        Reply::Transacted(answer) => Answer::Transacted {
            held: answer.succeeded,
            revision: answer.revision,
        },
        Reply::Granted(lease) => Answer::Granted(lease),
        Reply::Renewed => Answer::Renewed,
        reply => panic!("a writer was answered {reply:?}"),
    }
}
