//! How long things took, and which part of them took how long.

use std::time::Duration;

use serde::Serialize;

#[derive(Debug, Default)]
pub struct Latencies(Vec<u32>);

/// In milliseconds.
#[derive(Debug, Default, Serialize)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Latencies {
    pub fn add(&mut self, took: Duration) {
        self.0
            .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn extend(&mut self, other: Latencies) {
        self.0.extend(other.0);
    }

    pub fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        let at = |part: f64| {
            let index = (self.0.len() as f64 * part) as usize;
            let index = index.min(self.0.len().saturating_sub(1));
            f64::from(self.0.get(index).copied().unwrap_or(0)) / 1000.0
        };
        Percentiles {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        }
    }
}
