//! What is under a prefix, as one stream of events: the list, then the changes, and the list again when it must be.

use std::time::Duration;

use bytes::Bytes;
use tombolo_model::event::Event;

use crate::{
    error::Result,
    key::Keys,
    mvcc::WatchSpec,
    record::{Record, Revision},
    store::{PageEnd, Store, Watch as _},
};

/// Follows keys for as long as it is kept. After an error it begins anew when it is asked again; how long to wait
/// before is the caller's choice, and `PAUSE_MIN` the least that makes sense.
pub struct Follow<S: Store> {
    store: S,
    keys: Keys,
    state: State<S>,
}

/// Between the end of a watch and the next list.
pub const PAUSE_MIN: Duration = Duration::from_millis(50);

enum State<S: Store> {
    Start,
    List {
        from: PageEnd,
    },
    /// The list is complete, as of this revision; the watch has yet to begin.
    Listed(Revision),
    Watch(S::Watch, Revision),
    /// The watch has ended, which is no reason to list again.
    Resume(Revision),
}

/// Events with the revision of the store that they bring the reader to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub events: Vec<Event<Bytes, Record>>,
    pub revision: Revision,
}

impl<S: Store> Follow<S> {
    pub fn new(store: S, keys: Keys) -> Follow<S> {
        Follow {
            store,
            keys,
            state: State::Start,
        }
    }

    /// Waits for the next events. Safe to cancel.
    pub async fn next(&mut self) -> Result<Batch> {
        loop {
            let outcome = match &mut self.state {
                State::Start => self.list(None).await,
                State::List { from } => {
                    let from = from.clone();
                    self.list(Some(from)).await
                }
                State::Listed(revision) | State::Resume(revision) => {
                    let revision = *revision;
                    let spec = WatchSpec::new(self.keys.clone(), Some(revision.next()));
                    let watch = self.store.watch(spec).await;
                    watch.map(|watch| {
                        self.state = State::Watch(watch, revision);
                        None
                    })
                }
                State::Watch(..) => self.changes().await.map(Some),
            };
            match outcome {
                Ok(Some(batch)) => return Ok(batch),
                Ok(None) => {}
                Err(error) => {
                    self.state = match &self.state {
                        _ if error.wants_relist() => State::Start,
                        State::Watch(_, revision)
                        | State::Listed(revision)
                        | State::Resume(revision) => State::Resume(*revision),
                        State::Start | State::List { .. } => State::Start,
                    };
                    return Err(error);
                }
            }
        }
    }

    async fn list(&mut self, from: Option<PageEnd>) -> Result<Option<Batch>> {
        let mut events = Vec::new();
        if from.is_none() {
            events.push(Event::Restart);
        }
        let revision = from.as_ref().map(|from| from.revision);
        let (page, next) = self.store.page(self.keys.clone(), from).await?;
        let revision = revision.unwrap_or(page.revision);
        for record in page.records {
            events.push(Event::Upsert(record.key.clone(), record));
        }
        self.state = match next {
            Some(from) => State::List { from },
            None => {
                events.push(Event::Synced);
                State::Listed(revision)
            }
        };
        Ok(Some(Batch { events, revision }))
    }

    async fn changes(&mut self) -> Result<Batch> {
        let State::Watch(watch, reached) = &mut self.state else {
            unreachable!("only asked while there is a watch");
        };
        let changes = watch.next().await?;
        let revision = changes.last().map(|change| change.record.modified);
        let revision = revision.unwrap_or(*reached);
        *reached = revision;
        let events = changes.into_iter().map(|change| {
            let record = change.record;
            match record.is_deletion() {
                true => Event::Delete(record.key),
                false => Event::Upsert(record.key.clone(), record),
            }
        });
        Ok(Batch {
            events: events.collect(),
            revision,
        })
    }
}
