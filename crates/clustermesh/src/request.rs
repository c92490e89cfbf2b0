//! What a reader asks of a peer's store and what comes back.

use bytes::Bytes;
use tombolo_kvstore::{Change, Keys, Page, PageEnd, Revision};

/// Ties answers to what was asked; answers to what nobody waits for any more are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub ticket: Ticket,
    pub ask: Ask,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Opens a connection, by whatever the peer's file says at this moment.
    Connect,
    Page {
        keys: Keys,
        from: Option<PageEnd>,
    },
    Watch {
        keys: Keys,
        since: Revision,
    },
    /// Nobody waits for the answer to this request any more, which is not to cost the store anything either.
    Leave,
    /// Ends the connection with all its watches.
    Close,
}

#[derive(Debug)]
pub enum Answer {
    Connected,
    Page(Page, Option<PageEnd>),
    Watching,
    Changes(Vec<Change>),
    Failed(tombolo_kvstore::Error),
}

pub(crate) fn prefix(text: &str) -> Keys {
    Keys::prefix(Bytes::copy_from_slice(text.as_bytes()))
}
