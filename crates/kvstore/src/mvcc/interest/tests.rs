use super::Interest;
use crate::{key::Keys, random::Random};
use bytes::Bytes;

fn keys(random: &mut Random) -> Keys {
    let name = |random: &mut Random| -> Bytes {
        let length = random.below(4);
        (0..length).map(|_| b"ab/"[random.below(3)]).collect()
    };
    match random.below(4) {
        0 => Keys::One(name(random)),
        1 => Keys::prefix(name(random)),
        2 => Keys::Between(name(random), name(random)),
        _ => Keys::From(name(random)),
    }
}

#[test]
fn finds_whom_asking_each_would_find() {
    for seed in 1..200 {
        let mut random = Random::new(seed);
        let mut interest = Interest::default();
        let mut naive: Vec<(Keys, usize)> = Vec::new();
        for step in 0..200 {
            if random.below(3) == 0 && !naive.is_empty() {
                let (keys, who) = naive.swap_remove(random.below(naive.len()));
                interest.remove(&keys, who);
            } else {
                let keys = keys(&mut random);
                interest.insert(&keys, step);
                naive.push((keys, step));
            }
            let probe = keys(&mut random).start().clone();
            let mut found = Vec::new();
            interest.each(&probe, |who| found.push(who));
            found.sort_unstable();
            let mut expected: Vec<usize> = naive
                .iter()
                .filter(|(keys, _)| keys.contains(&probe))
                .map(|(_, who)| *who)
                .collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "seed {seed} step {step} {probe:?}");
        }
        for (keys, who) in naive.drain(..) {
            interest.remove(&keys, who);
        }
        assert!(interest.lengths.is_empty() && interest.prefixes.is_empty());
    }
}
