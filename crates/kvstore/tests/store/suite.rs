//! What every store must do, one behaviour each. The keys of each are its own, so that one store serves all.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tombolo_kvstore::{
    Change, Compare, Delete, Error, Keys, Operand, Operation, Put, Query, Record, Relation,
    Revision, Store, Transaction, Watch, WatchSpec,
};

use crate::follow;

const PATIENCE: Duration = Duration::from_secs(20);

pub async fn all(store: &impl Store) {
    records_come_and_go(store).await;
    lists_are_of_one_revision(store).await;
    leases_hold_keys(store).await;
    leases_end(store).await;
    watches_tell_in_order(store).await;
    watches_begin_in_the_past(store).await;
    watches_filter(store).await;
    a_transaction_is_one_batch(store).await;
    clients_at_once_lose_nothing(store).await;
    large_values_pass(store).await;
    bad_requests_are_refused(store).await;
    follow::lists_then_changes(store).await;
    compaction_ends_what_needs_the_past(store).await;
    follow::lists_anew_after_compaction(store).await;
}

pub async fn put(store: &impl Store, key: &str, value: &str) -> Revision {
    store.put(Put::new(key, value)).await.unwrap().revision
}

async fn changes(watch: &mut impl Watch, count: usize) -> Vec<Change> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = timeout(PATIENCE, watch.next()).await;
        all.extend(batch.expect("changes come in time").unwrap());
    }
    assert_eq!(all.len(), count);
    all
}

fn texts(changes: &[Change]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8_lossy(&record.value).into_owned();
    changes
        .iter()
        .map(|change| {
            let key = String::from_utf8_lossy(&change.record.key);
            let now = match change.record.is_deletion() {
                true => "gone".to_owned(),
                false => text(&change.record),
            };
            let before = change.previous.as_ref().map(text);
            format!("{key}={now} was {}", before.unwrap_or_default())
        })
        .collect()
}

async fn records_come_and_go(store: &impl Store) {
    assert_eq!(store.get(b"go/a").await.unwrap(), None);
    let first = put(store, "go/a", "1").await;
    let second = put(store, "go/a", "2").await;
    assert_eq!(second, first.next());
    let record = store.get(b"go/a").await.unwrap().unwrap();
    let expected = Record {
        key: Bytes::from("go/a"),
        value: Bytes::from("2"),
        created: first,
        modified: second,
        version: 2,
        lease: None,
    };
    assert_eq!(record, expected);
    let past = Query {
        revision: Some(first),
        ..Query::new(Keys::one("go/a"))
    };
    assert_eq!(store.query(past).await.unwrap().records[0].value, "1");
    let answer = store
        .delete(Delete::new(Keys::prefix("go/")))
        .await
        .unwrap();
    assert_eq!((answer.deleted, answer.revision), (1, second.next()));
    let empty = store.put(Put::new("go/empty", "")).await.unwrap();
    assert_eq!(empty.previous, None);
    assert_eq!(store.get(b"go/empty").await.unwrap().unwrap().value, "");
}

async fn lists_are_of_one_revision(store: &impl Store) {
    for number in 0..25 {
        put(store, &format!("list/{number:02}"), "before").await;
    }
    let mut found = Vec::new();
    let mut from = None;
    loop {
        let (page, next) = store.page(Keys::prefix("list/"), from).await.unwrap();
        found.extend(page.records);
        // What changes in between belongs to no later page.
        put(store, "list/24", "after").await;
        put(store, "list/30", "new").await;
        store
            .delete(Delete::new(Keys::one("list/20")))
            .await
            .unwrap();
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 25);
    assert!(found.is_sorted_by_key(|record| record.key.clone()));
    assert!(found.iter().all(|record| record.value == "before"));
}

async fn leases_hold_keys(store: &impl Store) {
    let second = Duration::from_secs(1);
    let lease = store.grant(100 * second).await.unwrap();
    assert_eq!(lease.ttl, 100 * second);
    for key in ["lease/a", "lease/b"] {
        store.put(Put::new(key, "").leased(lease.id)).await.unwrap();
    }
    let record = store.get(b"lease/a").await.unwrap().unwrap();
    assert_eq!(record.lease, Some(lease.id));
    put(store, "lease/b", "mine no more").await;
    let status = store.lease(lease.id).await.unwrap();
    assert_eq!(status.keys, ["lease/a"]);
    assert_eq!(status.granted, 100 * second);
    assert!(status.remaining <= 100 * second && status.remaining > 90 * second);
    assert_eq!(store.renew(lease.id).await.unwrap(), 100 * second);
    store.revoke(lease.id).await.unwrap();
    assert_eq!(store.get(b"lease/a").await.unwrap(), None);
    assert!(store.get(b"lease/b").await.unwrap().is_some());
    let gone = [
        store.revoke(lease.id).await.unwrap_err(),
        store.renew(lease.id).await.unwrap_err(),
        store.lease(lease.id).await.unwrap_err(),
        store
            .put(Put::new("lease/c", "").leased(lease.id))
            .await
            .unwrap_err(),
    ];
    for error in gone {
        assert!(matches!(error, Error::LeaseNotFound { .. }), "{error:?}");
    }
}

async fn leases_end(store: &impl Store) {
    let lease = store.grant(Duration::from_secs(1)).await.unwrap();
    assert_eq!(
        lease.ttl,
        Duration::from_secs(2),
        "shorter ones are made longer"
    );
    store
        .put(Put::new("end/a", "").leased(lease.id))
        .await
        .unwrap();
    let start = Instant::now();
    while store.get(b"end/a").await.unwrap().is_some() {
        assert!(start.elapsed() < PATIENCE, "the lease does not end");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(
        start.elapsed() > Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
}

async fn watches_tell_in_order(store: &impl Store) {
    let spec = WatchSpec {
        want_previous: true,
        ..WatchSpec::new(Keys::prefix("order/"), None)
    };
    let mut watch = store.watch(spec).await.unwrap();
    put(store, "order/a", "1").await;
    put(store, "elsewhere", "").await;
    put(store, "order/b", "2").await;
    put(store, "order/a", "3").await;
    store
        .delete(Delete::new(Keys::one("order/a")))
        .await
        .unwrap();
    let told = changes(&mut watch, 4).await;
    assert_eq!(
        texts(&told),
        [
            "order/a=1 was ",
            "order/b=2 was ",
            "order/a=3 was 1",
            "order/a=gone was 3"
        ]
    );
    assert!(told.is_sorted_by_key(|change| change.record.modified));
}

async fn watches_begin_in_the_past(store: &impl Store) {
    put(store, "past/a", "1").await;
    let since = put(store, "past/a", "2").await;
    put(store, "past/a", "3").await;
    let spec = WatchSpec::new(Keys::one("past/a"), Some(since));
    let mut watch = store.watch(spec).await.unwrap();
    put(store, "past/a", "4").await;
    let told = changes(&mut watch, 3).await;
    assert_eq!(
        texts(&told),
        ["past/a=2 was ", "past/a=3 was ", "past/a=4 was "]
    );
    let later = put(store, "past/b", "").await;
    let spec = WatchSpec::new(Keys::prefix("past/"), Some(Revision(later.0 + 2)));
    let mut watch = store.watch(spec).await.unwrap();
    put(store, "past/too early", "").await;
    put(store, "past/due", "").await;
    assert_eq!(texts(&changes(&mut watch, 1).await), ["past/due= was "]);
}

async fn watches_filter(store: &impl Store) {
    let only = |without_puts| WatchSpec {
        without_puts,
        without_deletions: !without_puts,
        ..WatchSpec::new(Keys::prefix("filter/"), None)
    };
    let mut puts = store.watch(only(false)).await.unwrap();
    let mut deletions = store.watch(only(true)).await.unwrap();
    put(store, "filter/a", "1").await;
    store
        .delete(Delete::new(Keys::one("filter/a")))
        .await
        .unwrap();
    put(store, "filter/a", "2").await;
    store
        .delete(Delete::new(Keys::one("filter/a")))
        .await
        .unwrap();
    assert_eq!(
        texts(&changes(&mut puts, 2).await),
        ["filter/a=1 was ", "filter/a=2 was "]
    );
    assert_eq!(
        texts(&changes(&mut deletions, 2).await),
        ["filter/a=gone was ", "filter/a=gone was "]
    );
}

async fn a_transaction_is_one_batch(store: &impl Store) {
    let spec = WatchSpec::new(Keys::prefix("batch/"), None);
    let mut watch = store.watch(spec).await.unwrap();
    let puts = (0..100).map(|number| {
        // Some megabytes in all, which come in parts.
        let value = vec![b'x'; 12_000];
        Operation::Put(Put::new(format!("batch/{number:02}"), value))
    });
    let transaction = Transaction {
        then: puts.collect(),
        ..Transaction::default()
    };
    store.transact(transaction).await.unwrap();
    let batch = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert_eq!(batch.len(), 100);
    let deleted = Delete::new(Keys::prefix("batch/"));
    store.delete(deleted).await.unwrap();
    let batch = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert_eq!(batch.len(), 100);
}

/// Several count one key up, each by comparing what it has read; a watch sees each step once and in order.
async fn clients_at_once_lose_nothing(store: &impl Store) {
    const CLIENTS: i64 = 8;
    const STEPS: i64 = 20;
    let key = "count/a";
    let mut watch = store
        .watch(WatchSpec::new(Keys::one(key), None))
        .await
        .unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let store = store.clone();
        clients.spawn(async move {
            let mut done = 0;
            let mut latest = Revision(0);
            while done < STEPS {
                let record = store.get(key.as_bytes()).await.unwrap().unwrap_or_default();
                assert!(
                    record.modified >= latest,
                    "a client's reads go back in time"
                );
                latest = record.modified;
                let next = (record.version + 1).to_string();
                let swap = Transaction {
                    compares: vec![Compare {
                        keys: Keys::one(key),
                        relation: Relation::Equal,
                        to: Operand::Modified(record.modified),
                    }],
                    then: vec![Operation::Put(Put::new(key, next))],
                    otherwise: Vec::new(),
                };
                let answer = store.transact(swap).await.unwrap();
                if answer.succeeded {
                    done += 1;
                    latest = answer.revision;
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let told = changes(&mut watch, usize::try_from(CLIENTS * STEPS).unwrap()).await;
    for (number, change) in (1..).zip(&told) {
        assert_eq!(change.record.version, number);
        assert_eq!(change.record.value, number.to_string());
    }
    let record = store.get(key.as_bytes()).await.unwrap().unwrap();
    assert_eq!(record.version, CLIENTS * STEPS);
}

async fn large_values_pass(store: &impl Store) {
    let value = vec![7; 1 << 20];
    store.put(Put::new("large/a", &value)).await.unwrap();
    let record = store.get(b"large/a").await.unwrap().unwrap();
    assert_eq!(record.value, value);
    let too_large = Put::new("large/b", vec![7; (3 << 19) + 1]);
    let error = store.put(too_large).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    store
        .delete(Delete::new(Keys::prefix("large/")))
        .await
        .unwrap();
}

async fn bad_requests_are_refused(store: &impl Store) {
    let error = store.put(Put::new("", "1")).await.unwrap_err();
    assert!(matches!(error, Error::EmptyKey), "{error:?}");
    let error = store.delete(Delete::new(Keys::one(""))).await.unwrap_err();
    assert!(matches!(error, Error::EmptyKey), "{error:?}");
    let put_once = || Operation::Put(Put::new("bad/a", ""));
    let twice = Transaction {
        then: vec![put_once(), put_once()],
        ..Transaction::default()
    };
    let error = store.transact(twice).await.unwrap_err();
    assert!(matches!(error, Error::DuplicateKey), "{error:?}");
    let many = Transaction {
        then: vec![Operation::Query(Query::new(Keys::one("a"))); 129],
        ..Transaction::default()
    };
    let error = store.transact(many).await.unwrap_err();
    assert!(
        matches!(error, Error::TooManyOperations { .. }),
        "{error:?}"
    );
    let future = Query {
        revision: Some(Revision(1 << 40)),
        ..Query::new(Keys::all())
    };
    let error = store.query(future).await.unwrap_err();
    assert!(matches!(error, Error::FutureRevision { .. }), "{error:?}");
    let error = store.compact(Revision(1 << 40)).await.unwrap_err();
    assert!(matches!(error, Error::FutureRevision { .. }), "{error:?}");
    let long = store.grant(Duration::from_secs(9_000_000_001)).await;
    assert!(matches!(long, Err(Error::LeaseTooLong { .. })), "{long:?}");
}

async fn compaction_ends_what_needs_the_past(store: &impl Store) {
    let first = put(store, "compact/a", "1").await;
    put(store, "compact/a", "2").await;
    let last = put(store, "compact/b", "3").await;
    store.compact(last).await.unwrap();
    let again = store.compact(last).await.unwrap_err();
    assert!(matches!(again, Error::Compacted { .. }), "{again:?}");
    let past = Query {
        revision: Some(first),
        ..Query::new(Keys::prefix("compact/"))
    };
    let error = store.query(past).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
    let present = store.query(Query::new(Keys::prefix("compact/"))).await;
    assert_eq!(present.unwrap().count, 2);
    let spec = WatchSpec::new(Keys::prefix("compact/"), Some(first));
    let ended = match store.watch(spec).await {
        Ok(mut watch) => timeout(PATIENCE, watch.next()).await.unwrap().map(drop),
        Err(error) => Err(error),
    };
    let error = ended.unwrap_err();
    assert!(
        matches!(error, Error::Compacted { oldest } if oldest == last),
        "{error:?}"
    );
}
