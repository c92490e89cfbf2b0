//! One store: how fast it is written, how fast and how late its watchers hear of it, what it takes of memory.

use anyhow::Result;

use super::Results;
use super::program::{Load, number, words};
use super::servers::{Place, Store};
use crate::bench::report::Measure;

const KEYS: u32 = 100_000;
/// Puts a second at which their latency is measured: below what any side can do.
const PACE: u32 = 2000;
const WATCHERS: u32 = 100;
const WATCHED_PUTS: u32 = 2000;
/// The same for watches: 100 watchers make 100 events of each put.
const WATCHED_PACE: u32 = 100;

const MEMORY: Measure = measure("store_memory", "MB");
const PUTS: Measure = measure("puts", "puts/s");
const PUT_CPU: Measure = measure("put_cpu", "µs of CPU");
const PUT_P99: Measure = measure("put_p99", "ms");
const EVENTS: Measure = measure("fanout", "events/s");
const EVENT_CPU: Measure = measure("fanout_cpu", "µs of CPU");
const EVENT_P99: Measure = measure("fanout_p99", "ms");

const fn measure(name: &'static str, unit: &'static str) -> Measure {
    Measure { name, unit }
}

pub fn run(place: &Place, seconds: f64, results: &mut Results) -> Result<()> {
    let store = Store::start(place, results.side, "store")?;
    let file = store.file();
    let file = file.display();
    Load::run(&words!["fill", "--store", file, "--keys", KEYS])?;
    results.add(MEMORY, store.program.memory()?);

    let cpu = store.program.cpu()?;
    let puts = Load::run(&words!["puts", "--store", file, "--seconds", seconds])?;
    let cpu = store.program.cpu()? - cpu;
    let rate = number(&puts, "puts_per_s")?;
    results.add(PUTS, rate);
    // The tenth for warming up has cost CPU too.
    results.add(PUT_CPU, cpu.as_secs_f64() * 1e6 / (rate * seconds * 1.1));
    let paced = ["puts", "--seconds", "4", "--rate"].map(str::to_owned);
    let paced = [&paced[..], &words![PACE, "--store", file]].concat();
    results.add(PUT_P99, number(&Load::run(&paced)?, "p99_ms")?);

    let fanout = words!["fanout", "--store", file, "--watchers", WATCHERS];
    let fast = words!["--puts", WATCHED_PUTS];
    let cpu = store.program.cpu()?;
    let told = Load::run(&[&fanout[..], &fast].concat())?;
    let cpu = store.program.cpu()? - cpu;
    results.add(EVENTS, number(&told, "events_per_s")?);
    results.add(
        EVENT_CPU,
        cpu.as_secs_f64() * 1e6 / number(&told, "events")?,
    );
    let slow = words!["--rate", WATCHED_PACE, "--puts", WATCHED_PACE * 4];
    let told = Load::run(&[&fanout[..], &slow].concat())?;
    results.add(EVENT_P99, number(&told, "p99_ms")?);
    Ok(())
}
