//! Many askers of one cluster, who ask the nodes of another and tell each other of their doubts.

use super::*;

const STEP: Duration = Duration::from_millis(10);
const DELAY: Duration = Duration::from_millis(20);
const IN_TIME: Duration = Duration::from_secs(3);

struct Town {
    askers: Vec<Prober>,
    random: Random,
    now: Duration,
    /// By when they arrive, and at whom.
    answers: BTreeMap<(Duration, usize, u64), IpAddr>,
    doubts: Vec<(Duration, usize, Doubt)>,
    dead: Vec<IpAddr>,
    /// Of a thousand packets, each way.
    lost: u64,
    asked: u64,
    told: u64,
}

impl Town {
    fn new(seed: u64, askers: usize, nodes: usize) -> Town {
        let now = Duration::from_secs(10);
        let ask = |number: usize| {
            let mut prober = Prober::new(mix(seed ^ mix(number as u64)), Silence::default());
            prober.aim(&aim(nodes), now);
            prober
        };
        Town {
            askers: (0..askers).map(ask).collect(),
            random: Random::new(seed),
            now,
            answers: BTreeMap::new(),
            doubts: Vec::new(),
            dead: Vec::new(),
            lost: 0,
            asked: 0,
            told: 0,
        }
    }

    fn aim(&mut self, aim: &Aim) {
        let now = self.now;
        let askers = self.askers.iter_mut();
        askers.for_each(|asker| asker.aim(aim, now));
    }

    fn step(&mut self) {
        self.now += STEP;
        let later = self.answers.split_off(&(self.now, 0, 0));
        for ((_, asker, number), from) in std::mem::replace(&mut self.answers, later) {
            self.askers[asker].answered(number, from, self.now);
        }
        let doubts = self.doubts.drain(..);
        let (due, later): (Vec<_>, Vec<_>) = doubts.partition(|(at, ..)| *at <= self.now);
        self.doubts = later;
        for (_, asker, doubt) in due {
            self.askers[asker].doubted(doubt, self.now);
        }
        for index in 0..self.askers.len() {
            for Probe { to, number } in self.askers[index].wake(self.now) {
                self.asked += 1;
                if !self.loses() && !self.loses() && !self.dead.contains(&to) {
                    self.answers.insert((self.now + DELAY, index, number), to);
                }
            }
            for doubt in self.askers[index].take_doubts(self.now) {
                for other in (0..self.askers.len()).filter(|other| *other != index) {
                    self.told += 1;
                    if !self.loses() {
                        self.doubts.push((self.now + DELAY, other, doubt));
                    }
                }
            }
        }
    }

    fn loses(&mut self) -> bool {
        self.random.below(1000) < self.lost
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// How many take this node, and no other, for dead.
    fn agree(&self, index: usize) -> usize {
        let name = format!("n{index}");
        let agrees = |asker: &&Prober| {
            let silence = asker.silence();
            silence.nodes.keys().map(|key| &key.name).eq([&name]) && silence.clusters.is_empty()
        };
        self.askers.iter().filter(agrees).count()
    }
}

#[test]
fn a_node_beyond_the_few_is_down_in_time_for_all_askers() {
    const NODES: usize = 30;
    const ASKERS: usize = 20;
    let mut slowest = Duration::ZERO;
    for seed in 0..10 {
        let mut town = Town::new(seed, ASKERS, NODES);
        town.lost = 50;
        // Whoever has never answered is not judged.
        town.pass(Duration::from_secs(40));
        for asker in &town.askers {
            assert_eq!(asker.silence(), Silence::default());
        }
        let victim = town.random.below(NODES as u64) as usize;
        town.dead = vec![address(victim)];
        let start = town.now;
        while town.agree(victim) < ASKERS {
            town.step();
            assert!(town.now - start < LONG, "{}", town.agree(victim));
        }
        slowest = slowest.max(town.now - start);
    }
    eprintln!("the slowest took {slowest:?}");
    assert!(slowest <= IN_TIME, "{slowest:?}");
}

#[test]
fn a_backend_beyond_the_few_is_out_in_time_for_all_askers_while_there_are_no_news() {
    const BACKENDS: usize = 40;
    const ASKERS: usize = 20;
    let mut slowest = Duration::ZERO;
    for seed in 0..5 {
        let mut town = Town::new(seed, ASKERS, 4);
        town.lost = 50;
        town.aim(&aim_at(4, BACKENDS, None));
        // Whoever has not answered often enough is not judged.
        town.pass(LONG * 2);
        let victim = pod(town.random.below(BACKENDS as u64) as usize);
        town.aim(&aim_at(4, BACKENDS, Some(town.now)));
        town.pass(Duration::from_secs(2));
        town.dead = vec![victim];
        let start = town.now;
        let finds = |asker: &&Prober| {
            let silence = asker.silence();
            silence.backends.keys().map(|(_, ip)| ip).eq([&victim])
                && silence.backends.values().all(|it| it.is_believed)
        };
        while town.askers.iter().filter(finds).count() < ASKERS {
            town.step();
            let found = town.askers.iter().filter(finds).count();
            assert!(town.now - start < LONG, "{found}");
        }
        slowest = slowest.max(town.now - start);
    }
    eprintln!("the slowest took {slowest:?}");
    assert!(slowest <= IN_TIME, "{slowest:?}");
}

#[test]
fn backends_are_no_reason_to_talk_while_there_are_news() {
    let mut town = Town::new(3, 20, 4);
    town.aim(&aim_at(4, 40, None));
    town.pass(Duration::from_secs(40));
    town.told = 0;
    town.dead = (0..40).map(pod).collect();
    town.pass(LONG / 2);
    assert_eq!(town.told, 0);
    for asker in &town.askers {
        let silence = asker.silence();
        assert!(!silence.backends.is_empty());
        assert!(silence.backends.values().all(|it| !it.is_believed));
    }
}

#[test]
fn doubts_of_what_is_lost_now_and_then_alarm_nobody_and_cost_little() {
    let mut town = Town::new(1, 20, 30);
    town.lost = 50;
    town.pass(Duration::from_secs(20));
    (town.asked, town.told) = (0, 0);
    for _ in 0..60 {
        town.pass(Duration::from_secs(1));
        for asker in &town.askers {
            assert_eq!(asker.silence(), Silence::default());
        }
    }
    // Each asks its eight and one in turn, and some more because of the losses and of what others say.
    let [asked, told] = [town.asked, town.told].map(|count| count / 60 / 20);
    eprintln!("{asked} questions and {told} words of each asker in a second");
    assert!(asked <= 40, "{asked}");
    assert!(told <= 10, "{told}");
}

#[test]
fn a_cluster_that_dies_is_no_reason_to_talk() {
    let mut town = Town::new(2, 20, 30);
    town.pass(Duration::from_secs(20));
    town.told = 0;
    town.dead = (0..30).map(address).collect();
    town.pass(IN_TIME);
    for asker in &town.askers {
        assert_eq!(asker.silence().clusters.len(), 1);
    }
    assert_eq!(town.told, 0);
}

#[test]
fn who_answers_is_not_doubted_for_long() {
    let mut bench = Bench::new(3, 20);
    bench.pass(LONG);
    let before = bench.asked;
    for _ in 0..600 {
        bench.pass(Duration::from_millis(100));
        let now = bench.now;
        for index in 0..20 {
            let doubt = Doubt {
                cluster: ClusterId(2),
                address: address(index),
            };
            bench.prober.doubted(doubt, now);
        }
        assert_eq!(bench.prober.silence(), Silence::default());
    }
    // Whoever is told of doubts without end asks twice in a second, as if all were asked all the time.
    let per_second = (bench.asked - before) / 60;
    assert!(per_second <= 20 * 2 + 4, "{per_second}");
}
