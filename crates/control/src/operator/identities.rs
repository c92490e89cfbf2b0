//! Identities that nobody uses any more: marked, and after a while ended.
//!
//! ```text
//!  used ◄──────────────────────────── an endpoint has it
//!   │ no endpoint has it                      ▲
//!   ▼                                         │
//!  marked with the time ── half of it later ──┴── ended, if it is still as it was marked
//! ```
//!
//! Whoever gives a marked identity to a pod takes the mark off first, and thereby changes the version that its end asks
//! for: an identity never ends under a new pod.

#[cfg(test)]
mod tests;
mod usage;

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep_until},
};
use tombolo_k8s::client::{Api, Error, Selection};

use super::Operator;
use crate::{
    Feed,
    stamp::{now, stamp},
};
use usage::{Step, Usage};

/// When it was seen that nobody uses it. Whoever takes it up again takes this off.
pub const UNUSED: &str = "tombolo.io/unused-since";
const ABOUT: &str = "ending unused identities";
/// Ends and marks of one round: what is over comes with the next one.
const STEPS_MAX: usize = 200;

#[derive(Args, Clone, Debug)]
pub struct IdentityOptions {
    /// For how long nobody must have used an identity before it is ended
    #[arg(
        long,
        env = "TOMBOLO_IDENTITY_GC_AFTER",
        value_name = "SECONDS",
        default_value_t = 1800,
        value_parser = clap::value_parser!(u64).range(2..=604_800)
    )]
    pub identity_gc_after: u64,
}

/// For ever.
pub async fn run(operator: &Operator) {
    let feed = |api| Feed::new(&operator.client, Selection::all(api), &operator.troubles);
    let mut identities = feed(Api::CILIUM_IDENTITIES);
    let mut endpoints = feed(Api::CILIUM_ENDPOINTS);
    let half = Duration::from_secs(operator.options.identities.identity_gc_after) / 2;
    let start = Instant::now();
    let mut usage = Usage::new(half);
    let round = half.min(Duration::from_secs(60)) / 2;
    let mut next = start + round;
    loop {
        select! {
            change = identities.next() => usage.identity(change, start.elapsed()),
            change = endpoints.next() => usage.endpoint(change, start.elapsed()),
            () = sleep_until(next) => {
                next = Instant::now() + round;
                let mut failed = None;
                for step in usage.steps(start.elapsed()).into_iter().take(STEPS_MAX) {
                    failed = act(operator, &step).await.err().or(failed);
                }
                match failed {
                    Some(error) => operator.troubles.set(ABOUT, error.to_string()),
                    None => operator.troubles.clear(ABOUT),
                }
                operator.shown.lock().identities = usage.count();
            }
        }
    }
}

async fn act(operator: &Operator, step: &Step) -> Result<(), Error> {
    const API: Api = Api::CILIUM_IDENTITIES;
    let (name, version, mark) = match step {
        Step::End { name, version } => {
            return match operator.client.delete_version(API, name, version).await {
                // Somebody uses it after all.
                Err(Error::Conflict { .. }) => Ok(()),
                ended => {
                    ended?;
                    tracing::info!(identity = name.name, "nobody uses it, ended");
                    Ok(())
                }
            };
        }
        Step::Mark { name, version } => (name, version, Some(stamp(now()))),
        Step::Unmark { name, version } => (name, version, None),
    };
    let patch = json!({"metadata": {"resourceVersion": version, "annotations": {UNUSED: mark}}});
    match operator.client.patch(API, name, &patch).await {
        // What it is now comes by the watch.
        Err(Error::Conflict { .. } | Error::NotFound { .. }) => Ok(()),
        patched => patched.map(drop),
    }
}
