//! Lets a program of one thread rest between rounds, so that what comes meanwhile is one round's work and not many.
//!
//! A round is what is done from one wait for sockets and clocks to the next. To look at a connection costs ten times what a
//! change does that comes by it, so while changes keep coming a rest is as long as makes rounds a small share of a core. What
//! comes meanwhile gathers in the sockets. Time that was not used is credit: what comes alone never waits. Deliberately
//! without knowledge of what a round does; whoever rests says when there is more to do than to wait for, and must have no
//! other thread that waits for this one.

use std::{
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// From a round's end to the next one's: so many times what it took of CPU time, if there is no credit.
const TIMES: u32 = 50;
/// But no more than this, which a change may be late by.
const REST_MAX: Duration = Duration::from_millis(50);
/// As much as is due for what is done when a dozen changes come after silence.
const CREDIT_MAX: Duration = Duration::from_millis(100);

/// For `tokio::runtime::Builder::on_thread_park` of a runtime on the current thread.
pub fn between_rounds(
    is_pressed: impl Fn() -> bool + Send + Sync + 'static,
) -> impl Fn() + Send + Sync + 'static {
    let rests = Mutex::new(Rests::new(Instant::now()));
    move || {
        let rests = rests.lock();
        let rest = rests
            .unwrap_or_else(PoisonError::into_inner)
            .after_round(cpu_time(), Instant::now());
        if !rest.is_zero() && !is_pressed() {
            sleep(rest);
        }
    }
}

/// What this thread has had.
fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

#[derive(Debug)]
struct Rests {
    /// CPU time at the end of the last round.
    spent: Duration,
    /// When all that was due will have passed.
    settled_at: Instant,
}

impl Rests {
    fn new(now: Instant) -> Rests {
        Rests {
            spent: Duration::ZERO,
            settled_at: now,
        }
    }

    /// How long to rest after a round that has ended. What is due for rests that were left out is forgotten.
    fn after_round(&mut self, spent: Duration, now: Instant) -> Duration {
        let took = spent.saturating_sub(self.spent);
        self.spent = spent;
        let due = (took * TIMES).min(REST_MAX);
        let settled_at = self.settled_at.max(now) + due;
        self.settled_at = settled_at.min(now + CREDIT_MAX + due);
        self.settled_at.saturating_duration_since(now + CREDIT_MAX)
    }
}
