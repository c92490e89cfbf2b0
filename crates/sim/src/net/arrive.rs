//! How connections begin, break and end.

use std::time::Duration;

use super::{
    CLIENT_PATIENCE, Client, ConnId, Cut, Dial, Letter, Net, RESEND_MAX, SERVER_PATIENCE,
    SYN_PAUSES, Side, What,
};
use crate::process::ProcessId;

/// How much later a request may be executed than it was asked.
const STRAY_MAX: Duration = Duration::from_secs(90);

impl<P> Net<P> {
    /// What of a letter that has come is for the process to see.
    pub(crate) fn arrive(
        &mut self,
        id: ConnId,
        side: Side,
        number: u64,
        letter: Letter,
    ) -> Option<Letter> {
        if self.is_cut(id, side) || !self.conns[id.0].held[side as usize].is_empty() {
            self.hold(id, side, number, letter);
            return None;
        }
        // What was on its way when a cut healed overtakes what is sent again, and waits for it as in any TCP.
        let conn = &mut self.conns[id.0];
        let (come, early) = (
            &mut conn.come[side as usize],
            &mut conn.early_come[side as usize],
        );
        if number != *come {
            early.insert(number, letter);
            return None;
        }
        *come += 1;
        if let Some((number, letter)) = early.remove_entry(come) {
            let process = match side {
                Side::Client => conn.owner.process,
                Side::Server => conn.server,
            };
            let what = What::Arrive {
                conn: id,
                side,
                number,
                letter,
            };
            self.happen(self.now, process, what);
        }
        match side {
            Side::Server => self.arrive_at_server(id, letter),
            Side::Client => self.arrive_at_client(id, letter),
        }
    }

    fn arrive_at_server(&mut self, id: ConnId, letter: Letter) -> Option<Letter> {
        let server = self.process(self.conns[id.0].server);
        let (is_up, life) = (server.is_up, server.life);
        let conn = &mut self.conns[id.0];
        match letter {
            Letter::Syn { .. } if !is_up => self.post(id, Side::Client, Letter::Refused),
            Letter::Syn { .. } => {
                (conn.server_open, conn.server_life) = (true, life);
                self.post(id, Side::Client, Letter::Open);
            }
            Letter::Fin => {
                conn.server_open = false;
                return is_up.then_some(letter);
            }
            letter if conn.server_open && conn.strays && letter.is_write() => {
                self.stray(id, letter);
            }
            letter if conn.server_open => return Some(letter),
            _ => {}
        }
        None
    }

    /// The server has taken it, but does not come to it before the connection ends.
    fn stray(&mut self, conn: ConnId, letter: Letter) {
        self.conns[conn.0].strays = false;
        self.reset(conn);
        let at = self.now + self.up_to(STRAY_MAX);
        let server = self.conns[conn.0].server;
        self.happen(at, server, What::Late { conn, letter });
    }

    fn arrive_at_client(&mut self, id: ConnId, letter: Letter) -> Option<Letter> {
        let conn = &mut self.conns[id.0];
        match (conn.client, &letter) {
            (Client::Closed, _) => return None,
            (Client::Connecting, Letter::Open) => {
                conn.client = Client::Open;
                for (number, call) in std::mem::take(&mut conn.early) {
                    self.post(id, Side::Server, Letter::Request { number, call });
                }
            }
            (_, Letter::Refused | Letter::Reset) => conn.client = Client::Closed,
            _ => {}
        }
        Some(letter)
    }

    fn is_cut(&self, id: ConnId, side: Side) -> bool {
        let conn = &self.conns[id.0];
        let (client, server) = (self.process(conn.owner.process), self.process(conn.server));
        match side {
            Side::Client => self.links.is_cut(server, client),
            Side::Server => self.links.is_cut(client, server),
        }
    }

    fn hold(&mut self, id: ConnId, side: Side, number: u64, letter: Letter) {
        let Letter::Syn { attempt } = letter else {
            self.conns[id.0].held[side as usize].push((number, letter));
            return;
        };
        if let Some(pause) = SYN_PAUSES.get(attempt) {
            let at = self.now + Duration::from_secs(*pause);
            let letter = Letter::Syn {
                attempt: attempt + 1,
            };
            let what = What::Arrive {
                conn: id,
                side,
                number,
                letter,
            };
            self.happen(at, self.conns[id.0].server, what);
        }
    }

    pub(crate) fn cut(&mut self, number: u64, cut: Cut) {
        self.links.add_cut(number, cut);
        for id in (0..self.conns.len()).map(ConnId) {
            if self.is_cut(id, Side::Client) || self.is_cut(id, Side::Server) {
                self.fall_silent(id);
            }
        }
    }

    pub(crate) fn heal(&mut self, number: u64) {
        self.links.heal(number);
        for id in (0..self.conns.len()).map(ConnId) {
            self.be_heard(id);
        }
    }

    /// Until then the process does nothing; its clock may stand still as well.
    pub(crate) fn freeze(&mut self, id: ProcessId, time: Duration, clock_stops: bool) {
        let until = self.now + time;
        let process = self.process_mut(id);
        process.frozen_until = until;
        if clock_stops {
            process.lag(time);
        }
        for conn in (0..self.conns.len()).map(ConnId) {
            if self.has(conn, id) {
                self.fall_silent(conn);
            }
        }
    }

    pub(crate) fn thaw(&mut self, id: ProcessId) {
        for conn in (0..self.conns.len()).map(ConnId) {
            if self.has(conn, id) {
                self.be_heard(conn);
            }
        }
    }

    fn has(&self, id: ConnId, process: ProcessId) -> bool {
        let conn = &self.conns[id.0];
        conn.owner.process == process || conn.server == process
    }

    fn fall_silent(&mut self, id: ConnId) {
        let conn = &mut self.conns[id.0];
        if conn.silent_since.is_some() || (conn.client == Client::Closed && !conn.server_open) {
            return;
        }
        let since = self.now;
        conn.silent_since = Some(since);
        let (client, server) = (conn.owner.process, conn.server);
        for (side, process, patience) in [
            (Side::Client, client, CLIENT_PATIENCE),
            (Side::Server, server, SERVER_PATIENCE),
        ] {
            let at = self.now + self.between(patience);
            let conn = id;
            self.happen(at, process, What::Silence { conn, side, since });
        }
    }

    fn be_heard(&mut self, id: ConnId) {
        let conn = &self.conns[id.0];
        let frozen = [conn.owner.process, conn.server]
            .iter()
            .any(|process| self.process(*process).frozen_until > self.now);
        let cut = [Side::Client, Side::Server].map(|side| self.is_cut(id, side));
        if !frozen && cut == [false; 2] {
            self.conns[id.0].silent_since = None;
        }
        for side in [Side::Client, Side::Server] {
            let held = &mut self.conns[id.0].held[side as usize];
            if cut[side as usize] || held.is_empty() {
                continue;
            }
            let held = std::mem::take(held);
            // The sender tries again after pauses that have grown with the time of the cut.
            let late = self.up_to(RESEND_MAX);
            let conn = &mut self.conns[id.0];
            conn.last[side as usize] = conn.last[side as usize].max(self.now + late);
            for (number, letter) in held {
                self.send(id, side, number, letter);
            }
        }
    }

    /// What the process of one side learns from its patience having ended.
    pub(crate) fn silence(&mut self, id: ConnId, side: Side, since: Duration) -> Option<Letter> {
        let conn = &mut self.conns[id.0];
        if conn.silent_since != Some(since) {
            return None;
        }
        match side {
            Side::Client if conn.client != Client::Closed => {
                conn.client = Client::Closed;
                self.post(id, Side::Server, Letter::Fin);
                Some(Letter::Reset)
            }
            Side::Server if conn.server_open => {
                conn.server_open = false;
                self.post(id, Side::Client, Letter::Reset);
                Some(Letter::Fin)
            }
            _ => None,
        }
    }

    /// The process has ended; the kernel tells its peers.
    pub(crate) fn kill(&mut self, id: ProcessId) {
        self.process_mut(id).kill();
        for conn in (0..self.conns.len()).map(ConnId) {
            if self.conns[conn.0].owner.process == id {
                self.close(conn);
            }
            if self.conns[conn.0].server == id && self.conns[conn.0].server_open {
                self.conns[conn.0].server_open = false;
                self.post(conn, Side::Client, Letter::Reset);
            }
        }
    }

    pub(crate) fn start(&mut self, id: ProcessId) {
        self.process_mut(id).start();
    }

    /// A connection that is open at its client's side, by chance.
    pub(crate) fn any_conn(&mut self) -> Option<ConnId> {
        let open = (0..self.conns.len()).filter(|id| self.conns[*id].client == Client::Open);
        let open: Vec<_> = open.collect();
        let one = self.random.below(open.len() as u64) as usize;
        open.get(one).copied().map(ConnId)
    }

    /// Something between both sides ends the connection; what is on the way is lost.
    pub(crate) fn reset(&mut self, id: ConnId) {
        self.conns[id.0].server_open = false;
        self.post(id, Side::Client, Letter::Reset);
        self.post(id, Side::Server, Letter::Fin);
    }

    /// Ends the connections to a cluster's stores that lead elsewhere than they would now.
    pub(crate) fn reset_all_of(&mut self, cluster: usize, server: ProcessId) {
        for id in (0..self.conns.len()).map(ConnId) {
            let conn = &self.conns[id.0];
            let of_cluster = self.process(conn.server).cluster == cluster;
            let by_address = matches!(conn.dial, Dial::Cluster(_));
            if of_cluster && by_address && conn.server != server && conn.client != Client::Closed {
                self.reset(id);
            }
        }
    }

    /// The next request is executed, but its answer does not arrive.
    pub(crate) fn lose_next_answer(&mut self, id: ConnId) {
        self.conns[id.0].breaks = true;
    }

    /// On some connections, the next write is executed long after the connection has ended.
    pub(crate) fn stray_some_writes(&mut self) {
        for conn in &mut self.conns {
            if conn.client == Client::Open && self.random.below(2) == 0 {
                conn.strays = true;
            }
        }
    }

    /// No connection breaks any more: the answer of a watch that was to be lost may have been hours away.
    pub(crate) fn spare_conns(&mut self) {
        for conn in &mut self.conns {
            (conn.breaks, conn.strays) = (false, false);
        }
    }
}
