//! Processes: which there are, whether they run, and what each one's clock says.

use std::{fmt, time::Duration};

/// A process keeps its number over all its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) usize);

/// What a process is, and which of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Server(usize),
    Exporter(usize),
    Mesh(usize),
    Agent(usize),
}

/// One part of one life of a process: a writer or one of its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) process: ProcessId,
    pub(crate) life: u32,
    pub(crate) part: u8,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProcessId(process) = self.process;
        write!(f, "{process}.{}.{}", self.life, self.part)
    }
}

/// The part that writes into a store.
pub(crate) const WRITER: u8 = u8::MAX;
/// What a process does beside its parts.
pub(crate) const ITSELF: u8 = u8::MAX - 1;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) who: Who,
    pub(crate) cluster: usize,
    pub(crate) life: u32,
    pub(crate) is_up: bool,
    /// Neither reads nor writes nor looks at its clock before.
    pub(crate) frozen_until: Duration,
    /// How far its clock is ahead of the true time, in nanoseconds.
    ahead: i64,
}

impl Process {
    pub(crate) fn new(who: Who, cluster: usize) -> Process {
        Process {
            who,
            cluster,
            life: 0,
            is_up: false,
            frozen_until: Duration::ZERO,
            ahead: 0,
        }
    }

    /// What its clock says when it is `now`.
    pub(crate) fn local(&self, now: Duration) -> Duration {
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        Duration::from_nanos(u64::try_from(now.saturating_add(self.ahead)).unwrap_or(0))
    }

    /// When its clock will say so.
    pub(crate) fn global(&self, local: Duration) -> Duration {
        let local = i64::try_from(local.as_nanos()).unwrap_or(i64::MAX);
        Duration::from_nanos(u64::try_from(local.saturating_sub(self.ahead)).unwrap_or(0))
    }

    pub(crate) fn jump(&mut self, by: Duration) {
        self.ahead += by.as_nanos() as i64;
    }

    /// Its clock has stood still for so long.
    pub(crate) fn lag(&mut self, by: Duration) {
        self.ahead -= by.as_nanos() as i64;
    }

    /// Another life begins, with a clock that is right, but for a store's: what it kept goes by that.
    pub(crate) fn start(&mut self) {
        self.life += 1;
        self.is_up = true;
        self.frozen_until = Duration::ZERO;
        if !matches!(self.who, Who::Server(_)) {
            self.ahead = 0;
        }
    }

    pub(crate) fn kill(&mut self) {
        self.life += 1;
        self.is_up = false;
        self.frozen_until = Duration::ZERO;
    }
}
