use std::time::Duration;

use tokio::time::Instant;

use super::State;

#[test]
fn a_burst_of_one_second_then_steadily() {
    let start = Instant::now();
    let mut state = State {
        rate: 10,
        full_at: start,
    };
    let mut waits = (0..15).map(|_| state.take(start) - start);
    for number in 0..10 {
        assert_eq!(
            waits.next(),
            Some(Duration::ZERO),
            "turn {number} is part of the burst"
        );
    }
    let steps: Vec<u128> = waits.map(|wait| wait.as_millis()).collect();
    assert_eq!(steps, [100, 200, 300, 400, 500]);
}

#[test]
fn silence_fills_the_bucket_again() {
    let start = Instant::now();
    let mut state = State {
        rate: 10,
        full_at: start,
    };
    for _ in 0..30 {
        state.take(start);
    }
    let later = start + Duration::from_secs(60);
    for _ in 0..10 {
        assert_eq!(state.take(later), later);
    }
    assert!(state.take(later) > later);
}
