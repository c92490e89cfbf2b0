//! All objects of a selection, and from there on every change of them.
//!
//! ```text
//!          ┌──────── a page, then the next ────────┐
//!          ▼                                       │
//!  Restart: list ──── the last page: Synced ──► follow ──► a line: Upsert, Delete, bookmark
//!          ▲                                       │
//!          └── the version is too old (410) ◄──────┴── the stream ends: follow from the last version
//! ```
//!
//! As long as the server keeps the past that is asked for, a connection that breaks costs no new list.

use std::{collections::VecDeque, future::Future, pin::Pin, time::Duration};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use kube::core::Request;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tombolo_model::event::Event;

use super::{
    ANSWER_TIMEOUT, Client, Error, Item, ObjectName, Selection, Subject, Verb,
    pause::{Pause, fraction},
    request::{Page, built, subject},
};
use crate::{Reject, object::shorten, watch::LINE_LEN_MAX};

/// The server ends a stream after this, and a part of it more, so that not all begin anew at one time.
const STREAM_SECONDS: u32 = 240;
/// Bookmarks come about once a minute; when they don't, the connection is dead without our being told.
const SILENCE_MAX: Duration = Duration::from_secs(130);
/// A stream that ends sooner was of no use, and its like is not asked for at once.
const STREAM_MIN: Duration = Duration::from_secs(1);

/// Never ends: who has had enough drops it. Bounded by a page of objects.
pub struct Watch {
    client: Client,
    selection: Selection,
    state: State,
    ready: VecDeque<Change>,
    pause: Pause,
    not_before: Option<Instant>,
    /// The last attempt failed, and whoever asks knows it.
    failed: bool,
}

/// An object that can't be taken rejects only itself.
pub type Change = Result<Event<ObjectName, Item>, Reject>;

/// What is under way is kept here and not in the calls, which may be dropped and made again as often as one likes.
enum State {
    List {
        continue_token: Option<String>,
        asked: Option<Asked<Page>>,
    },
    Follow {
        version: String,
        asked: Option<Asked<Stream>>,
        stream: Option<Stream>,
    },
}

type Asked<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

struct Stream {
    lines: Pin<Box<dyn AsyncBufRead + Send>>,
    line: Vec<u8>,
    since: Instant,
    heard: Instant,
}

impl State {
    fn anew() -> State {
        State::List {
            continue_token: None,
            asked: None,
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    event: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

impl Client {
    pub fn watch(&self, selection: Selection) -> Watch {
        Watch {
            client: self.clone(),
            selection,
            state: State::anew(),
            ready: VecDeque::new(),
            pause: Pause::default(),
            not_before: None,
            failed: false,
        }
    }
}

impl Watch {
    /// The next change; none when after an error the server answers again and nothing has changed meanwhile. After an
    /// error, the next call waits a while and goes on: nothing is lost by calling again, and nothing by dropping the call.
    pub async fn next(&mut self) -> Result<Option<Change>, Error> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            if let Some(instant) = self.not_before {
                sleep_until(instant).await;
                self.not_before = None;
            }
            let gone_on = match self.state {
                State::List { .. } => self.list().await,
                State::Follow { .. } => self.follow().await,
            };
            match gone_on {
                Ok(()) if self.failed => {
                    self.failed = false;
                    return Ok(self.ready.pop_front());
                }
                Ok(()) => {}
                Err(Error::Gone { .. }) => {
                    self.not_before = Some(Instant::now() + self.pause.next());
                    self.state = State::anew();
                }
                Err(error) => {
                    self.not_before = Some(Instant::now() + self.pause.next());
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }

    async fn list(&mut self) -> Result<(), Error> {
        let State::List {
            continue_token,
            asked,
        } = &mut self.state
        else {
            unreachable!("only called while listing");
        };
        let page = asked.get_or_insert_with(|| {
            let (client, selection) = (self.client.clone(), self.selection.clone());
            let token = continue_token.clone();
            Box::pin(async move { client.page(&selection, token.as_deref()).await })
        });
        let page = page.await;
        *asked = None;
        let page = page?;
        if continue_token.is_none() {
            self.ready.push_back(Ok(Event::Restart));
        }
        let upserts = page.items.into_iter().map(upsert);
        self.ready.extend(upserts.map(Ok));
        self.ready.extend(page.rejects.into_iter().map(Err));
        if page.continue_token.is_some() {
            *continue_token = page.continue_token;
        } else {
            self.ready.push_back(Ok(Event::Synced));
            self.state = State::Follow {
                version: page.version,
                asked: None,
                stream: None,
            };
        }
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), Error> {
        let State::Follow {
            version,
            asked,
            stream,
        } = &mut self.state
        else {
            unreachable!("only called while following");
        };
        let subject = subject(Verb::Watch, self.selection.api, self.selection.name());
        let Some(open) = stream else {
            let opened = asked.get_or_insert_with(|| {
                let (client, selection) = (self.client.clone(), self.selection.clone());
                let (subject, version) = (subject.clone(), version.clone());
                Box::pin(async move { open(&client, &selection, &subject, &version).await })
            });
            let opened = opened.await;
            *asked = None;
            *stream = Some(opened?);
            return Ok(());
        };
        match open.next_line().await {
            Ok(true) => {
                let took = take(&open.line, &subject, version);
                open.line.clear();
                if let Some(change) = took.inspect_err(|_| *stream = None)? {
                    self.ready.push_back(change);
                }
                self.pause.reset();
            }
            // It ended in its time, or broke off: both are mended by another one.
            Ok(false) | Err(_) => {
                if open.since.elapsed() < STREAM_MIN {
                    self.not_before = Some(Instant::now() + self.pause.next());
                }
                *stream = None;
            }
        }
        Ok(())
    }
}

async fn open(
    client: &Client,
    selection: &Selection,
    subject: &Subject,
    version: &str,
) -> Result<Stream, Error> {
    let seconds = f64::from(STREAM_SECONDS) * (1.0 + fraction() / 4.0);
    let request = Request::new(selection.path()).watch(&selection.watch(seconds as u32), version);
    let request = built(subject, request)?;
    let asked = timeout(ANSWER_TIMEOUT, client.inner.request_stream(request)).await;
    let lines = asked
        .map_err(|_| client.silent(ANSWER_TIMEOUT))?
        .map_err(|error| Error::new(client, subject, error))?;
    let now = Instant::now();
    Ok(Stream {
        lines: Box::pin(lines),
        line: Vec::new(),
        since: now,
        heard: now,
    })
}

impl Stream {
    /// Reads on to the end of a line, which is then in `line`. False at the end of the stream. What is read of a line
    /// when the call is dropped stays for the next one.
    async fn next_line(&mut self) -> Result<bool, String> {
        loop {
            let read = timeout_at(self.heard + SILENCE_MAX, self.lines.fill_buf()).await;
            let read = read.map_err(|_| format!("nothing came for {} s", SILENCE_MAX.as_secs()))?;
            self.heard = Instant::now();
            let bytes = read.map_err(|error| error.to_string())?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            self.line.extend_from_slice(&bytes[..taken]);
            self.lines.as_mut().consume(taken);
            if self.line.len() > LINE_LEN_MAX {
                return Err(format!("a line has more than {LINE_LEN_MAX} bytes"));
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

/// What a line of a stream says. The version to go on from moves along with it.
fn take(line: &[u8], subject: &Subject, version: &mut String) -> Result<Option<Change>, Error> {
    let unreadable = |reason: String| Error::Answer {
        subject: Box::new(subject.clone()),
        reason,
    };
    let line: Line<'_> =
        serde_json::from_slice(line).map_err(|error| unreadable(error.to_string()))?;
    if line.event == "ERROR" {
        let status: Status = serde_json::from_str(line.object.get()).unwrap_or_default();
        return Err(match status.code {
            410 => Error::Gone {
                subject: Box::new(subject.clone()),
            },
            code => Error::Server {
                subject: Box::new(subject.clone()),
                code,
                message: shorten(&status.message),
            },
        });
    }
    let item = match Item::new(subject.api.kind, line.object.to_owned()) {
        Ok(item) => item,
        Err(reject) => return Ok(Some(Err(reject))),
    };
    item.version().clone_into(version);
    Ok(match line.event {
        "ADDED" | "MODIFIED" => Some(Ok(upsert(item))),
        "DELETED" => Some(Ok(Event::Delete(item.name().clone()))),
        "BOOKMARK" => None,
        other => {
            return Err(unreadable(format!(
                "`{}` is no type of event",
                shorten(other)
            )));
        }
    })
}

fn upsert(item: Item) -> Event<ObjectName, Item> {
    Event::Upsert(item.name().clone(), item)
}
