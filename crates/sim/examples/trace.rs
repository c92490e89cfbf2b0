//! Prints all that happens in one seed: `cargo run --release -p tombolo-sim --example trace -- 17`. Fails if it goes wrong.

use std::{
    io::{BufWriter, Write as _},
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let seed = match arguments.as_slice() {
        [seed] => seed.parse(),
        _ => "".parse(),
    };
    let Ok(seed) = seed else {
        eprintln!("error: no seed in {arguments:?}\nusage: trace SEED: the number of one seed");
        return ExitCode::from(2);
    };
    let outcome = tombolo_sim::run(seed, None, true);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let lines = outcome
        .trace
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"));
    // Whoever has closed the pipe has seen enough.
    let _ = lines.and_then(|()| out.flush());
    eprintln!(
        "{} events, {} judgements, {} s of its time, hash {:x}",
        outcome.events, outcome.judged, outcome.virtual_seconds, outcome.hash
    );
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            eprintln!("seed {seed}: {violation}");
            ExitCode::FAILURE
        }
    }
}
