use super::*;
use crate::random::Random;

fn pool(range: &str) -> Pool {
    Pool::new(range.parse().unwrap()).unwrap()
}

#[test]
fn first_usable_is_the_routers_and_the_edges_are_nobodys() {
    let cases = [
        ("10.1.1.0/30", "10.1.1.1", "10.1.1.2", 1),
        ("10.1.1.0/24", "10.1.1.1", "10.1.1.2", 253),
        ("10.1.1.7/24", "10.1.1.1", "10.1.1.2", 253),
        ("fd00::/126", "fd00::1", "fd00::2", 2),
        ("fd00::/64", "fd00::1", "fd00::2", u64::MAX - 1),
        ("fd00::/48", "fd00::1", "fd00::2", u64::MAX),
    ];
    for (range, router, first, count) in cases {
        let mut pool = pool(range);
        assert_eq!(pool.router().to_string(), router, "{range}");
        assert_eq!(pool.free_count(), count, "{range}");
        assert_eq!(pool.take().unwrap().to_string(), first, "{range}");
    }
}

#[test]
fn small_ranges_are_refused() {
    for range in ["10.1.1.0/31", "10.1.1.1/32", "fd00::/127", "fd00::1/128"] {
        assert!(Pool::new(range.parse().unwrap()).is_err(), "{range}");
    }
}

#[test]
fn exhausted_range_is_named() {
    let mut pool = pool("10.1.1.0/29");
    let taken: Vec<IpAddr> = std::iter::from_fn(|| pool.take().ok()).collect();
    assert_eq!(taken.len(), 5);
    assert!(!taken.contains(&"10.1.1.7".parse().unwrap()));
    assert_eq!(
        pool.take().unwrap_err().to_string(),
        "pod range 10.1.1.0/29 is full: all of its 5 addresses are taken"
    );
    pool.free(taken[3]);
    assert_eq!(pool.take(), Ok(taken[3]));
}

#[test]
fn what_others_have_is_not_restored() {
    let mut pool = pool("10.1.1.0/29");
    let restore = |pool: &mut Pool, address: &str| pool.restore(address.parse().unwrap());
    assert!(restore(&mut pool, "10.1.1.3"));
    for refused in [
        "10.1.1.3", "10.1.1.0", "10.1.1.1", "10.1.1.7", "10.1.2.3", "fd00::3",
    ] {
        assert!(!restore(&mut pool, refused), "{refused}");
    }
    // Fresh addresses lie above those in use more likely than below.
    let taken: Vec<String> = std::iter::from_fn(|| pool.take().ok())
        .map(|address| address.to_string())
        .collect();
    assert_eq!(taken, ["10.1.1.4", "10.1.1.5", "10.1.1.6", "10.1.1.2"]);
}

/// The oracle: all numbers in a queue, taken at the front, given back at the end.
#[test]
fn reuse_is_as_late_as_possible() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let size = 1 + random.below(20) as u128;
        let mut numbers = Numbers::new(100, 99 + size);
        let mut queue: VecDeque<u128> = (100..100 + size).collect();
        let mut taken = Vec::new();
        for step in 0..500 {
            if random.one_in(2) && !taken.is_empty() {
                let number = taken.swap_remove(random.below(taken.len() as u64) as usize);
                numbers.free(number);
                numbers.free(number);
                queue.push_back(number);
            } else {
                let number = numbers.take();
                assert_eq!(number, queue.pop_front(), "seed {seed}, step {step}");
                taken.extend(number);
            }
            assert_eq!(
                numbers.free_count(),
                queue.len() as u128,
                "seed {seed}, step {step}"
            );
        }
    }
}

#[test]
fn no_number_is_given_twice_after_a_restore() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut numbers = Numbers::new(1, 30);
        let mut taken = BTreeSet::new();
        for _ in 0..random.below(30) {
            let number = random.below(40) as u128;
            let fits = (1..=30).contains(&number) && !taken.contains(&number);
            assert_eq!(numbers.restore(number), fits, "seed {seed}");
            if fits {
                taken.insert(number);
            }
        }
        while let Some(number) = numbers.take() {
            assert!(taken.insert(number), "seed {seed}: {number} twice");
        }
        assert_eq!(taken.len(), 30, "seed {seed}");
    }
}

#[test]
fn forgotten_numbers_are_found_by_the_next_lap() {
    let size = FREED_MAX as u128 + 100;
    let mut numbers = Numbers::new(0, size - 1);
    while numbers.take().is_some() {}
    (0..size).for_each(|number| numbers.free(number));
    let taken: BTreeSet<u128> = std::iter::from_fn(|| numbers.take()).collect();
    assert_eq!(taken.len() as u128, size);
}
