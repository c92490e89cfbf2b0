//! `COUNTERS`, which only the kernel writes, and `MONITOR`, which says what events it tells.

use super::take;
use crate::Error;
use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray},
};
use tombolo_abi::{Counter, monitor};

pub struct Counts(PerCpuArray<MapData, Counter>);

impl Counts {
    pub fn take(ebpf: &mut Ebpf) -> Result<Counts, Error> {
        Ok(Counts(take(ebpf, "COUNTERS")?))
    }

    /// Packets and bytes, of all CPUs together.
    pub fn get(&self, index: u32) -> Result<(u64, u64), Error> {
        let cpus = self
            .0
            .get(&index, 0)
            .map_err(Error::map("COUNTERS", "reading"))?;
        Ok(cpus.iter().fold((0, 0), |(packets, bytes), cpu| {
            (packets + cpu.packets, bytes + cpu.bytes)
        }))
    }
}

pub struct Monitor(Array<MapData, u32>);

impl Monitor {
    pub fn take(ebpf: &mut Ebpf) -> Result<Monitor, Error> {
        Ok(Monitor(take(ebpf, "MONITOR")?))
    }

    /// Drops are always told.
    pub fn tell_allowed(&mut self, on: bool) -> Result<(), Error> {
        let mask = if on {
            monitor::DROPPED | monitor::ALLOWED
        } else {
            monitor::DROPPED
        };
        self.0
            .set(0, mask, 0)
            .map_err(Error::map("MONITOR", "writing"))
    }
}
