//! The Watch service: one stream carries any number of watches.
//!
//! There is no queue between the store and the stream: changes are taken from the store when the stream has room.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::Arc,
    time::Duration,
};

use futures_util::Stream;
use prost::Message as _;
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

use super::{Service, dispatch::User};
use crate::{
    access::{Need, Right},
    error::Result,
    key::Keys,
    mvcc::{Delivery, WatchSpec, WatcherId},
    record::{Change, Revision},
    wire::{
        Event, WatchCreate, WatchRequest, WatchResponse, WatchVerb,
        status::{self, COMPACTED, DENIED},
    },
};

/// How often a watch that asked for it is told how far it is, while nothing happens.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// What clients take in one message, if they want larger ones in parts.
const FRAGMENT_BYTES_MAX: usize = 1 << 20;
/// The number of no watch.
const NO_WATCH: i64 = -1;

pub struct Session {
    service: Arc<Service>,
    user: User,
    requests: Streaming<WatchRequest>,
    watcher: WatcherId,
    watches: BTreeMap<i64, Watching>,
    next_id: i64,
    outbox: VecDeque<WatchResponse>,
    /// A client has asked how far its watches are.
    progress_wanted: bool,
    next_progress: Instant,
}

struct Watching {
    keys: Keys,
    fragment: bool,
    wants_progress: bool,
    /// Whether nothing was sent since the last time that progress was told.
    quiet: bool,
}

impl Session {
    pub fn new(service: Arc<Service>, user: User, requests: Streaming<WatchRequest>) -> Session {
        let watcher = service.memory.with(|mvcc, _| mvcc.add_watcher());
        Session {
            service,
            user,
            requests,
            watcher,
            watches: BTreeMap::new(),
            next_id: 0,
            outbox: VecDeque::new(),
            progress_wanted: false,
            next_progress: Instant::now() + PROGRESS_INTERVAL,
        }
    }

    pub fn into_stream(self) -> impl Stream<Item = Result<WatchResponse, Status>> + Send + 'static {
        futures_util::stream::unfold(self, |mut session| async move {
            let response = session.next().await?;
            Some((response, session))
        })
    }

    async fn next(&mut self) -> Option<Result<WatchResponse, Status>> {
        loop {
            if let Some(response) = self.outbox.pop_front() {
                return Some(Ok(response));
            }
            if self.progress_wanted
                && let Some(revision) = self
                    .service
                    .memory
                    .with(|mvcc, _| mvcc.progress(self.watcher))
            {
                self.progress_wanted = false;
                return Some(Ok(self.response(NO_WATCH, revision)));
            }
            let (service, watcher) = (&self.service, self.watcher);
            let delivery = poll_fn(|context| {
                service
                    .memory
                    .with(|mvcc, _| mvcc.poll_watcher(watcher, context))
            });
            // All arms are safe to cancel: what is not ready has taken nothing.
            tokio::select! {
                request = self.requests.message() => match request {
                    Ok(Some(request)) => self.handle(request),
                    Ok(None) | Err(_) => return None,
                },
                delivery = delivery => match delivery {
                    Ok(delivery) => self.deliver(delivery),
                    Err(error) => return Some(Err(status::from_error(&error))),
                },
                () = sleep_until(self.next_progress) => self.tell_progress(),
            }
        }
    }

    fn handle(&mut self, request: WatchRequest) {
        match request.verb {
            Some(WatchVerb::Create(create)) => self.create(create),
            Some(WatchVerb::Cancel(cancel)) => self.cancel(cancel.watch_id),
            Some(WatchVerb::Progress(_)) => self.progress_wanted = true,
            None => {}
        }
    }

    fn create(&mut self, create: WatchCreate) {
        let spec = WatchSpec::from(&create);
        let number = match create.watch_id {
            0 => self.unused(),
            number => number,
        };
        let watching = Watching {
            keys: spec.keys.clone(),
            fragment: create.fragment,
            wants_progress: create.progress_notify,
            quiet: true,
        };
        match self.begin(number, spec) {
            Ok(revision) => {
                self.watches.insert(number, watching);
                let response = WatchResponse {
                    created: true,
                    ..self.response(number, revision)
                };
                self.outbox.push_back(response);
            }
            Err(reason) => {
                let response = WatchResponse {
                    created: true,
                    canceled: true,
                    cancel_reason: reason,
                    ..self.present_response(NO_WATCH)
                };
                self.outbox.push_back(response);
            }
        }
    }

    /// Returns the revision after which the watch sees everything.
    fn begin(&self, number: i64, spec: WatchSpec) -> Result<Revision, String> {
        if self.watches.contains_key(&number) {
            return Err("mvcc: duplicate watch ID provided on the WatchStream".to_owned());
        }
        self.require(&spec.keys)
            .map_err(|_| format!("rpc error: code = PermissionDenied desc = {DENIED}"))?;
        let begun = self.service.memory.with(|mvcc, _| {
            mvcc.add_watch(self.watcher, number, spec)?;
            Ok(mvcc.revision())
        });
        begun.map_err(|error| status::from_error(&error).message().to_owned())
    }

    fn require(&self, keys: &Keys) -> Result<()> {
        let need = Need::Keys(keys.clone(), Right::Read);
        self.service.require(self.user.as_deref(), &need)
    }

    fn unused(&mut self) -> i64 {
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    /// Nothing is said to the end of a watch that is not there.
    fn cancel(&mut self, number: i64) {
        if self.watches.remove(&number).is_none() {
            return;
        }
        let watcher = self.watcher;
        self.service
            .memory
            .with(|mvcc, _| mvcc.remove_watch(watcher, number));
        let response = WatchResponse {
            canceled: true,
            ..self.present_response(number)
        };
        self.outbox.push_back(response);
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Changes { watch, changes } => self.deliver_changes(watch, changes),
            Delivery::Compacted { watch, oldest } => {
                self.watches.remove(&watch);
                let response = WatchResponse {
                    canceled: true,
                    compact_revision: oldest.0,
                    cancel_reason: COMPACTED.to_owned(),
                    ..self.present_response(watch)
                };
                self.outbox.push_back(response);
            }
        }
    }

    fn deliver_changes(&mut self, number: i64, changes: Vec<Change>) {
        let permitted = match self.watches.get(&number) {
            Some(watching) => self.require(&watching.keys).is_ok(),
            None => return,
        };
        // The user may have lost the right since the watch began.
        if !permitted {
            self.cancel(number);
            if let Some(last) = self.outbox.back_mut() {
                last.cancel_reason = DENIED.to_owned();
            }
            return;
        }
        let Some(watching) = self.watches.get_mut(&number) else {
            return;
        };
        watching.quiet = false;
        let fragment = watching.fragment;
        // Nothing is promised beyond what is in here.
        let last = changes.last().map(|change| change.record.modified);
        let part = || self.response(number, last.unwrap_or_default());
        let mut parts = vec![part()];
        let mut bytes = 0;
        for event in changes.into_iter().map(Event::from) {
            let size = event.encoded_len();
            if fragment && bytes > 0 && bytes + size > FRAGMENT_BYTES_MAX {
                parts.push(part());
                bytes = 0;
            }
            bytes += size;
            if let Some(part) = parts.last_mut() {
                part.events.push(event);
            }
        }
        let count = parts.len();
        for (number, part) in (1..).zip(&mut parts) {
            part.fragment = number < count;
        }
        self.outbox.extend(parts);
    }

    fn tell_progress(&mut self) {
        self.next_progress = Instant::now() + PROGRESS_INTERVAL;
        let mut told = Vec::new();
        for (number, watching) in &mut self.watches {
            let quiet = std::mem::replace(&mut watching.quiet, true);
            if !watching.wants_progress || !quiet {
                continue;
            }
            let watcher = self.watcher;
            let revision = self
                .service
                .memory
                .with(|mvcc, _| mvcc.progress_of(watcher, *number));
            told.extend(revision.map(|revision| (*number, revision)));
        }
        for (number, revision) in told {
            let response = self.response(number, revision);
            self.outbox.push_back(response);
        }
    }

    fn response(&self, number: i64, revision: Revision) -> WatchResponse {
        WatchResponse {
            header: self.service.header(revision),
            watch_id: number,
            ..WatchResponse::default()
        }
    }

    fn present_response(&self, number: i64) -> WatchResponse {
        WatchResponse {
            header: self.service.present_header(),
            watch_id: number,
            ..WatchResponse::default()
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let watcher = self.watcher;
        self.service
            .memory
            .with(|mvcc, _| mvcc.remove_watcher(watcher));
    }
}
