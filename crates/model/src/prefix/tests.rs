use super::*;
use crate::random::Random;

/// The oracle: the map of whole prefixes that it stands for.
#[test]
fn it_answers_as_a_map_of_whole_prefixes_does() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let mut map = PrefixMap::default();
        let mut naive = BTreeMap::new();
        for step in 0..300 {
            let (last, length) = (random.below(6), random.below(3));
            let prefix: IpNet = match random.one_in(2) {
                true => format!("10.0.0.{last}/{}", 30 + length),
                false => format!("fd00::{last}/{}", 126 + length),
            }
            .parse::<IpNet>()
            .unwrap()
            .trunc();
            let context = format!("seed {seed}, step {step}, {prefix}");
            match random.below(4) {
                0 => assert_eq!(map.remove(&prefix), naive.remove(&prefix), "{context}"),
                1 => {
                    let (one, other) = (map.get_mut(&prefix), naive.get_mut(&prefix));
                    assert_eq!(one, other, "{context}");
                    for value in one.into_iter().chain(other) {
                        *value += 1;
                    }
                }
                _ => {
                    let (one, other) = (map.insert(prefix, step), naive.insert(prefix, step));
                    assert_eq!(one, other, "{context}");
                }
            }
            assert_eq!(map.get(&prefix), naive.get(&prefix), "{context}");
            assert_eq!(map.contains_key(&prefix), naive.contains_key(&prefix));
            assert_eq!((map.len(), map.is_empty()), (naive.len(), naive.is_empty()));
            let entries = naive.iter().map(|(prefix, value)| (*prefix, value));
            assert!(map.iter().eq(entries), "{context}: order and contents");
            let within = naive.iter().filter(|(other, _)| prefix.contains(*other));
            let within = within.map(|(prefix, value)| (*prefix, value));
            assert!(map.within(&prefix).eq(within), "{context}");
            assert!(map.keys().eq(naive.keys().copied()), "{context}");
            assert!(map.values().eq(naive.values()), "{context}");
        }
        let again: PrefixMap<_> = naive.into_iter().collect();
        assert_eq!(map, again, "seed {seed}");
    }
}
