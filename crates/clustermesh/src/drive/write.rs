//! A writer meets its store.

use std::{pin::pin, sync::Mutex, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};
use tombolo_kvstore::{Error, Result, Store};

use super::{Connect, Wish, lock};
use crate::{
    kvstoremesh::Kvstoremesh,
    reader::Told,
    writer::{Answer, Ask, Writer},
};

const ANSWER_MAX: Duration = Duration::from_secs(25);
/// Keys that wait to be written, before those who tell of more have to wait.
const PENDING_MAX: usize = 20_000;

/// Who writes into a store.
pub trait Writing: Send {
    fn poll_ask(&mut self, now: Duration) -> Option<Ask>;
    fn answered(&mut self, answer: Answer, now: Duration);
    fn poll_timeout(&self) -> Option<Duration>;
    /// How often it has begun to be the one that writes.
    fn term(&self) -> u64;
}

/// Between those who tell a writer what is wanted and the writing.
#[derive(Debug, Default)]
pub struct Signals {
    /// There may be something to write.
    pub work: Notify,
    /// Something has been written, so there may be room for more.
    pub room: Notify,
    /// The term of the one that writes, whenever another has begun.
    pub term: watch::Sender<u64>,
}

/// Tells the copier what a peer's reader has learnt, no faster than it is written. The reader begins anew whenever the
/// copier begins to lead.
pub async fn copy(
    peer: &str,
    mut told: mpsc::Receiver<Vec<Told>>,
    mesh: &Mutex<Kvstoremesh>,
    signals: &Signals,
    wish: &watch::Sender<Wish>,
) {
    let mut term = signals.term.subscribe();
    loop {
        // Both arms are safe to cancel.
        let batch = tokio::select! {
            biased;
            Ok(()) = term.changed() => {
                wish.send_if_modified(|wish| {
                    let stays = *wish != Wish::Remove;
                    if stays {
                        *wish = Wish::Anew;
                    }
                    stays
                });
                continue;
            }
            batch = told.recv() => batch,
        };
        let Some(batch) = batch else { return };
        {
            let mut mesh = lock(mesh);
            batch.into_iter().for_each(|told| mesh.take(peer, told));
        }
        signals.work.notify_one();
        while lock(mesh).pending() >= PENDING_MAX {
            let mut room = pin!(signals.room.notified());
            room.as_mut().enable();
            if lock(mesh).pending() >= PENDING_MAX {
                room.await;
            }
        }
    }
}

/// Writes for ever.
pub async fn write<W: Writing, C: Connect>(
    writer: &Mutex<W>,
    start: Instant,
    connect: &C,
    signals: &Signals,
) {
    let mut store = None;
    loop {
        // What others have to tell at this moment goes with what is asked next.
        yield_now().await;
        let (ask, next, term) = {
            let mut writer = lock(writer);
            let ask = writer.poll_ask(start.elapsed());
            (ask, writer.poll_timeout(), writer.term())
        };
        signals
            .term
            .send_if_modified(|known| std::mem::replace(known, term) != term);
        if let Some(ask) = ask {
            let answer = answer(&mut store, connect, ask).await;
            lock(writer).answered(answer, start.elapsed());
            signals.room.notify_waiters();
            continue;
        }
        // Both arms are safe to cancel.
        tokio::select! {
            () = signals.work.notified() => {}
            () = sleep_until(start + next.unwrap_or(ANSWER_MAX)), if next.is_some() => {}
        }
    }
}

async fn answer<C: Connect>(store: &mut Option<C::Store>, connect: &C, ask: Ask) -> Answer {
    let operation = "writing";
    let answer = timeout(ANSWER_MAX, ask_store(store, connect, ask)).await;
    let after = ANSWER_MAX;
    let answer = answer.unwrap_or(Err(Error::Timeout { operation, after }));
    answer.unwrap_or_else(|error| {
        if !matches!(error, Error::LeaseNotFound { .. } | Error::TooLarge { .. }) {
            *store = None;
        }
        Answer::Failed(error)
    })
}

async fn ask_store<C: Connect>(
    store: &mut Option<C::Store>,
    connect: &C,
    ask: Ask,
) -> Result<Answer> {
    let store = match store {
        Some(store) => store,
        None => store.insert(connect.connect().await?),
    };
    Ok(match ask {
        Ask::Page { keys, from } => {
            let (page, next) = store.page(keys, from).await?;
            Answer::Page(page, next)
        }
        Ask::Transact(transaction) => {
            let answer = store.transact(transaction).await?;
            let (held, revision) = (answer.succeeded, answer.revision);
            Answer::Transacted { held, revision }
        }
        Ask::Grant(ttl) => Answer::Granted(store.grant(ttl).await?),
        Ask::Renew(lease) => {
            store.renew(lease).await?;
            Answer::Renewed
        }
    })
}

impl Writing for Writer {
    fn poll_ask(&mut self, now: Duration) -> Option<Ask> {
        Writer::poll_ask(self, now)
    }

    fn answered(&mut self, answer: Answer, now: Duration) {
        Writer::answered(self, answer, now);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        Writer::poll_timeout(self)
    }

    fn term(&self) -> u64 {
        Writer::term(self)
    }
}
