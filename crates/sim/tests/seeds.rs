//! A few seeds to their end. Many are run by `cargo run --release -p tombolo-sim --example seeds`.

use tombolo_sim::Planted;

const SEEDS: u64 = 100;

#[test]
fn no_seed_violates_what_holds_always() {
    for seed in 0..SEEDS {
        let outcome = tombolo_sim::run(seed, None, false);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.judged > 0, "seed {seed}: nothing was judged");
    }
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

/// Bugs planted between the parts; each must be seen within a few seeds, or the checks see nothing. `Unfenced` and
/// `NoBackpressure` need rarer circumstances and are not among them.
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
        Planted::WrongIdentity,
    ] {
        let violated = |seed| {
            tombolo_sim::run(seed, Some(planted), false)
                .violation
                .is_some()
        };
        assert!((0..20).any(violated), "{planted:?} is not seen");
    }
}
