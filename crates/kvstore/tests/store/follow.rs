//! Following a prefix on any store.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use tombolo_kvstore::{Delete, Error, Follow, Keys, Store};
use tombolo_model::event::Event;

use crate::suite::put;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a reader of events knows, with the sweep of what was not repeated.
#[derive(Default)]
struct View {
    known: BTreeMap<Bytes, Bytes>,
    swept: Vec<Bytes>,
    synced: usize,
}

impl View {
    async fn read_until(
        &mut self,
        follow: &mut Follow<impl Store>,
        enough: impl Fn(&View) -> bool,
    ) {
        let mut listing = None;
        while !enough(self) {
            let next = timeout(PATIENCE, follow.next()).await;
            let batch = match next.expect("events come in time") {
                Ok(batch) => batch,
                Err(error) => {
                    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
                    continue;
                }
            };
            for event in batch.events {
                match event {
                    Event::Restart => listing = Some(BTreeMap::new()),
                    Event::Upsert(key, record) => {
                        if let Some(listing) = &mut listing {
                            listing.insert(key.clone(), ());
                        }
                        self.known.insert(key, record.value);
                    }
                    Event::Delete(key) => {
                        assert!(self.known.remove(&key).is_some(), "{key:?} was not known");
                    }
                    Event::Synced => {
                        let listed = listing.take().expect("a snapshot begins with a restart");
                        self.synced += 1;
                        let gone = self.known.keys().filter(|key| !listed.contains_key(*key));
                        self.swept = gone.cloned().collect();
                        self.known.retain(|key, _| listed.contains_key(key));
                    }
                }
            }
        }
    }
}

pub async fn lists_then_changes(store: &impl Store) {
    for number in 0..23 {
        put(store, &format!("follow/{number:02}"), "listed").await;
    }
    let mut follow = Follow::new(store.clone(), Keys::prefix("follow/"));
    let mut view = View::default();
    view.read_until(&mut follow, |view| view.synced == 1).await;
    assert_eq!(view.known.len(), 23);
    // Written between the list and the watch, which has not begun.
    put(store, "follow/00", "changed").await;
    store
        .delete(Delete::new(Keys::one("follow/01")))
        .await
        .unwrap();
    put(store, "follow/99", "new").await;
    view.read_until(&mut follow, |view| {
        view.known.contains_key(&b"follow/99"[..])
    })
    .await;
    assert_eq!(view.known.len(), 23);
    assert_eq!(view.known[&b"follow/00"[..]], "changed");
    assert!(view.swept.is_empty());
}

pub async fn lists_anew_after_compaction(store: &impl Store) {
    put(store, "relist/a", "1").await;
    put(store, "relist/b", "1").await;
    let mut follow = Follow::new(store.clone(), Keys::prefix("relist/"));
    let mut view = View::default();
    view.read_until(&mut follow, |view| view.synced == 1).await;
    // The watch has not begun, and what it would begin with is compacted.
    store
        .delete(Delete::new(Keys::one("relist/a")))
        .await
        .unwrap();
    let last = put(store, "relist/c", "1").await;
    store.compact(last).await.unwrap();
    view.read_until(&mut follow, |view| view.synced == 2).await;
    assert_eq!(view.swept, ["relist/a"]);
    let keys: Vec<&Bytes> = view.known.keys().collect();
    assert_eq!(keys, ["relist/b", "relist/c"]);
}
