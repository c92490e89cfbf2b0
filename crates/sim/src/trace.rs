//! What has happened: always as a number that differs when anything does, on demand as text.

use std::time::Duration;

/// Lines kept; a run that goes wrong is short, one that goes on for ever must not fill the memory.
const LINES_MAX: usize = 200_000;

#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(recorded: bool) -> Trace {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: recorded.then(Vec::new),
        }
    }

    /// `words` must tell apart whatever may differ between two runs; the text is made only if it is kept.
    pub(crate) fn note(&mut self, now: Duration, words: [u64; 3], text: impl FnOnce() -> String) {
        self.fold(now.as_nanos() as u64);
        words.into_iter().for_each(|word| self.fold(word));
        if let Some(lines) = self.lines.as_mut().filter(|lines| lines.len() < LINES_MAX) {
            lines.push(format!("{:>12.6} {}", now.as_secs_f64(), text()));
        }
    }

    /// FNV, over whole words.
    fn fold(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.hash ^= self.hash >> 29;
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
