//! Looks at what a connection brings, and notes why it is of no use: what lies above it knows only that it has ended.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls;

use super::refusal::of_handshake;

#[cfg(test)]
mod tests;

/// Why a connection that was made is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The other side does not let us in.
    Denied(String, &'static str),
    /// What it says is not of the protocol.
    NotEtcd(&'static str),
}

/// Empty as long as the connection is as it should be.
pub type Note = Arc<OnceLock<Refusal>>;

#[derive(Debug)]
pub struct Noting<S> {
    stream: S,
    note: Note,
    begins: Vec<u8>,
    /// How often what is said was waited for after a write had failed.
    waited: usize,
}

impl<S> Noting<S> {
    pub fn new(stream: S, note: Note) -> Noting<S> {
        Noting {
            stream,
            note,
            begins: Vec::with_capacity(BEGINS),
            waited: 0,
        }
    }

    fn note(&self, error: &io::Error) {
        if is_judgement(error) {
            // The first one is the cause of what follows.
            let (problem, hint) = of_handshake(error);
            let _ = self.note.set(Refusal::Denied(problem, hint));
        }
    }

    fn look(&mut self, read: &[u8]) {
        if self.begins.len() < BEGINS {
            let more = BEGINS - self.begins.len();
            self.begins.extend(read.iter().take(more));
            if let Some(problem) = judge(&self.begins) {
                let _ = self.note.set(Refusal::NotEtcd(problem));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Noting<S> {
    /// After a write that failed: a server that judged us has said so before it closed the connection, and what it said
    /// may be on its way through the runtime still.
    fn settle<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let failed = matches!(written, Poll::Ready(Err(_)));
        if failed && self.read_last_words(context).is_pending() && self.waited < READS {
            self.waited += 1;
            return Poll::Pending;
        }
        written
    }

    fn read_last_words(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 1024];
        for _ in 0..READS {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.look(buffer.filled()),
                Poll::Ready(Ok(())) => break,
                Poll::Ready(Err(error)) => {
                    self.note(&error);
                    break;
                }
            }
        }
        Poll::Ready(())
    }
}

/// More than what a server says before it is answered.
const READS: usize = 16;

/// How many bytes tell what a server speaks: its first frame, whose kind is in the fourth, must be one of settings
/// (RFC 9113, 3.4).
const BEGINS: usize = 4;
const SETTINGS: u8 = 4;

fn judge(begins: &[u8]) -> Option<&'static str> {
    match begins {
        [_, _, _, SETTINGS] => None,
        b"HTTP" => Some("it speaks an older HTTP"),
        // An alert or a handshake.
        [21 | 22, 3, _, _] => Some("it wants TLS"),
        [_, _, _, _] => Some("it speaks of something else"),
        _ => None,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(())) => self.look(&buffer.filled()[before..]),
            Poll::Ready(Err(error)) => self.note(error),
            Poll::Pending => {}
        }
        read
    }
}

/// With TLS 1.3 a server judges our certificate only after we took the connection for made.
fn is_judgement(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.settle(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.settle(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.settle(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
