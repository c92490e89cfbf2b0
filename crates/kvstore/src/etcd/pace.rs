//! How fast and how many at once: a bucket of turns, refilled steadily.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub struct Pace {
    state: Mutex<State>,
    inflight: Semaphore,
}

#[derive(Debug)]
struct State {
    rate: u32,
    /// When the bucket is full again; the farther away, the emptier it is.
    full_at: Instant,
}

impl Pace {
    /// `rate` is turns in a second, and how many may come at once.
    pub fn new(rate: u32, inflight_max: usize) -> Pace {
        Pace {
            state: Mutex::new(State {
                rate: rate.max(1),
                full_at: Instant::now(),
            }),
            inflight: Semaphore::new(inflight_max.max(1)),
        }
    }

    pub fn set(&self, rate: u32) {
        self.lock().rate = rate.max(1);
    }

    /// Waits until it is the caller's turn, which lasts as long as what is returned.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.inflight.acquire().await.ok();
        let now = Instant::now();
        let at = self.lock().take(now);
        // A timer is never due at once, but a millisecond later.
        if at > now {
            sleep_until(at).await;
        }
        permit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, now: Instant) -> Instant {
        let each = Duration::from_secs(1) / self.rate;
        self.full_at = self.full_at.max(now) + each;
        // A bucket holds the turns of one second.
        self.full_at
            .checked_sub(Duration::from_secs(1))
            .map_or(now, |at| at.max(now))
    }
}
