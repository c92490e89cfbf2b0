mod naive;

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::{Delivery, Limits, Mvcc, WatchSpec, WatcherId};
use crate::{
    error::Error,
    key::Keys,
    record::{
        Change, Compare, Delete, Field, LeaseId, Operand, Operation, Order, Put, Query, Relation,
        Revision, Transaction, Written,
    },
};

const NOW: Duration = Duration::ZERO;

fn store() -> Mvcc {
    Mvcc::new(Limits::default(), 1)
}

fn put(store: &mut Mvcc, key: &str, value: &str) -> Revision {
    store.put(Put::new(key, value), NOW).unwrap().revision
}

fn delete(store: &mut Mvcc, keys: Keys) -> usize {
    store.delete(Delete::new(keys), NOW).unwrap().deleted
}

fn values(store: &Mvcc, keys: Keys, revision: Option<Revision>) -> Vec<(String, String)> {
    let query = Query {
        revision,
        ..Query::new(keys)
    };
    let page = store.query(&query).unwrap();
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    page.records
        .iter()
        .map(|record| (text(&record.key), text(&record.value)))
        .collect()
}

fn poll(store: &mut Mvcc, watcher: WatcherId) -> Option<Delivery> {
    match store.poll_watcher(watcher, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(delivery) => Some(delivery.unwrap()),
        Poll::Pending => None,
    }
}

fn drain(store: &mut Mvcc, watcher: WatcherId) -> Vec<Change> {
    let mut all = Vec::new();
    while let Some(delivery) = poll(store, watcher) {
        match delivery {
            Delivery::Changes { changes, .. } => all.extend(changes),
            Delivery::Compacted { .. } => panic!("not compacted"),
        }
    }
    all
}

#[test]
fn writes_make_revisions_and_versions() {
    let mut store = store();
    assert_eq!(store.revision(), Revision(1));
    put(&mut store, "a", "1");
    put(&mut store, "a", "2");
    let page = store.query(&Query::new(Keys::one("a"))).unwrap();
    let record = &page.records[0];
    let numbers = (record.created.0, record.modified.0, record.version);
    assert_eq!(numbers, (2, 3, 2));
    assert_eq!(delete(&mut store, Keys::one("a")), 1);
    assert_eq!(delete(&mut store, Keys::one("a")), 0);
    assert_eq!(
        store.revision(),
        Revision(4),
        "nothing deleted, no revision"
    );
    put(&mut store, "a", "3");
    let page = store.query(&Query::new(Keys::one("a"))).unwrap();
    assert_eq!(page.records[0].version, 1);
    assert_eq!(page.records[0].created, Revision(5));
}

#[test]
fn the_past_can_be_read_until_it_is_compacted() {
    let mut store = store();
    let first = put(&mut store, "a", "1");
    let second = put(&mut store, "a", "2");
    put(&mut store, "b", "3");
    assert_eq!(values(&store, Keys::all(), Some(first)).len(), 1);
    store.compact(second).unwrap();
    let query = |revision| Query {
        revision: Some(revision),
        ..Query::new(Keys::all())
    };
    let error = store.query(&query(first)).unwrap_err();
    assert!(matches!(error, Error::Compacted { oldest } if oldest == second));
    assert_eq!(values(&store, Keys::all(), Some(second))[0].1, "2");
    assert!(matches!(
        store.query(&query(Revision(99))),
        Err(Error::FutureRevision { .. })
    ));
    assert!(matches!(
        store.compact(second),
        Err(Error::Compacted { .. })
    ));
    assert!(matches!(
        store.compact(Revision(99)),
        Err(Error::FutureRevision { .. })
    ));
}

#[test]
fn lists_are_limited_sorted_and_filtered() {
    let mut store = store();
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2")] {
        put(&mut store, key, value);
    }
    let all = Query::new(Keys::all());
    let keys = |query: &Query| -> (String, bool, usize) {
        let page = store.query(query).unwrap();
        let keys = page.records.iter().map(|record| record.key[0] as char);
        (keys.collect(), page.more, page.count)
    };
    let by = |by, descending| Some(Order { by, descending });
    let mut later = all.clone();
    later.within.modified_min = Revision(3);
    let table = [
        (all.clone(), ("abc", false, 3)),
        (
            Query {
                limit: 2,
                ..all.clone()
            },
            ("ab", true, 3),
        ),
        (
            Query {
                limit: 3,
                ..all.clone()
            },
            ("abc", false, 3),
        ),
        (
            Query {
                order: by(Field::Key, true),
                ..all.clone()
            },
            ("cba", false, 3),
        ),
        (
            Query {
                order: by(Field::Value, false),
                ..all.clone()
            },
            ("bca", false, 3),
        ),
        (
            Query {
                order: by(Field::Value, false),
                limit: 1,
                ..all.clone()
            },
            ("b", true, 3),
        ),
        (
            Query {
                order: by(Field::Value, false),
                keys_only: true,
                ..all.clone()
            },
            ("bca", false, 3),
        ),
        (later, ("bc", false, 3)),
        (
            Query {
                count_only: true,
                ..all.clone()
            },
            ("", false, 3),
        ),
        (
            Query::new(Keys::Between(Bytes::from("b"), Bytes::from("a"))),
            ("", false, 0),
        ),
    ];
    for (query, (expected, more, count)) in table {
        assert_eq!(
            keys(&query),
            (expected.to_owned(), more, count),
            "{query:?}"
        );
    }
}

fn compare(key: &str, relation: Relation, to: Operand) -> Compare {
    Compare {
        keys: Keys::one(key),
        relation,
        to,
    }
}

#[test]
fn compares_hold_as_in_etcd() {
    let mut store = store();
    put(&mut store, "a", "1");
    let table = [
        ("a", Relation::Equal, Operand::Value(Bytes::from("1")), true),
        ("a", Relation::Less, Operand::Value(Bytes::from("2")), true),
        ("a", Relation::Equal, Operand::Modified(Revision(2)), true),
        ("a", Relation::Greater, Operand::Version(0), true),
        (
            "a",
            Relation::NotEqual,
            Operand::Created(Revision(2)),
            false,
        ),
        ("absent", Relation::Equal, Operand::Version(0), true),
        (
            "absent",
            Relation::Equal,
            Operand::Modified(Revision(0)),
            true,
        ),
        (
            "absent",
            Relation::Equal,
            Operand::Value(Bytes::new()),
            false,
        ),
        (
            "absent",
            Relation::NotEqual,
            Operand::Value(Bytes::from("1")),
            false,
        ),
        ("absent", Relation::Equal, Operand::Lease(None), true),
    ];
    for (key, relation, to, expected) in table {
        let transaction = Transaction {
            compares: vec![compare(key, relation, to.clone())],
            ..Transaction::default()
        };
        let answer = store.transact(transaction, NOW).unwrap();
        assert_eq!(answer.succeeded, expected, "{key} {relation:?} {to:?}");
    }
}

#[test]
fn transactions_are_one_revision_or_nothing() {
    let mut store = store();
    let transaction = |operations: Vec<Operation>| Transaction {
        then: operations,
        ..Transaction::default()
    };
    let both = transaction(vec![
        Operation::Put(Put::new("a", "1")),
        Operation::Query(Query::new(Keys::all())),
        Operation::Put(Put::new("b", "2")),
    ]);
    let answer = store.transact(both, NOW).unwrap();
    assert_eq!(answer.revision, Revision(2));
    assert!(matches!(&answer.answers[1], crate::record::Answer::Query(page) if page.count == 1));
    let page = store.query(&Query::new(Keys::all())).unwrap();
    assert!(
        page.records
            .iter()
            .all(|record| record.modified == Revision(2))
    );
    let broken = transaction(vec![
        Operation::Put(Put::new("c", "3")),
        Operation::Put(Put::new("d", "4").leased(LeaseId(77))),
    ]);
    assert!(matches!(
        store.transact(broken, NOW),
        Err(Error::LeaseNotFound { lease: LeaseId(77) })
    ));
    assert_eq!(values(&store, Keys::all(), None).len(), 2);
    let twice = [
        transaction(vec![
            Operation::Put(Put::new("c", "3")),
            Operation::Put(Put::new("c", "4")),
        ]),
        transaction(vec![
            Operation::Delete(Delete::new(Keys::prefix("c"))),
            Operation::Put(Put::new("c1", "4")),
        ]),
        transaction(vec![
            Operation::Put(Put::new("c", "3")),
            Operation::Transaction(transaction(vec![Operation::Put(Put::new("c", "4"))])),
        ]),
    ];
    for each in twice {
        assert!(matches!(
            store.transact(each, NOW),
            Err(Error::DuplicateKey)
        ));
    }
    let many = (0..129).map(|n| Operation::Put(Put::new(n.to_string(), "")));
    assert!(matches!(
        store.transact(transaction(many.collect()), NOW),
        Err(Error::TooManyOperations { max: 128 })
    ));
}

#[test]
fn nested_transactions_choose_by_what_was_there_before() {
    let mut store = store();
    let inner = Transaction {
        compares: vec![compare("a", Relation::Equal, Operand::Version(0))],
        then: vec![Operation::Put(Put::new("first", ""))],
        otherwise: vec![Operation::Put(Put::new("again", ""))],
    };
    let outer = Transaction {
        then: vec![
            Operation::Put(Put::new("a", "1")),
            Operation::Transaction(inner),
        ],
        ..Transaction::default()
    };
    store.transact(outer.clone(), NOW).unwrap();
    assert_eq!(values(&store, Keys::one("first"), None).len(), 1);
    store.transact(outer, NOW).unwrap();
    assert_eq!(values(&store, Keys::one("again"), None).len(), 1);
}

#[test]
fn puts_can_keep_value_or_lease() {
    let mut store = store();
    let lease = store.grant(None, Duration::from_secs(10), NOW).unwrap().id;
    let keep = Put {
        value: Written::Keep,
        ..Put::new("a", "")
    };
    assert!(matches!(
        store.put(keep.clone(), NOW),
        Err(Error::KeyNotFound)
    ));
    store.put(Put::new("a", "1").leased(lease), NOW).unwrap();
    let keep_lease = Put {
        lease: Written::Keep,
        ..Put::new("a", "2")
    };
    store.put(keep_lease, NOW).unwrap();
    assert_eq!(store.lease(lease).unwrap().keys.len(), 1);
    store.put(keep, NOW).unwrap();
    assert_eq!(values(&store, Keys::one("a"), None)[0].1, "2");
    assert!(store.lease(lease).unwrap().keys.is_empty());
}

#[test]
fn leases_take_their_keys_with_them() {
    let mut store = store();
    let second = Duration::from_secs(1);
    let lease = store.grant(None, 10 * second, NOW).unwrap();
    store.put(Put::new("a", "").leased(lease.id), NOW).unwrap();
    store.put(Put::new("b", "").leased(lease.id), NOW).unwrap();
    put(&mut store, "c", "");
    assert_eq!(store.poll_timeout(), Some(10 * second));
    store.handle_timeout(9 * second);
    assert_eq!(store.renew(lease.id, 9 * second).unwrap(), 10 * second);
    store.handle_timeout(18 * second);
    assert_eq!(store.lease(lease.id).unwrap().remaining, second);
    let before = store.revision();
    store.handle_timeout(19 * second);
    assert_eq!(
        store.revision(),
        before.next(),
        "all of a lease in one revision"
    );
    assert_eq!(values(&store, Keys::all(), None).len(), 1);
    assert!(matches!(
        store.renew(lease.id, 19 * second),
        Err(Error::LeaseNotFound { .. })
    ));
    let short = store
        .grant(Some(LeaseId(5)), second / 2, 19 * second)
        .unwrap();
    assert_eq!(short.ttl, 2 * second, "shorter ones are rounded up");
    assert!(matches!(
        store.grant(Some(LeaseId(5)), second, NOW),
        Err(Error::LeaseExists { lease: LeaseId(5) })
    ));
}

#[test]
fn watches_tell_changes_with_what_was_there_before() {
    let mut store = store();
    let watcher = store.add_watcher();
    let spec = WatchSpec {
        want_previous: true,
        ..WatchSpec::new(Keys::prefix("a/"), None)
    };
    store.add_watch(watcher, 7, spec).unwrap();
    put(&mut store, "a/1", "old");
    put(&mut store, "b/1", "unseen");
    put(&mut store, "a/1", "new");
    delete(&mut store, Keys::all());
    let changes = drain(&mut store, watcher);
    let told: Vec<(i64, bool, Option<&[u8]>)> = changes
        .iter()
        .map(|change| {
            let previous = change.previous.as_ref();
            (
                change.record.modified.0,
                change.record.is_deletion(),
                previous.map(|previous| &previous.value[..]),
            )
        })
        .collect();
    let expected: Vec<(i64, bool, Option<&[u8]>)> = vec![
        (2, false, None),
        (4, false, Some(b"old")),
        (5, true, Some(b"new")),
    ];
    assert_eq!(told, expected);
    assert_eq!(store.progress(watcher), Some(Revision(5)));
}

#[test]
fn a_watch_begins_where_it_is_asked_to() {
    let mut store = store();
    put(&mut store, "a", "1");
    put(&mut store, "a", "2");
    let past = store.add_watcher();
    let spec = WatchSpec::new(Keys::all(), Some(Revision(3)));
    store.add_watch(past, 0, spec).unwrap();
    let future = store.add_watcher();
    let spec = WatchSpec::new(Keys::all(), Some(Revision(5)));
    store.add_watch(future, 0, spec).unwrap();
    assert_eq!(store.progress(past), None, "there is something to read");
    put(&mut store, "a", "3");
    put(&mut store, "a", "4");
    assert_eq!(drain(&mut store, past).len(), 3);
    assert_eq!(drain(&mut store, future).len(), 1);
}

#[test]
fn a_slow_watch_is_ended_by_compaction_and_others_go_on() {
    let mut store = store();
    let slow = store.add_watcher();
    let idle = store.add_watcher();
    store
        .add_watch(slow, 1, WatchSpec::new(Keys::all(), None))
        .unwrap();
    store
        .add_watch(idle, 1, WatchSpec::new(Keys::prefix("b"), None))
        .unwrap();
    put(&mut store, "a", "1");
    let last = put(&mut store, "a", "2");
    store.compact(last).unwrap();
    let ended = Delivery::Compacted {
        watch: 1,
        oldest: last,
    };
    assert_eq!(poll(&mut store, slow), Some(ended));
    assert_eq!(poll(&mut store, slow), None);
    assert!(!store.has_watch(slow, 1));
    put(&mut store, "b", "3");
    assert_eq!(drain(&mut store, idle).len(), 1);
}

#[test]
fn a_revision_is_never_split() {
    let mut store = store();
    let watcher = store.add_watcher();
    let spec = WatchSpec::new(Keys::all(), Some(Revision(1)));
    store.add_watch(watcher, 0, spec).unwrap();
    for number in 0..1500 {
        put(&mut store, &format!("{number:04}"), "");
    }
    delete(&mut store, Keys::all());
    let mut sizes = Vec::new();
    while let Some(Delivery::Changes { changes, .. }) = poll(&mut store, watcher) {
        sizes.push(changes.len());
    }
    assert_eq!(sizes, [1000, 2000]);
}

#[test]
fn history_is_compacted_by_age() {
    let limits = Limits {
        history_age_max: Duration::from_secs(160),
        ..Limits::default()
    };
    let mut store = Mvcc::new(limits, 1);
    for second in 0..1000 {
        let now = Duration::from_secs(second);
        store.put(Put::new("a", "1"), now).unwrap();
        store.handle_timeout(now);
        // Revision `second + 2` was made at `second`.
        let oldest = store.compacted().0;
        let exact = second as i64 - 160 + 2;
        assert!(oldest <= exact.max(0), "{oldest} at {second}");
        assert!(
            oldest >= exact - 11 || oldest < 0 && exact < 11,
            "{oldest} at {second}"
        );
    }
    assert!(store.bytes().0 < 200 * 400);
}

#[test]
fn history_is_compacted_by_size_and_what_lives_is_bounded() {
    let limits = Limits {
        bytes_max: 100_000,
        history_bytes_max: 50_000,
        ..Limits::default()
    };
    let mut store = Mvcc::new(limits, 1);
    for number in 0..10_000 {
        put(&mut store, &format!("{}", number % 10), "some value");
        assert!(store.bytes().0 < 60_000);
    }
    assert!(store.compacted() > Revision(9_000));
    assert_eq!(store.query(&Query::new(Keys::all())).unwrap().count, 10);
    let mut number = 0;
    let refused = loop {
        number += 1;
        if let Err(error) = store.put(Put::new(format!("new{number}"), [0; 1000]), NOW) {
            break error;
        }
    };
    assert!(matches!(refused, Error::NoSpace));
    delete(&mut store, Keys::all());
    put(&mut store, "a", "there is room again");
}

#[test]
fn bad_requests_are_refused() {
    let mut store = store();
    let empty = store.put(Put::new("", "1"), NOW);
    assert!(matches!(empty, Err(Error::EmptyKey)));
    let large = store.put(Put::new("a", vec![0; 3 << 19]), NOW);
    assert!(matches!(large, Err(Error::TooLarge { .. })));
    let long = store.grant(None, Duration::from_secs(9_000_000_001), NOW);
    assert!(matches!(long, Err(Error::LeaseTooLong { .. })));
    assert!(matches!(
        store.revoke(LeaseId(1), NOW),
        Err(Error::LeaseNotFound { .. })
    ));
}
