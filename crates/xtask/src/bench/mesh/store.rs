//! One store: how fast it is written, how fast and how late its watchers hear of it, what it takes of memory.

use anyhow::Result;

use super::Results;
use super::program::{Load, number, words};
use super::servers::{Place, Store};
use crate::bench::report::{Goal, Measure};

const KEYS: u32 = 100_000;
/// Puts a second at which their latency is measured: below what any side can do.
const PACE: u32 = 2000;
const WATCHERS: u32 = 100;
const WATCHED_PUTS: u32 = 2000;
/// The same for watches: 100 watchers make 100 events of each put.
const WATCHED_PACE: u32 = 100;

const MEMORY: Measure = Measure::new("store_memory", "MB");
const PUTS: Measure = Measure::new("puts", "puts/s").with(Goal::TimesAtLeast(2.0, "etcd"));
const PUT_CPU: Measure = Measure::new("put_cpu", "µs of CPU");
const PUT_P99: Measure = Measure::new("put_p99", "ms");
const EVENTS: Measure = Measure::new("fanout", "events/s");
const EVENT_CPU: Measure = Measure::new("fanout_cpu", "µs of CPU");
const EVENT_P99: Measure = Measure::new("fanout_p99", "ms");

pub fn run(place: &Place, results: &mut Results) -> Result<()> {
    let store = Store::start(place, results.side, "store")?;
    let file = store.file();
    let file = file.display();
    Load::run(&words!["fill", "--store", file, "--keys", KEYS])?;
    results.add(MEMORY, store.program.memory()?);

    let seconds = results.seconds;
    let puts = words!["puts", "--store", file, "--seconds", seconds];
    let (told, cpu) = store.program.spends(|| Load::run(&puts))?;
    let rate = number(&told, "puts_per_s")?;
    results.add(PUTS, rate);
    // The tenth for warming up has cost CPU too.
    results.add_cpu(PUT_CPU, cpu, rate * seconds * 1.1);
    let told = Load::run(&[&puts[..], &words!["--rate", PACE]].concat())?;
    results.add(PUT_P99, number(&told, "p99_ms")?);

    let fanout = words!["fanout", "--store", file, "--watchers", WATCHERS];
    let fast = [&fanout[..], &words!["--puts", WATCHED_PUTS]].concat();
    let (told, cpu) = store.program.spends(|| Load::run(&fast))?;
    results.add(EVENTS, number(&told, "events_per_s")?);
    results.add_cpu(EVENT_CPU, cpu, number(&told, "events")?);
    let slow = words!["--rate", WATCHED_PACE, "--puts", WATCHED_PACE * 4];
    let told = Load::run(&[&fanout[..], &slow].concat())?;
    results.add(EVENT_P99, number(&told, "p99_ms")?);
    Ok(())
}
