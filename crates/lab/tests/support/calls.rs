//! Calls of a pod that go on while something happens.

use super::kubernetes::Cluster;
use serde_json::Value;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// How many go on beside each other.
pub const CALLERS: usize = 2;
/// Commands in pods take a while to start: each calls so often, one call after the other.
const CALLS_OF_COMMAND: usize = 100;
/// In seconds. Longer than a node takes to end what is led to the dead.
const PATIENCE: u64 = 30;

/// What became of one.
#[derive(Debug)]
pub struct Call {
    pub took: Duration,
    /// Whose cluster's pod has answered.
    pub cluster: Option<String>,
    pub error: Option<String>,
}

/// Has a pod call `url`, each time by a new connection, until `during` has returned and each caller has finished its round.
pub fn while_calling(cluster: &Cluster, pod: &str, url: &str, during: impl FnOnce()) -> Vec<Call> {
    let over = AtomicBool::new(false);
    let words = format!(
        "exec {pod} -c echo -- tombolo lab ask -o json --timeout {PATIENCE} --times {CALLS_OF_COMMAND} {url}"
    );
    let call = || {
        let mut calls = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let output = cluster.try_run(&words);
            let said = String::from_utf8_lossy(&output.stderr);
            let asked: Vec<Value> = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{words}: {error}: {said}"));
            calls.extend(asked.iter().map(Call::read));
        }
        calls
    };
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        // Whoever waits for them must not wait for ever when it fails.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
        over.store(true, Ordering::Relaxed);
        let calls = callers.into_iter().flat_map(|it| it.join().expect("calls"));
        let calls = calls.collect();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        calls
    })
}

impl Call {
    fn read(asked: &Value) -> Call {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Call {
            took: Duration::from_micros(asked["microseconds"].as_u64().unwrap_or_default()),
            cluster: text(&asked["answer"]["cluster"]),
            error: text(&asked["error"]),
        }
    }
}
