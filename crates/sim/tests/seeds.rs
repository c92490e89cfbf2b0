//! The short form: as many seeds as CI has time for. A long form is `cargo run --release -p tombolo-sim --example seeds`.

use tombolo_sim::{Planted, sweep};

const SEEDS: u64 = 10_000;

#[test]
fn ten_thousand_seeds_violate_nothing() {
    // Printed beside the test, so that it is there also if the test is ended for its time.
    let swept = sweep(0..SEEDS, None, |bad| eprintln!("{bad}"));
    assert!(swept.bad.is_empty(), "{swept}, see above for each");
    assert_eq!(swept.seeds, SEEDS);
    assert!(
        swept.judged > 100 * SEEDS,
        "{swept}: hardly anything was judged"
    );
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..5 {
        let (one, two) = (
            tombolo_sim::run(seed, None, false),
            tombolo_sim::run(seed, None, false),
        );
        assert_eq!(one, two, "seed {seed}");
    }
}

/// Each bug that is planted between the parts must be seen within fifty seeds, or the checks see nothing.
#[test]
fn planted_bugs_are_seen() {
    for planted in [
        Planted::NoCanaries,
        Planted::GoneWhenUnreachable,
        Planted::Reordered,
        Planted::IdKept,
        Planted::HalfList,
        Planted::LostDeletions,
        Planted::Repeated,
        Planted::Unfenced,
        Planted::WrongIdentity,
        Planted::NoBackpressure,
    ] {
        let violated = |seed| {
            tombolo_sim::run(seed, Some(planted), false)
                .violation
                .is_some()
        };
        assert!((0..50).any(violated), "{planted:?} is not seen");
    }
}
