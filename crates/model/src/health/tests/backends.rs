//! Backends that are asked themselves: what their silence means, and what it costs to hear it.

use super::*;

const NODES: usize = 2;
const BACKENDS: usize = 8;
const VICTIM: usize = 3;
const IN_TIME: Duration = Duration::from_secs(3);

impl Bench {
    /// All backends have been asked for as long as it takes.
    fn with_backends(seed: u64, backends: usize) -> Bench {
        let mut bench = Bench::new(seed, NODES);
        bench.hear(backends);
        bench.pass(LONG);
        bench
    }

    fn hear(&mut self, backends: usize) {
        let aim = aim_at(NODES, backends, None);
        self.prober.aim(&aim, self.now);
    }

    fn hear_nothing(&mut self, backends: usize) {
        let aim = aim_at(NODES, backends, Some(self.now));
        self.prober.aim(&aim, self.now);
    }

    /// Those that do not answer, and whether that is believed.
    fn unanswered(&self) -> Vec<(IpAddr, bool)> {
        let backends = self.prober.silence().backends.into_iter();
        let told = backends.map(|((_, ip), it)| (ip, it.is_believed));
        told.collect()
    }

    fn backends(&self) -> Tally {
        self.prober.tallies()[&ClusterId(2)].backends
    }

    fn per_second(&mut self) -> u64 {
        let before = self.asked;
        self.pass(LONG);
        (self.asked - before) / LONG.as_secs()
    }
}

#[test]
fn one_that_dies_while_there_are_no_news_is_out_in_time() {
    let mut slowest = Duration::ZERO;
    for seed in 0..200 {
        let mut bench = Bench::with_backends(seed, BACKENDS);
        bench.lost = 50;
        bench.hear_nothing(BACKENDS);
        // At once, or at any time later.
        let later = bench.random.below(3_000) * (seed % 2);
        bench.pass(Duration::from_millis(later));
        bench.dead = vec![pod(VICTIM)];
        let took = bench.until(LONG, |prober| !prober.silence().backends.is_empty());
        slowest = slowest.max(took.expect("it is found"));
        assert_eq!(bench.unanswered(), [(pod(VICTIM), true)]);
        let silence = bench.prober.silence();
        assert!(silence.nodes.is_empty() && silence.clusters.is_empty());
    }
    eprintln!("the slowest took {slowest:?}");
    assert!(slowest <= IN_TIME, "{slowest:?}");
}

#[test]
fn what_falls_silent_while_there_are_news_is_shown_and_never_believed() {
    let mut bench = Bench::with_backends(1, BACKENDS);
    bench.dead = vec![pod(VICTIM)];
    bench.pass(LONG);
    assert_eq!(bench.unanswered(), [(pod(VICTIM), false)]);
    // Its cluster knew of it, or it is a policy: that does not change when the news end.
    bench.hear_nothing(BACKENDS);
    bench.pass(LONG);
    assert_eq!(bench.unanswered(), [(pod(VICTIM), false)]);
    // Not until it has answered again.
    bench.dead.clear();
    bench.pass(LONG);
    assert_eq!(bench.unanswered(), []);
    bench.dead = vec![pod(VICTIM)];
    bench.pass(IN_TIME);
    assert_eq!(bench.unanswered(), [(pod(VICTIM), true)]);
}

#[test]
fn news_outweigh_a_silence_for_good() {
    let mut bench = Bench::with_backends(2, BACKENDS);
    bench.hear_nothing(BACKENDS);
    bench.dead = vec![pod(VICTIM)];
    bench.pass(IN_TIME);
    assert_eq!(bench.unanswered(), [(pod(VICTIM), true)]);
    bench.hear(BACKENDS);
    assert_eq!(bench.unanswered(), [(pod(VICTIM), false)]);
    bench.pass(LONG);
    bench.hear_nothing(BACKENDS);
    bench.pass(LONG);
    assert_eq!(bench.unanswered(), [(pod(VICTIM), false)]);
}

#[test]
fn news_that_came_and_went_unnoticed_outweigh_it_too() {
    let mut bench = Bench::with_backends(2, BACKENDS);
    bench.hear_nothing(BACKENDS);
    bench.dead = vec![pod(VICTIM)];
    bench.pass(IN_TIME);
    bench.hear_nothing(BACKENDS);
    assert_eq!(bench.unanswered(), [(pod(VICTIM), false)]);
}

#[test]
fn one_that_never_answered_often_enough_is_never_out() {
    for answers in 0..ANSWERS_MIN {
        let mut bench = Bench::new(4, NODES);
        bench.dead = vec![pod(VICTIM)];
        bench.pass(LONG);
        bench.hear_nothing(BACKENDS);
        bench.dead.clear();
        bench.until(LONG, |prober| {
            let watch = prober.clusters[&ClusterId(2)].backend(pod(VICTIM));
            watch.answers() == answers
        });
        bench.dead = vec![pod(VICTIM)];
        bench.pass(LONG * 5);
        assert_eq!(bench.unanswered(), [], "after {answers} answers");
        let expected = Tally {
            asked: BACKENDS,
            well: BACKENDS - 1,
            unknown: 1,
            ..Tally::default()
        };
        assert_eq!(bench.backends(), expected, "after {answers} answers");
    }
}

#[test]
fn those_of_a_node_that_answers_are_out_together() {
    let mut bench = Bench::with_backends(5, BACKENDS);
    bench.hear_nothing(BACKENDS);
    bench.dead = (0..BACKENDS).step_by(NODES).map(pod).collect();
    bench.pass(IN_TIME);
    let expected: Vec<_> = bench.dead.iter().map(|ip| (*ip, true)).collect();
    assert_eq!(bench.unanswered(), expected);
}

#[test]
fn a_node_speaks_for_its_backends_and_a_cluster_for_its_nodes() {
    for (dead, clusters) in [(vec![0], 0), (vec![0, 1], 1)] {
        let mut bench = Bench::with_backends(6, BACKENDS);
        bench.hear_nothing(BACKENDS);
        bench.pass(LONG);
        let of_dead = |index: &usize| dead.contains(&(index % NODES));
        let pods = (0..BACKENDS).filter(of_dead).map(pod);
        bench.dead = dead.iter().copied().map(address).chain(pods).collect();
        let took = bench.until(LONG, |prober| !prober.silence().nodes.is_empty());
        assert!(took.is_some_and(|took| took <= IN_TIME), "{took:?}");
        bench.pass(LONG);
        let silence = bench.prober.silence();
        assert_eq!(silence.nodes.len(), dead.len());
        assert_eq!(silence.clusters.len(), clusters);
        assert_eq!(bench.unanswered(), []);
        // What they are when the node is back nobody knows before they have answered.
        bench
            .dead
            .retain(|ip| !targets(NODES).iter().any(|it| it.address == *ip));
        bench.pass(LONG);
        assert_eq!(bench.prober.silence(), Silence::default());
    }
}

#[test]
fn what_is_back_is_believed_after_some_answers() {
    let mut bench = Bench::with_backends(7, BACKENDS);
    bench.hear_nothing(BACKENDS);
    bench.dead = vec![pod(VICTIM)];
    bench.pass(LONG);
    bench.dead.clear();
    let took = bench.until(LONG, |prober| prober.silence().backends.is_empty());
    let took = took.expect("it is back");
    assert!(took >= INTERVAL * (ANSWERS_MIN - 1), "{took:?}");
    assert!(took <= Duration::from_secs(5), "{took:?}");
}

#[test]
fn loss_of_a_twentieth_each_way_alarms_nobody() {
    let mut bench = Bench::with_backends(8, 20);
    bench.lost = 50;
    bench.hear_nothing(20);
    let mut suspected = 0;
    while bench.asked < 300_000 {
        bench.pass(Duration::from_secs(1));
        suspected += bench.backends().suspect;
        assert_eq!(bench.prober.silence(), Silence::default());
    }
    // The loss was there.
    assert!(suspected > 100, "{suspected}");
}

/// Questions in a second, of which the nodes have four.
#[test]
fn however_many_there_are_they_cost_no_more() {
    const OF_NODES: u64 = 4;
    for (backends, with_news, without, silent) in [
        (1, 1, 2, 2),
        (8, 8, 16, 16),
        (100, 12, 20, 32),
        (10_000, 12, 20, 32),
    ] {
        let mut bench = Bench::with_backends(9, backends);
        // Each has been asked in its turn.
        bench.pass(Duration::from_secs(30));
        assert_eq!(bench.backends().well, backends.min(SAMPLE_MAX));
        for (stale, at_most) in [(false, with_news), (true, without)] {
            match stale {
                false => bench.hear(backends),
                true => bench.hear_nothing(backends),
            }
            let asked = bench.per_second();
            eprintln!("{backends} backends, stale {stale}: {asked}");
            assert!(asked <= OF_NODES + at_most, "{asked} of {backends}");
            assert!(asked > OF_NODES, "{asked} of {backends}");
        }
        // All of them stop to answer, and all that are in view are found out.
        bench.dead = (0..backends).map(pod).collect();
        bench.pass(LONG * 2);
        assert_eq!(bench.unanswered().len(), backends.min(SAMPLE_MAX));
        let asked = bench.per_second();
        eprintln!("{backends} backends, silent: {asked}");
        assert!(asked <= OF_NODES + silent, "{asked} of {backends}");
    }
}

#[test]
fn askers_together_have_many_in_view() {
    let aim = aim_at(NODES, 1000, None);
    let (mut steady, mut seen) = (BTreeMap::new(), BTreeMap::new());
    for seed in 0..64 {
        let mut prober = Prober::new(mix(seed), Silence::default());
        prober.aim(&aim, Duration::ZERO);
        for (ip, is_steady) in prober.clusters[&ClusterId(2)].in_view() {
            *seen.entry(ip).or_insert(0) += 1;
            *steady.entry(ip).or_insert(0) += usize::from(is_steady);
        }
    }
    assert_eq!(seen.len(), 1000);
    let asked = steady.values().filter(|count| **count > 0).count();
    assert!(asked > 64 * STEADY_MAX * 3 / 4, "{asked}");
}

#[test]
fn other_askers_may_doubt_a_few_at_a_time() {
    const MANY: usize = 200;
    let mut bench = Bench::with_backends(10, MANY);
    bench.pass(LONG);
    bench.hear_nothing(MANY);
    let before = bench.asked;
    for _ in 0..600 {
        bench.pass(Duration::from_millis(100));
        let now = bench.now;
        for index in 0..MANY {
            let doubt = Doubt {
                cluster: ClusterId(2),
                address: pod(index),
            };
            bench.prober.doubted(doubt, now);
        }
        assert_eq!(bench.prober.silence(), Silence::default());
    }
    let per_second = (bench.asked - before) / 60;
    eprintln!("{per_second} in a second");
    assert!(per_second <= 24 + SUSPECTS_MAX as u64 * 10, "{per_second}");
}
