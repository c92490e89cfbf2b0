//! Steps of a command as they happen, with the time each took.
//!
//! Goes to standard error, so that standard output stays the answer; on a terminal the running step is shown too.

use crate::error::Result;
use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::Instant,
};

pub struct Progress {
    terminal: bool,
    start: Instant,
}

impl Progress {
    pub fn start() -> Progress {
        Progress {
            terminal: stderr().is_terminal(),
            start: Instant::now(),
        }
    }

    pub fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        if self.terminal {
            let _ = write!(stderr(), "  …  {what}");
        }
        let result = work();
        let mark = if result.is_ok() { "ok" } else { "FAILED" };
        let back = if self.terminal { "\r\x1b[K" } else { "" };
        let seconds = start.elapsed().as_secs_f32();
        let _ = writeln!(stderr(), "{back}  {mark} {what} ({seconds:.1} s)");
        result
    }

    pub fn done(&self, what: &str) {
        let seconds = self.start.elapsed().as_secs_f32();
        let _ = writeln!(stderr(), "{what} in {seconds:.1} s");
    }
}
