//! Runs seeds on all cores: `cargo run --release -p tombolo-sim --example seeds -- COUNT [FROM]`, such as `10000 0`.
//!
//! Tells of each that goes wrong as soon as it does, and fails if any has.

use std::{process::ExitCode, time::Instant};

const USAGE: &str =
    "usage: seeds COUNT [FROM]: how many seeds, and the first of them (0 unless told)";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (count, from) = match numbers(&arguments) {
        Ok(numbers) => numbers,
        Err(problem) => {
            eprintln!("error: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let swept = tombolo_sim::sweep(from..from.saturating_add(count), None, |bad| {
        eprintln!("{bad}");
    });
    println!("{swept}, in {:.1} s", start.elapsed().as_secs_f64());
    match swept.bad.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn numbers(arguments: &[String]) -> Result<(u64, u64), String> {
    let number = |text: &String| {
        let number = text.parse::<u64>();
        number.map_err(|error| format!("`{text}` is no number of seeds: {error}"))
    };
    match arguments {
        [count] => Ok((number(count)?, 0)),
        [count, from] => Ok((number(count)?, number(from)?)),
        _ => Err(format!("{} arguments", arguments.len())),
    }
}
