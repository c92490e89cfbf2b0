//! Runs seeds until one goes wrong: `cargo run -p tombolo-sim --release --example seeds -- 100000 --from 0`.

use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    let from: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let start = Instant::now();
    let (mut events, mut bad, mut virt) = (0, 0, 0);
    for seed in from..from + count {
        let outcome = std::panic::catch_unwind(|| tombolo_sim::run(seed, None, false));
        match outcome {
            Ok(outcome) => {
                events += outcome.events;
                virt += outcome.virtual_seconds;
                if let Some(violation) = outcome.violation {
                    bad += 1;
                    println!("seed {seed}: {violation}");
                }
            }
            Err(_) => {
                bad += 1;
                println!("seed {seed}: panic");
            }
        }
        if bad > 20 {
            break;
        }
    }
    println!(
        "{count} seeds, {bad} bad, {events} events, {virt} virtual s, {:?}",
        start.elapsed()
    );
    ExitCode::SUCCESS
}
