use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{CREDIT_MAX, REST_MAX, Rests, TIMES};

const ROUND: Duration = Duration::from_micros(300);

/// Ends rounds that take some time each, resting as told unless pressed, and gives the rests.
fn run(rests: &mut Rests, now: &mut Instant, takes: Duration, pressed: bool) -> Vec<Duration> {
    let mut spent = rests.spent;
    let mut given = Vec::new();
    for _ in 0..200 {
        (*now, spent) = (*now + takes, spent + takes);
        let rest = rests.after_round(spent, *now);
        given.push(rest);
        if !pressed {
            *now += rest;
        }
    }
    given
}

#[test]
fn what_comes_alone_never_waits() {
    let mut now = Instant::now();
    let mut rests = Rests::new(now);
    let rounds = CREDIT_MAX.as_micros() / (ROUND * TIMES).as_micros();
    assert!(rounds >= 6, "two changes of three rounds each");
    for change in 0..100 {
        for _ in 0..rounds {
            let rest = rests.after_round(rests.spent + ROUND, now);
            assert_eq!(rest, Duration::ZERO, "change {change}");
        }
        now += CREDIT_MAX;
    }
}

#[test]
fn unceasing_rounds_take_a_small_share_of_a_core() {
    let mut now = Instant::now();
    let mut rests = Rests::new(now);
    run(&mut rests, &mut now, ROUND, false);
    let begun = now;
    let given = run(&mut rests, &mut now, ROUND, false);
    let worked = ROUND * given.len() as u32;
    assert!(now - begun >= worked * TIMES, "{:?}", now - begun);
}

#[test]
fn no_rest_is_longer_than_a_change_may_be_late() {
    for pressed in [false, true] {
        let mut now = Instant::now();
        let mut rests = Rests::new(now);
        let takes = Duration::from_millis(10);
        let given = run(&mut rests, &mut now, takes, pressed);
        let longest = given.iter().max().copied().unwrap_or_default();
        assert!(longest <= REST_MAX, "{longest:?}, pressed: {pressed}");
        assert!(longest >= REST_MAX - takes, "{longest:?}");
    }
}

#[test]
fn rests_that_were_left_out_are_not_made_up_for() {
    let mut now = Instant::now();
    let mut rests = Rests::new(now);
    run(&mut rests, &mut now, Duration::from_millis(10), true);
    now += CREDIT_MAX + REST_MAX;
    let rest = rests.after_round(rests.spent + ROUND, now);
    assert_eq!(rest, Duration::ZERO);
}

#[test]
fn a_runtime_rests_unless_it_is_pressed() {
    for pressed in [false, true] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .on_thread_park(super::between_rounds(move || pressed))
            .build()
            .expect("a runtime");
        let (work, rounds) = (Duration::from_millis(1), 20);
        let begun = Instant::now();
        runtime.block_on(async {
            for _ in 0..rounds {
                let spent = super::cpu_time();
                while super::cpu_time() < spent + work {}
                sleep(Duration::from_micros(1)).await;
            }
        });
        let rested = begun.elapsed() >= REST_MAX * rounds - CREDIT_MAX;
        assert!(rested || pressed, "{:?}", begun.elapsed());
    }
}
