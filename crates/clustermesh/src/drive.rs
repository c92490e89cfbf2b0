//! Readers and writers meet stores here: asks what they want asked, tells them the answers and the time.
//!
//! Decides nothing. Whoever runs these futures has the tasks; dropping one ends its connections.

mod write;

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tombolo_kvstore::{Change, Page, PageEnd, Result, Store, Watch, WatchSpec};

use crate::{
    Answer, Ask, Ids, Request, Ticket,
    ids::Parted,
    reader::{Reader, Told},
};

pub use write::{Signals, Writing, copy, write};

/// Opens connections to a peer's store, each by what its file and certificates say at that moment.
pub trait Connect: Send + Sync {
    type Store: Store;

    fn connect(&self) -> impl Future<Output = Result<Self::Store>> + Send;
}

/// Who reads a peer. The time is since a start that is the same for all calls.
pub trait Reading: Send {
    type Told: Send;

    fn poll_request(&mut self) -> Option<Request>;
    fn poll_told(&mut self) -> Option<Vec<Self::Told>>;
    /// False when nobody waits for this answer, nor for more of its kind.
    fn handle(&mut self, ticket: Ticket, answer: Answer, now: Duration, ids: &mut Ids) -> bool;
    fn poll_timeout(&self) -> Duration;
    fn handle_timeout(&mut self, now: Duration);
    /// Connects anew at once.
    fn restart(&mut self, now: Duration);
    fn remove(&mut self, now: Duration, ids: &mut Ids);
}

/// What readers of one process have in common.
#[derive(Debug)]
pub struct Shared {
    pub ids: Mutex<Ids>,
    pub start: Instant,
    /// Pages that are on their way.
    pages: AtomicUsize,
}

impl Shared {
    pub fn new(start: Instant) -> Shared {
        Shared {
            ids: Mutex::new(Ids::heard_later()),
            start,
            pages: AtomicUsize::new(0),
        }
    }

    /// Whether some reader waits for a page, and comes no further before it has it.
    pub fn is_listing(&self) -> bool {
        self.pages.load(Ordering::Relaxed) > 0
    }
}

/// Counts a page for as long as it is on its way.
struct Turning<'a>(&'a AtomicUsize);

impl Turning<'_> {
    fn begin(pages: &AtomicUsize) -> Turning<'_> {
        pages.fetch_add(1, Ordering::Relaxed);
        Turning(pages)
    }
}

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a reader shall go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Read,
    /// Connect anew: the peer's file has changed.
    Anew,
    /// Void all that was told, and end.
    Remove,
}

/// Reads until the peer is to be removed, or nobody listens.
pub async fn read<R: Reading, C: Connect>(
    reader: &Mutex<R>,
    shared: &Shared,
    connect: &C,
    mut wish: watch::Receiver<Wish>,
    out: mpsc::Sender<Vec<R::Told>>,
) {
    let mut flights: FuturesUnordered<Flight<'_, C::Store>> = FuturesUnordered::new();
    let mut store = None;
    let mut parted = Parted::new();
    let mut alarm = pin!(sleep_until(shared.start));
    loop {
        let (requests, told, timeout) = {
            let mut reader = lock(reader);
            let requests: Vec<_> = std::iter::from_fn(|| reader.poll_request()).collect();
            let told = all_told(&mut *reader);
            (requests, told, reader.poll_timeout())
        };
        for Request { ticket, ask } in requests {
            match ask {
                Ask::Connect => flights.push(Flight::new(ticket, async move {
                    Landed::Connected(ticket, connect.connect().await)
                })),
                Ask::Leave => {
                    let all = std::mem::take(&mut flights).into_iter();
                    flights = all.filter(|flight| flight.ticket != ticket).collect();
                }
                Ask::Close => {
                    flights.clear();
                    store = None;
                }
                ask => flights.extend(
                    store
                        .clone()
                        .map(|store| fly(store, ticket, ask, &shared.pages)),
                ),
            }
        }
        // The channel is short: who is slow to listen slows the reading, not the growth of memory.
        if !told.is_empty() && out.send(told).await.is_err() {
            return lock(&shared.ids).free(parted);
        }
        free(&mut parted, &out, shared).await;
        // It is seldom another one, and to set it costs more than to look.
        if alarm.deadline() != shared.start + timeout {
            alarm.as_mut().reset(shared.start + timeout);
        }
        // All arms are safe to cancel: what flies goes on flying.
        tokio::select! {
            biased;
            changed = wish.changed() => {
                let now = shared.start.elapsed();
                if changed.is_err() {
                    return;
                }
                let wished = *wish.borrow_and_update();
                match wished {
                    Wish::Read => {}
                    Wish::Anew => lock(reader).restart(now),
                    Wish::Remove => {
                        let told = {
                            let (mut reader, mut ids) = (lock(reader), lock(&shared.ids));
                            reader.remove(now, &mut ids);
                            parted.extend(ids.take_parted());
                            all_told(&mut *reader)
                        };
                        // Nobody to tell is nobody to mislead.
                        let _ = out.send(told).await;
                        return free(&mut parted, &out, shared).await;
                    }
                }
            }
            Some(landed) = flights.next(), if !flights.is_empty() => {
                let (ticket, answer, watch) = unpack(landed, &mut store);
                let now = shared.start.elapsed();
                let wanted = {
                    let (mut reader, mut ids) = (lock(reader), lock(&shared.ids));
                    let wanted = reader.handle(ticket, answer, now, &mut ids);
                    parted.extend(ids.take_parted());
                    wanted
                };
                if let (Some(watch), true) = (watch, wanted) {
                    flights.push(Flight::new(ticket, follow(watch, ticket)));
                }
            }
            () = &mut alarm => {
                lock(reader).handle_timeout(shared.start.elapsed());
            }
        }
    }
}

/// Lets others have numbers that were given back, once it was heard that they were: whoever has them next is heard by a
/// way of its own, and must not be heard before.
async fn free<T>(parted: &mut Parted, out: &mpsc::Sender<Vec<T>>, shared: &Shared) {
    if parted.is_empty() {
        return;
    }
    // The listener comes for this one when it has worked off all that it took before. If it has gone, nobody is misled.
    let _ = out.send(Vec::new()).await;
    drop(out.reserve_many(out.max_capacity()).await);
    lock(&shared.ids).free(std::mem::take(parted));
}

fn all_told<R: Reading>(reader: &mut R) -> Vec<R::Told> {
    let told = std::iter::from_fn(|| reader.poll_told());
    told.flatten().collect()
}

/// A request under way. Who drops it ends it, a watch with all that was to come.
struct Flight<'a, S: Store> {
    ticket: Ticket,
    landing: BoxFuture<'a, Landed<S>>,
}

impl<'a, S: Store> Flight<'a, S> {
    fn new(ticket: Ticket, landing: impl Future<Output = Landed<S>> + Send + 'a) -> Flight<'a, S> {
        let landing = Box::pin(landing);
        Flight { ticket, landing }
    }
}

impl<S: Store> Future for Flight<'_, S> {
    type Output = Landed<S>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landed<S>> {
        self.landing.as_mut().poll(context)
    }
}

enum Landed<S: Store> {
    Connected(Ticket, Result<S>),
    Page(Ticket, Result<(Page, Option<PageEnd>)>),
    Watching(Ticket, Result<Box<S::Watch>>),
    /// The watch goes from hand to hand with each batch, and is large.
    Changes(Ticket, Box<S::Watch>, Result<Vec<Change>>),
}

fn fly<S: Store>(store: S, ticket: Ticket, ask: Ask, pages: &AtomicUsize) -> Flight<'_, S> {
    Flight::new(ticket, async move {
        match ask {
            Ask::Watch { keys, since } => {
                let spec = WatchSpec::new(keys, Some(since));
                Landed::Watching(ticket, store.watch(spec).await.map(Box::new))
            }
            Ask::Page { keys, from } => {
                let _turning = Turning::begin(pages);
                Landed::Page(ticket, store.page(keys, from).await)
            }
            Ask::Connect | Ask::Leave | Ask::Close => unreachable!("{ask:?} needs no store"),
        }
    })
}

/// The answer, and the watch that goes on.
fn unpack<S: Store>(
    landed: Landed<S>,
    store: &mut Option<S>,
) -> (Ticket, Answer, Option<Box<S::Watch>>) {
    match landed {
        Landed::Connected(ticket, Ok(connected)) => {
            *store = Some(connected);
            (ticket, Answer::Connected, None)
        }
        Landed::Page(ticket, Ok((page, next))) => (ticket, Answer::Page(page, next), None),
        Landed::Watching(ticket, Ok(watch)) => (ticket, Answer::Watching, Some(watch)),
        Landed::Changes(ticket, watch, Ok(changes)) => {
            (ticket, Answer::Changes(changes), Some(watch))
        }
        Landed::Connected(ticket, Err(error))
        | Landed::Page(ticket, Err(error))
        | Landed::Watching(ticket, Err(error))
        | Landed::Changes(ticket, _, Err(error)) => (ticket, Answer::Failed(error), None),
    }
}

async fn follow<S: Store<Watch = W>, W: Watch>(mut watch: Box<W>, ticket: Ticket) -> Landed<S> {
    let changes = watch.next().await;
    Landed::Changes(ticket, watch, changes)
}

impl Reading for Reader {
    type Told = Told;

    fn poll_request(&mut self) -> Option<Request> {
        Reader::poll_request(self)
    }

    fn poll_told(&mut self) -> Option<Vec<Told>> {
        Reader::poll_told(self).map(|told| vec![told])
    }

    fn handle(&mut self, ticket: Ticket, answer: Answer, now: Duration, ids: &mut Ids) -> bool {
        Reader::handle(self, ticket, answer, now, ids)
    }

    fn poll_timeout(&self) -> Duration {
        Reader::poll_timeout(self)
    }

    fn handle_timeout(&mut self, now: Duration) {
        Reader::handle_timeout(self, now);
    }

    fn restart(&mut self, now: Duration) {
        Reader::restart(self, now);
    }

    fn remove(&mut self, now: Duration, ids: &mut Ids) {
        Reader::remove(self, now, ids);
    }
}

/// What is behind these locks is a value: a panic within ends the process, and leaves nothing half done to see.
pub(crate) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
