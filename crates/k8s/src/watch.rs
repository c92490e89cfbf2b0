//! Watch events as Kubernetes streams them and `kubectl get --watch --output-watch-events -o json` prints them: one JSON
//! object a line.
//!
//! A stream has no place that says that all is told. A bookmark that ends the initial events does (a watch that was
//! asked for with `sendInitialEvents=true&allowWatchBookmarks=true`): it is `Synced` for its kind. Deliberately without
//! reading: whoever does it hands over line by line.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use tombolo_model::event::Event;

use crate::{
    Kind, Object, ObjectKey, Reject,
    object::{Fault, Head, InLine, Source, key, map, object, read_json, shorten},
};

/// Twice as much as Kubernetes lets an object have.
pub const LINE_LEN_MAX: usize = 4 << 20;
const END_OF_INITIAL_EVENTS: &str = "k8s.io/initial-events-end";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    Change(Kind, Event<ObjectKey, Object>),
    /// A bookmark that only tells of a version, or an object of a kind that nothing is told of.
    Ignored,
    /// The stream is at its end: whoever watches begins anew.
    Error {
        /// As in HTTP: 410 if the version that was asked for is too old.
        code: u16,
        message: String,
    },
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    event: &'a str,
    #[serde(deserialize_with = "map")]
    object: Head,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bookmark {
    metadata: BookmarkMeta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BookmarkMeta {
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

/// Reads the line of this number, which is without its end.
pub fn parse_line(number: u64, line: &[u8]) -> Result<WatchEvent, Reject> {
    let refuse = |key, fault| Reject::new(&format!("line {number}"), key, fault);
    let whole = |reason: String| refuse(None, Fault::new("", reason));
    if line.len() > LINE_LEN_MAX {
        return Err(whole(format!("it has more than {LINE_LEN_MAX} bytes")));
    }
    let source = InLine(line);
    let line: Line<'_> = read_json(line).map_err(|fault| refuse(None, fault))?;
    if line.event == "ERROR" {
        let Status { code, message } = source.read().map_err(|fault| refuse(None, fault))?;
        let message = shorten(&message);
        return Ok(WatchEvent::Error { code, message });
    }
    let head = line.object;
    let Some(kind) = head.kind() else {
        return Ok(WatchEvent::Ignored);
    };
    let event = match line.event {
        "BOOKMARK" => {
            let bookmark: Bookmark = source.read().map_err(|fault| refuse(None, fault))?;
            match bookmark.ends_initial_events() {
                true => Event::Synced,
                false => return Ok(WatchEvent::Ignored),
            }
        }
        "ADDED" | "MODIFIED" => {
            let key = key(kind, head).map_err(|fault| refuse(None, fault))?;
            match object(&key, &source) {
                Ok(object) => Event::Upsert(key, object),
                Err(fault) => return Err(refuse(Some(key), fault)),
            }
        }
        "DELETED" => Event::Delete(key(kind, head).map_err(|fault| refuse(None, fault))?),
        other => return Err(whole(format!("`{}` is no type of event", shorten(other)))),
    };
    Ok(WatchEvent::Change(kind, event))
}

impl Bookmark {
    fn ends_initial_events(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations
            .and_then(|annotations| annotations.get(END_OF_INITIAL_EVENTS))
            .is_some_and(|value| value == "true")
    }
}
