use std::collections::BTreeMap;

use bytes::Bytes;

use super::Entries;
use crate::Random;

const SETS: [&str; 3] = ["a/", "b/", ""];

#[test]
fn entries_stay_at_their_places_while_others_come_and_go() {
    let mut random = Random::new(7);
    let mut entries = Entries::default();
    let mut oracle = BTreeMap::new();
    let mut most = 0;
    for step in 0..20_000_u64 {
        let set = SETS[random.below(3) as usize];
        let key = Bytes::from(format!("{set}{}", random.below(100)));
        let set = (!set.is_empty()).then(|| Bytes::from(set));
        if random.below(2) == 0 {
            let place = entries.place(key.clone(), set.as_ref());
            let (known, generation) = oracle.entry(key).or_insert((place, 0));
            assert_eq!(*known, place);
            *generation = step;
            entries.at_mut(place).generation = step;
        } else {
            let removed = entries.remove(&key).map(|entry| entry.generation);
            let known = oracle.remove(&key);
            assert_eq!(removed, known.map(|(_, generation)| generation));
        }
        most = most.max(oracle.len());
        if step % 100 == 0 {
            compare(&entries, &oracle);
        }
    }
    assert_eq!(entries.slots.len(), most, "slots are taken again");
}

fn compare(entries: &Entries, oracle: &BTreeMap<Bytes, (super::Place, u64)>) {
    let all = entries.places().map(|place| {
        let entry = entries.at(place);
        (entry.key.clone(), (place, entry.generation))
    });
    assert_eq!(all.collect::<BTreeMap<_, _>>(), *oracle);
    assert_eq!(entries.len(), oracle.len());
    for set in SETS.map(Bytes::from) {
        let mut of_set: Vec<_> = entries.of_set(&set).map(|entry| &entry.key).collect();
        of_set.sort();
        let known = oracle.keys();
        let known = known.filter(|key| !set.is_empty() && key.starts_with(&set));
        assert!(of_set.into_iter().eq(known), "of {set:?}");
    }
}
