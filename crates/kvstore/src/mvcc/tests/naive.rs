//! The memory against a naive one that copies everything at each revision.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{NOW, delete, drain, poll, put, store};
use crate::{
    key::Keys,
    mvcc::{Delivery, Mvcc, WatchSpec, WatcherId},
    random::Random,
    record::{Change, Delete, Operation, Put, Query, Record, Revision, Transaction},
};

/// What was there at each revision, copied.
struct Naive {
    revisions: BTreeMap<Revision, BTreeMap<Bytes, Record>>,
}

impl Naive {
    fn check(&self, store: &Mvcc, random: &mut Random) {
        let oldest = store.compacted().max(Revision(1));
        for (revision, truth) in self.revisions.range(oldest..) {
            let keys = some_keys(random);
            let query = Query {
                revision: Some(*revision),
                limit: random.below(4),
                ..Query::new(keys.clone())
            };
            let page = store.query(&query).unwrap();
            let mut expected: Vec<Record> = truth
                .values()
                .filter(|record| keys.contains(&record.key))
                .cloned()
                .collect();
            assert_eq!(page.count, expected.len());
            if query.limit > 0 {
                expected.truncate(query.limit);
            }
            assert_eq!(page.records, expected, "at {revision}");
            assert_eq!(page.more, page.count > page.records.len());
        }
    }

    /// All changes of one revision after another, by comparing what was there.
    fn changes(&self, keys: &Keys, since: Revision) -> Vec<Change> {
        let mut all = Vec::new();
        for (revision, truth) in self.revisions.range(since..) {
            let before = &self.revisions[&Revision(revision.0 - 1)];
            let mut names: Vec<&Bytes> = truth.keys().chain(before.keys()).collect();
            names.sort();
            names.dedup();
            for name in names.into_iter().filter(|name| keys.contains(name)) {
                let previous = before.get(name).cloned();
                let record = match truth.get(name) {
                    Some(record) if record.modified == *revision => record.clone(),
                    None => Record {
                        key: name.clone(),
                        modified: *revision,
                        ..Record::default()
                    },
                    Some(_) => continue,
                };
                all.push(Change { record, previous });
            }
        }
        all
    }
}

fn some_key(random: &mut Random) -> Bytes {
    let length = 1 + random.below(2);
    (0..length).map(|_| b"abc"[random.below(3)]).collect()
}

fn some_keys(random: &mut Random) -> Keys {
    match random.below(4) {
        0 => Keys::One(some_key(random)),
        1 => Keys::prefix(some_key(random)),
        2 => Keys::Between(some_key(random), some_key(random)),
        _ => Keys::all(),
    }
}

struct Follower {
    watcher: WatcherId,
    keys: Keys,
    since: Revision,
    seen: Vec<Change>,
    ended: bool,
}

fn step(store: &mut Mvcc, random: &mut Random) {
    match random.below(10) {
        0..=5 => {
            let value = random.below(100).to_string();
            let answer = store.put(Put::new(some_key(random), value), NOW);
            answer.unwrap();
        }
        6 | 7 => {
            let keys = some_keys(random);
            store.delete(Delete::new(keys), NOW).unwrap();
        }
        8 => {
            let then = vec![
                Operation::Put(Put::new("a", "t")),
                Operation::Delete(Delete::new(Keys::prefix("b"))),
                Operation::Delete(Delete::new(Keys::prefix("bb"))),
                Operation::Put(Put::new("cc", "t")),
            ];
            let transaction = Transaction {
                then,
                ..Transaction::default()
            };
            store.transact(transaction, NOW).unwrap();
        }
        _ => {
            let at = Revision(store.revision().0 - random.below(10) as i64);
            let possible = at > store.compacted();
            assert_eq!(store.compact(at).is_ok(), possible, "{at}");
        }
    }
}

#[test]
fn equals_a_naive_store_whatever_happens() {
    for seed in 1..60 {
        let mut random = Random::new(seed);
        let mut store = store();
        let mut naive = Naive {
            revisions: BTreeMap::from([
                (Revision(0), BTreeMap::new()),
                (Revision(1), BTreeMap::new()),
            ]),
        };
        let mut followers: Vec<Follower> = Vec::new();
        for _ in 0..200 {
            step(&mut store, &mut random);
            let page = store.query(&Query::new(Keys::all())).unwrap();
            let truth = page
                .records
                .into_iter()
                .map(|record| (record.key.clone(), record));
            naive.revisions.insert(store.revision(), truth.collect());
            naive.check(&store, &mut random);
            if random.below(10) == 0 {
                let since = Revision(store.compacted().0.max(1) + random.below(5) as i64);
                let keys = some_keys(&mut random);
                let watcher = store.add_watcher();
                let spec = WatchSpec {
                    want_previous: true,
                    ..WatchSpec::new(keys.clone(), Some(since))
                };
                store.add_watch(watcher, 0, spec).unwrap();
                followers.push(Follower {
                    watcher,
                    keys,
                    since,
                    seen: Vec::new(),
                    ended: false,
                });
            }
            for follower in followers.iter_mut().filter(|follower| !follower.ended) {
                if random.below(3) == 0 {
                    continue;
                }
                match poll(&mut store, follower.watcher) {
                    Some(Delivery::Changes { changes, .. }) => follower.seen.extend(changes),
                    Some(Delivery::Compacted { .. }) => follower.ended = true,
                    None => {}
                }
            }
        }
        for follower in &mut followers {
            if !follower.ended {
                follower.seen.extend(drain(&mut store, follower.watcher));
            }
            // A value deleted and written anew within one revision cannot be, so comparing states finds all changes.
            let mut expected = naive.changes(&follower.keys, follower.since);
            if follower.ended {
                expected.truncate(follower.seen.len());
            }
            let sort = |changes: &mut Vec<Change>| {
                changes.sort_by(|a, b| {
                    (a.record.modified, &a.record.key).cmp(&(b.record.modified, &b.record.key))
                });
            };
            let ordered = follower
                .seen
                .is_sorted_by_key(|change| change.record.modified);
            assert!(ordered, "seed {seed}: revisions go back");
            sort(&mut follower.seen);
            sort(&mut expected);
            assert_eq!(follower.seen, expected, "seed {seed}");
        }
        let everything = store.revision();
        delete(&mut store, Keys::all());
        let present = store.revision();
        put(&mut store, "z", "");
        store.compact(present.max(everything).next()).unwrap();
        let (all, live) = store.bytes();
        assert!(all - live < 1000, "seed {seed}: {all} and {live} are left");
    }
}
