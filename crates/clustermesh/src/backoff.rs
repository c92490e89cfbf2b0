//! Pauses between attempts: each twice the one before up to a limit, half of it by chance, so that many don't come at once.

use std::time::Duration;

use crate::random::Random;

#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Backoff {
        Backoff {
            first,
            max,
            failures: 0,
        }
    }

    pub(crate) fn next(&mut self, random: &mut Random) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(20));
        let half = whole.min(self.max) / 2;
        self.failures = self.failures.saturating_add(1);
        half + Duration::from_micros(random.below(half.as_micros() as u64 + 1))
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_are_never_below_half() {
        let (first, max) = (Duration::from_millis(500), Duration::from_secs(60));
        let mut backoff = Backoff::new(first, max);
        let mut random = Random::new(1);
        for failures in 0..40 {
            let whole = first.saturating_mul(1 << failures.min(20)).min(max);
            let pause = backoff.next(&mut random);
            assert!(
                whole / 2 <= pause && pause <= whole,
                "{pause:?} of {whole:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next(&mut random) <= first);
    }
}
