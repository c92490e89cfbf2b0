//! What becomes of questions, for those who look.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tombolo_model::local::NamesStatus;

#[derive(Debug, Default)]
pub struct Counts {
    pub(super) answered: Count,
    pub(super) forwarded: Count,
    pub(super) failed: Count,
    pub(super) refused: Count,
    led: Mutex<BTreeSet<IpAddr>>,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counts {
    /// Questions come to this address from now on.
    pub(super) fn led(&self, ip: IpAddr) {
        let mut led = self.led.lock().unwrap_or_else(PoisonError::into_inner);
        led.insert(ip);
    }

    /// `servers` is how many name servers there are for the rest.
    pub fn status(&self, servers: usize) -> NamesStatus {
        let led = self.led.lock().unwrap_or_else(PoisonError::into_inner);
        NamesStatus {
            addresses: led.iter().copied().collect(),
            servers,
            answered: self.answered.get(),
            forwarded: self.forwarded.get(),
            failed: self.failed.get(),
            refused: self.refused.get(),
        }
    }
}
