//! The same work for each of several, all at the same time.

use crate::error::Result;
use std::{panic::resume_unwind, thread};

/// What came of each, in their order, or the first that went wrong.
pub fn at_once<'a, T: Sync, U: Send>(
    each: &'a [T],
    work: impl Fn(&'a T) -> Result<U> + Sync,
) -> Result<Vec<U>> {
    thread::scope(|scope| {
        let work = &work;
        let started: Vec<_> = each
            .iter()
            .map(|one| scope.spawn(move || work(one)))
            .collect();
        let ended = started
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.collect()
    })
}
