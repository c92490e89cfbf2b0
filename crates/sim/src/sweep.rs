//! Many seeds, on all cores.

use std::{
    fmt,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{Outcome, Planted, run};

/// More bad seeds than this tell nothing new.
const BAD_MAX: usize = 20;

/// What came of many seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many came to their end; fewer than were asked for if very many are bad.
    pub seeds: u64,
    pub bad: Vec<Bad>,
    pub events: u64,
    pub judged: u64,
    pub virtual_seconds: u64,
}

/// A seed that violates what holds always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    pub seed: u64,
    pub why: String,
}

/// Runs all of the seeds, and says at once which are bad.
pub fn sweep(seeds: Range<u64>, planted: Option<Planted>, tell: impl Fn(&Bad) + Sync) -> Swept {
    let next = AtomicU64::new(seeds.start);
    let swept = Mutex::new(Swept::default());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || lock(&swept).bad.len() > BAD_MAX {
                return;
            }
            let came = in_thread(seed, planted);
            let mut swept = lock(&swept);
            if let Some(bad) = swept.count(seed, came) {
                tell(bad);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut swept = swept.into_inner().unwrap_or_else(PoisonError::into_inner);
    swept.bad.sort_by_key(|bad| bad.seed);
    swept
}

/// A thread of its own has the seed's name, which a panic tells.
fn in_thread(seed: u64, planted: Option<Planted>) -> thread::Result<Outcome> {
    let thread = thread::Builder::new().name(format!("seed {seed}"));
    let thread = thread.spawn(move || run(seed, planted, false));
    thread.expect("a thread for each core").join()
}

fn lock(swept: &Mutex<Swept>) -> std::sync::MutexGuard<'_, Swept> {
    swept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Swept {
    fn count(&mut self, seed: u64, came: thread::Result<Outcome>) -> Option<&Bad> {
        self.seeds += 1;
        let why = match came {
            Ok(outcome) => {
                self.events += outcome.events;
                self.judged += outcome.judged;
                self.virtual_seconds += outcome.virtual_seconds;
                outcome.violation?
            }
            Err(_) => "it panicked, see above".to_owned(),
        };
        self.bad.push(Bad { seed, why });
        self.bad.last()
    }
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Swept {
            seeds,
            bad,
            events,
            judged,
            virtual_seconds,
        } = self;
        let bad = bad.len();
        write!(
            f,
            "{seeds} seeds, {bad} bad: {events} events, {judged} judgements, {virtual_seconds} s of their time"
        )
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bad { seed, why } = self;
        write!(
            f,
            "seed {seed}: {why}\n    had again, event by event: cargo run --release -p tombolo-sim --example trace -- {seed}"
        )
    }
}
