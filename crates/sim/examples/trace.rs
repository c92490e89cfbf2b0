//! Prints all that happens in one seed: `cargo run --release -p tombolo-sim --example trace -- 17`.
fn main() {
    let seed: u64 = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let outcome = tombolo_sim::run(seed, None, true);
    for line in &outcome.trace {
        println!("{line}");
    }
    println!(
        "{:?} {:x} {} events {} judged {} s",
        outcome.violation, outcome.hash, outcome.events, outcome.judged, outcome.virtual_seconds
    );
}
