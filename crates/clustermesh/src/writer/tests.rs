use std::time::Duration;

use bytes::Bytes;
use tombolo_kvstore::{Error, Keys, LeaseId, Limits, Put, Query, Transaction, mvcc::Mvcc};
use tombolo_model::event::Event;

use super::{Answer, Ask, GATE_LEASE, GATHER, Options, Writer, lease::KEYS_MAX};
use crate::Random;

const SET: &str = "set/";
const SECOND: Duration = Duration::from_secs(1);

fn writer() -> Writer {
    writer_of(false)
}

fn writer_of(told_anew: bool) -> Writer {
    let options = Options {
        lock: "lock".into(),
        holder: "a".into(),
        heartbeat: None,
        epoch: 0,
        told_anew,
    };
    let mut writer = Writer::new(options, Random::new(1));
    writer.add_set(SET.into(), Some("canary".into()));
    writer
}

fn tell(writer: &mut Writer, event: Event<&'static str, &'static str>) {
    let event = match event {
        Event::Restart => Event::Restart,
        Event::Synced => Event::Synced,
        Event::Delete(key) => Event::Delete(key.into()),
        Event::Upsert(key, value) => Event::Upsert(key.into(), value.into()),
    };
    writer.handle(&SET.into(), event);
}

fn answer(store: &mut Mvcc, ask: Ask, now: Duration) -> Answer {
    let answer = match ask {
        Ask::Page { keys, .. } => store
            .query(&Query::new(keys))
            .map(|page| Answer::Page(page, None)),
        Ask::Transact(transaction) => transact(store, transaction, now),
        Ask::Grant(ttl) => store.grant(None, ttl, now).map(Answer::Granted),
        Ask::Renew(lease) => store.renew(lease, now).map(|_| Answer::Renewed),
    };
    answer.unwrap_or_else(Answer::Failed)
}

fn transact(store: &mut Mvcc, transaction: Transaction, now: Duration) -> Result<Answer, Error> {
    let answer = store.transact(transaction, now)?;
    let (held, revision) = (answer.succeeded, answer.revision);
    Ok(Answer::Transacted { held, revision })
}

/// Until there is nothing to do for now, which takes as long as keys are gathered.
fn settle(writer: &mut Writer, store: &mut Mvcc, now: &mut Duration) {
    for _ in 0..3 {
        while let Some(ask) = writer.poll_ask(*now) {
            let answer = answer(store, ask, *now);
            writer.answered(answer, *now);
        }
        *now += GATHER;
    }
}

fn value(store: &Mvcc, key: &'static str) -> Option<Bytes> {
    let page = store.query(&Query::new(Keys::one(key)));
    let records = page.expect("the present can be asked for").records;
    records.into_iter().next().map(|record| record.value)
}

fn lost() -> Answer {
    Answer::Failed(Error::Timeout {
        operation: "writing",
        after: SECOND,
    })
}

#[test]
fn a_request_that_is_executed_late_undoes_nothing() {
    for late_deletes in [false, true] {
        let (mut writer, mut store) = (writer(), Mvcc::new(Limits::default(), 1));
        let mut now = SECOND;
        tell(&mut writer, Event::Upsert("set/a", "1"));
        tell(&mut writer, Event::Synced);
        settle(&mut writer, &mut store, &mut now);
        assert_eq!(value(&store, "set/a"), Some("1".into()));
        let event = match late_deletes {
            true => Event::Delete("set/a"),
            false => Event::Upsert("set/a", "2"),
        };
        tell(&mut writer, event);
        let ask = writer.poll_ask(now);
        let Some(Ask::Transact(late)) = ask else {
            panic!("not to be written: {ask:?}")
        };
        writer.answered(lost(), now);
        tell(&mut writer, Event::Upsert("set/a", "3"));
        now += 5 * SECOND;
        settle(&mut writer, &mut store, &mut now);
        assert_eq!(value(&store, "set/a"), Some("3".into()));
        // What waited in some buffer on the way arrives after all.
        transact(&mut store, late, now).expect("the store is well");
        assert_eq!(value(&store, "set/a"), Some("3".into()));
    }
}

#[test]
fn a_lock_that_was_written_anew_without_our_knowing_is_still_ours() {
    let (mut writer, mut store) = (writer(), Mvcc::new(Limits::default(), 1));
    let mut now = SECOND;
    tell(&mut writer, Event::Upsert("set/a", "0"));
    tell(&mut writer, Event::Synced);
    settle(&mut writer, &mut store, &mut now);
    let term = writer.term();
    tell(&mut writer, Event::Upsert("set/a", "1"));
    // The batch is lost on its way there, and the answer to what follows on its way back.
    assert!(matches!(writer.poll_ask(now), Some(Ask::Transact(_))));
    writer.answered(lost(), now);
    let mut lock_written = false;
    while !lock_written {
        now += SECOND;
        let Some(ask) = writer.poll_ask(now) else {
            continue;
        };
        lock_written = matches!(ask, Ask::Transact(_));
        let answered = answer(&mut store, ask, now);
        writer.answered(if lock_written { lost() } else { answered }, now);
    }
    now += 5 * SECOND;
    settle(&mut writer, &mut store, &mut now);
    assert_eq!(value(&store, "set/a"), Some("1".into()));
    assert_eq!(writer.term(), term, "it was us all the time");
}

/// Another may have led meanwhile, seen or not: only what is told anew is no past.
#[test]
fn who_is_told_anew_fills_no_store_with_what_it_knew_before() {
    for another_seen in [false, true] {
        let (mut writer, mut store) = (writer_of(true), Mvcc::new(Limits::default(), 1));
        let mut now = SECOND;
        tell(&mut writer, Event::Upsert("set/a", "1"));
        tell(&mut writer, Event::Synced);
        settle(&mut writer, &mut store, &mut now);
        assert_eq!(value(&store, "set/a"), Some("1".into()));
        tell(&mut writer, Event::Upsert("set/a", "2"));
        if another_seen {
            let lock = Put::new("lock", "b");
            store.put(lock, now).expect("it takes the lock");
            settle(&mut writer, &mut store, &mut now);
        } else {
            assert!(matches!(writer.poll_ask(now), Some(Ask::Transact(_))));
            let (operation, expected, found) = ("writing", 1, 2);
            let error = Error::ClusterChanged {
                operation,
                expected,
                found,
            };
            writer.answered(Answer::Failed(error), now);
        }
        assert!(!writer.leads());
        assert_eq!(value(&store, "set/a"), Some("1".into()));

        let mut empty = Mvcc::new(Limits::default(), 2);
        now += 60 * SECOND;
        settle(&mut writer, &mut empty, &mut now);
        assert!(writer.leads());
        assert_eq!(value(&empty, "set/a"), None);
        assert_eq!(value(&empty, "canary"), None);
        tell(&mut writer, Event::Upsert("set/a", "3"));
        tell(&mut writer, Event::Synced);
        settle(&mut writer, &mut empty, &mut now);
        assert_eq!(value(&empty, "set/a"), Some("3".into()));
        assert!(value(&empty, "canary").is_some());
    }
}

#[test]
fn what_comes_soon_after_a_batch_is_written_in_one() {
    let (mut writer, mut store) = (writer(), Mvcc::new(Limits::default(), 1));
    let mut now = SECOND;
    tell(&mut writer, Event::Upsert("set/a", "0"));
    tell(&mut writer, Event::Synced);
    settle(&mut writer, &mut store, &mut now);
    tell(&mut writer, Event::Upsert("set/a", "1"));
    let revision = store.revision();
    let ask = writer.poll_ask(now).expect("nothing was written for long");
    writer.answered(answer(&mut store, ask, now), now);
    assert_eq!(value(&store, "set/a"), Some("1".into()));

    for key in ["set/b", "set/c"] {
        tell(&mut writer, Event::Upsert(key, "1"));
        now += GATHER / 4;
        assert_eq!(writer.poll_ask(now), None);
    }
    let then = writer.poll_timeout().expect("something waits");
    assert_eq!(then, now + GATHER / 2);
    let ask = writer.poll_ask(then).expect("it is time");
    writer.answered(answer(&mut store, ask, then), then);
    assert_eq!(value(&store, "set/c"), Some("1".into()));
    assert_eq!(store.revision(), revision.next().next());

    for number in 0..100 {
        let event = Event::Upsert(format!("set/{number}").into(), "1".into());
        writer.handle(&SET.into(), event);
    }
    assert!(
        writer.poll_ask(then).is_some(),
        "a full batch does not wait"
    );
}

#[test]
fn what_is_on_its_way_to_the_store_is_told_as_pending() {
    let (mut writer, mut store) = (writer(), Mvcc::new(Limits::default(), 1));
    let mut now = SECOND;
    tell(&mut writer, Event::Upsert("set/a", "1"));
    tell(&mut writer, Event::Synced);
    assert!(!writer.holds_all());
    settle(&mut writer, &mut store, &mut now);
    assert_eq!(writer.status().pending, 0);
    assert!(writer.holds_all());
    tell(&mut writer, Event::Upsert("set/b", "1"));
    assert!(writer.holds_all(), "what comes later was not there");
    let ask = writer.poll_ask(now).expect("it is to be written");
    assert!(matches!(ask, Ask::Transact(_)), "{ask:?}");
    assert_eq!(writer.status().pending, 1);
    tell(&mut writer, Event::Upsert("set/b", "2"));
    assert_eq!(writer.status().pending, 1, "a key that is told anew is one");
    writer.answered(answer(&mut store, ask, now), now);
    settle(&mut writer, &mut store, &mut now);
    assert_eq!(writer.status().pending, 0);
}

/// Keys that come and go leave a little room in each of many leases.
#[test]
fn a_batch_takes_room_from_as_many_leases_as_it_needs() {
    let (mut writer, mut store) = (writer(), Mvcc::new(Limits::default(), 1));
    let mut now = SECOND;
    let key = |number: usize| Bytes::from(format!("set/{number}"));
    let set = Bytes::from(SET);
    for number in 0..10 * KEYS_MAX {
        writer.handle(&set, Event::Upsert(key(number), "1".into()));
    }
    while writer.pending() > 0 || !writer.leads() {
        now += SECOND;
        settle(&mut writer, &mut store, &mut now);
    }
    for number in (0..10 * KEYS_MAX).step_by(KEYS_MAX / 5) {
        writer.handle(&set, Event::Delete(key(number)));
    }
    settle(&mut writer, &mut store, &mut now);
    for number in 0..50 {
        writer.handle(&set, Event::Upsert(key(number + 20 * KEYS_MAX), "1".into()));
    }
    let Some(Ask::Transact(batch)) = writer.poll_ask(now) else {
        panic!("there is room for all of them");
    };
    assert_eq!(batch.then.len(), 50);
}

#[test]
fn gates_end_well_before_records() {
    let (mut writer, mut store) = (writer(), Mvcc::new(Limits::default(), 1));
    tell(&mut writer, Event::Upsert("set/a", "1"));
    tell(&mut writer, Event::Synced);
    let lease_of = |store: &Mvcc, key: &'static str| -> LeaseId {
        let page = store.query(&Query::new(Keys::one(key)));
        let records = page.expect("the present can be asked for").records;
        records[0].lease.expect("it is leased")
    };
    // Whenever the writer dies, readers must see that it has before records go.
    for second in 1..4000 {
        let now = second * SECOND;
        while let Some(ask) = writer.poll_ask(now) {
            let answer = answer(&mut store, ask, now);
            writer.answered(answer, now);
            let written = ["canary", "set/a"].map(|key| value(&store, key).is_some());
            if written != [true; 2] {
                continue;
            }
            let left = ["canary", "set/a"].map(|key| {
                let status = store.lease(lease_of(&store, key));
                status.expect("it is renewed").remaining
            });
            assert!(
                left[0] + GATE_LEASE / 6 <= left[1],
                "after {second} s the canary has {:?} left and the record {:?}",
                left[0],
                left[1]
            );
        }
        store.handle_timeout(now);
    }
}
