//! A request of one message says with the message that it is all: otherwise its end is a frame of its own, which is written,
//! encrypted and read apart.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Status, body::Body};

#[cfg(test)]
mod tests;

/// What a flag and a length take before each message.
const HEAD: usize = 5;

/// How many messages a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    One,
    Many,
}

/// The body of a request that has one message.
pub fn body(body: Body) -> Body {
    let left = None;
    Body::new(Single { body, left })
}

struct Single {
    body: Body,
    /// Bytes of the message that have not come yet, once its length is known.
    left: Option<usize>,
}

impl HttpBody for Single {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            let left = self.left.or_else(|| length(data));
            self.left = left.map(|left| left.saturating_sub(data.len()));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a message takes with its head, which tonic never cuts.
fn length(begin: &[u8]) -> Option<usize> {
    let head: [u8; HEAD] = begin.get(..HEAD)?.try_into().ok()?;
    let [_, length @ ..] = head;
    Some(HEAD + u32::from_be_bytes(length) as usize)
}
