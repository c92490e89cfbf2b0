//! Pauses between attempts: they grow, and differ from one program to the next.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

const MIN: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    pub(super) fn next(&mut self) -> Duration {
        let longest = MIN.saturating_mul(1 << self.failures.min(10)).min(MAX);
        self.failures = self.failures.saturating_add(1);
        // Between a half and the whole of it.
        longest.mul_f64(0.5 + fraction() / 2.0)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// From 0 up to 1. Not for secrets.
pub(super) fn fraction() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).expect("32 bits")) / f64::from(u32::MAX)
}
