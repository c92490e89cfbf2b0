//! Concurrent clients leave a history; the store must have been one that does one thing after another.

mod check;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{task::JoinSet, time::timeout};
use tombolo_kvstore::{
    Compare, Delete, Etcd, Keys, Operand, Operation, Put, Query, Relation, Revision, Store,
    TlsFiles, Transaction, Watch, WatchSpec,
};

use crate::{Embedded, certificates::Certificates, client, real::Real, together::Random};
use check::{Act, Event, Fault, Told, check};

const CLIENTS: u64 = 6;
const STEPS: usize = 120;
const WATCHES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

static TICK: AtomicU64 = AtomicU64::new(0);

fn tick() -> u64 {
    TICK.fetch_add(1, Ordering::SeqCst)
}

/// All that happened on one store.
struct History {
    since: i64,
    events: Vec<Event>,
    watches: Vec<Vec<Told>>,
}

impl History {
    fn check(&self) -> Result<(), Fault> {
        check(self.since, &self.events, &self.watches)
    }
}

struct Client {
    number: u64,
    store: Etcd,
    random: Random,
    events: Vec<Event>,
    /// A revision that has not been compacted, to read the past at.
    since: i64,
}

impl Client {
    fn key(&mut self) -> Bytes {
        Bytes::from(format!("k/{}", self.random.below(4)))
    }

    fn value(&self, step: usize) -> Bytes {
        Bytes::from(format!("{}-{step}", self.number))
    }

    async fn step(&mut self, step: usize) {
        let called = tick();
        let (act, revision) = match self.random.below(10) {
            0..=2 => self.put(step).await,
            3 => self.delete().await,
            4 | 5 => self.swap(step).await,
            6 => self.lease(step).await,
            7 => self.read(true).await,
            _ => self.read(false).await,
        };
        let answered = tick();
        self.events.push(Event {
            called,
            answered,
            act,
            revision,
        });
    }

    async fn put(&mut self, step: usize) -> (Act, i64) {
        let (key, value) = (self.key(), self.value(step));
        let mut put = Put::new(&key, &value);
        put.want_previous = true;
        let answer = self.store.put(put).await.unwrap();
        let previous = answer.previous.map(|record| record.value);
        let act = Act::Put {
            key,
            value,
            previous,
        };
        (act, answer.revision.0)
    }

    async fn delete(&mut self) -> (Act, i64) {
        let keys = BTreeSet::from([Bytes::from_static(b"k/0"), Bytes::from_static(b"k/1")]);
        let mut delete = Delete::new(Keys::Between("k/0".into(), "k/2".into()));
        delete.want_previous = true;
        let answer = self.store.delete(delete).await.unwrap();
        let previous = answer.previous.into_iter();
        let previous = previous.map(|record| (record.key, record.value)).collect();
        (Act::Delete { keys, previous }, answer.revision.0)
    }

    /// Reads, then writes what rests on what was read, unless another client was faster.
    async fn swap(&mut self, step: usize) -> (Act, i64) {
        let (key, value) = (self.key(), self.value(step));
        let present = self.store.get(&key).await.unwrap();
        let expected = present.map_or(Revision(0), |record| record.modified);
        let transaction = Transaction {
            compares: vec![Compare {
                keys: Keys::one(&key),
                relation: Relation::Equal,
                to: Operand::Modified(expected),
            }],
            then: vec![Operation::Put(Put::new(&key, &value))],
            otherwise: Vec::new(),
        };
        let answer = self.store.transact(transaction).await.unwrap();
        let act = Act::Swap {
            key,
            expected: expected.0,
            value,
            held: answer.succeeded,
        };
        (act, answer.revision.0)
    }

    /// A key of its own under a lease that ends; the put is an event of its own.
    async fn lease(&mut self, step: usize) -> (Act, i64) {
        let lease = self.store.grant(Duration::from_secs(60)).await.unwrap();
        let key = Bytes::from(format!("leased/{}-{step}", self.number));
        let value = self.value(step);
        let called = tick();
        let put = Put::new(&key, &value).leased(lease.id);
        let answer = self.store.put(put).await.unwrap();
        self.events.push(Event {
            called,
            answered: tick(),
            act: Act::Put {
                key: key.clone(),
                value,
                previous: None,
            },
            revision: answer.revision.0,
        });
        self.store.revoke(lease.id).await.unwrap();
        (Act::Revoke { key }, answer.revision.0)
    }

    async fn read(&mut self, past: bool) -> (Act, i64) {
        let prefix = Bytes::from_static(b"k/");
        let mut query = Query::new(Keys::prefix(&prefix));
        query.revision = past.then_some(Revision(self.since));
        let page = self.store.query(query).await.unwrap();
        let at = if past { self.since } else { page.revision.0 };
        self.since = page.revision.0;
        let found: BTreeMap<_, _> = page
            .records
            .into_iter()
            .map(|record| (record.key, (record.value, record.modified.0)))
            .collect();
        (Act::Read { prefix, at, found }, page.revision.0)
    }
}

/// Clients, each with a connection of its own, and watches beside them.
async fn history(address: &str, tls: &TlsFiles) -> History {
    let start = client(address, tls.clone());
    let since = start.query(Query::new(Keys::all())).await.unwrap().revision;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        let spec = WatchSpec::new(Keys::all(), Some(since.next()));
        let store = client(address, tls.clone());
        watches.push(store.watch(spec).await.unwrap());
    }
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let mut client = Client {
            number,
            store: client(address, tls.clone()),
            random: Random(0x5eed + number),
            events: Vec::new(),
            since: since.0,
        };
        clients.spawn(async move {
            for step in 0..STEPS {
                client.step(step).await;
            }
            client.events
        });
    }
    let mut events = Vec::new();
    while let Some(client) = clients.join_next().await {
        events.extend(client.unwrap());
    }
    let last = start.query(Query::new(Keys::all())).await.unwrap().revision;
    let mut told = Vec::new();
    for mut watch in watches {
        let all = async {
            let mut told: Vec<Told> = Vec::new();
            while told.last().is_none_or(|(.., revision)| *revision < last.0) {
                for change in watch.next().await.unwrap() {
                    let record = change.record;
                    let value = (!record.is_deletion()).then(|| record.value.clone());
                    told.push((record.key, value, record.modified.0));
                }
            }
            told
        };
        told.push(timeout(PATIENCE, all).await.expect("watches tell all"));
    }
    History {
        since: since.0,
        events,
        watches: told,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_is_linearizable_and_so_is_etcd() {
    let certificates = Certificates::make();
    let server = Embedded::start(certificates.server(), None).await;
    let etcd = Real::start(&certificates);
    let tls = certificates.of("root");
    for address in [&server.address, &etcd.address] {
        let history = history(address, &tls).await;
        let writes = history.watches[0].len();
        assert!(writes > STEPS, "hardly anything was written: {writes}");
        assert_eq!(history.check(), Ok(()), "{address}");
    }
}

/// Each way in which a store may lie, told into a history that was true.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_lies_is_seen_to() {
    let certificates = Certificates::make();
    let server = Embedded::start(certificates.server(), None).await;
    let tls = certificates.of("root");
    let truth = history(&server.address, &tls).await;
    assert_eq!(truth.check(), Ok(()));
    type Lie = fn(&mut History);
    let lies: [(&str, Lie); 9] = [
        ("a read of what was there before", |history| {
            let read = find(
                history,
                |act| matches!(act, Act::Read { found, .. } if !found.is_empty()),
            );
            if let Act::Read { found, .. } = &mut read.act {
                found.pop_first();
            }
        }),
        ("a write that is lost", |history| {
            let write = |event: &Event| matches!(event.act, Act::Put { .. });
            let place = history.events.iter().position(write).unwrap();
            history.events.remove(place);
        }),
        ("two writes of one revision", |history| {
            let write = |event: &&Event| matches!(event.act, Act::Put { .. });
            let other = history.events.iter().find(write).unwrap().clone();
            history.events.push(other);
        }),
        ("a previous value that was not there", |history| {
            let put = find(history, |act| {
                matches!(
                    act,
                    Act::Put {
                        previous: Some(_),
                        ..
                    }
                )
            });
            if let Act::Put { previous, .. } = &mut put.act {
                *previous = None;
            }
        }),
        ("a swap that should not have held", |history| {
            let swap = find(history, |act| matches!(act, Act::Swap { held: true, .. }));
            if let Act::Swap { expected, .. } = &mut swap.act {
                *expected += 1;
            }
        }),
        (
            "an answer from before what was answered already",
            |history| {
                let last = history
                    .events
                    .iter()
                    .map(|event| event.answered)
                    .max()
                    .unwrap();
                let read = find(history, |act| matches!(act, Act::Read { .. }));
                (read.called, read.answered) = (last + 1, last + 2);
            },
        ),
        ("an event told twice", |history| {
            let event = history.watches[1][5].clone();
            history.watches[1].insert(5, event);
        }),
        ("events in another order", |history| {
            history.watches[2].swap(7, 8)
        }),
        ("an event that is not told", |history| {
            history.watches[0].remove(9);
        }),
    ];
    for (name, lie) in lies {
        let mut history = History {
            since: truth.since,
            events: truth.events.clone(),
            watches: truth.watches.clone(),
        };
        lie(&mut history);
        assert!(history.check().is_err(), "{name} is not seen");
    }
}

fn find(history: &mut History, wanted: fn(&Act) -> bool) -> &mut Event {
    let mut events = history.events.iter_mut();
    events.find(|event| wanted(&event.act)).unwrap()
}
