//! One question to the agent of this node, and its answer.
//!
//! Deliberately one connection a question, and none that outlives it: a plugin lives for milliseconds.

use crate::error::Error;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};
use tombolo_model::local::{Reply, Request};

/// The agent answers in milliseconds; a runtime gives a plugin minutes.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest answer is the list of all endpoints of a node, 4095 of less than 2 KiB.
const REPLY_BYTES_MAX: u64 = 16 << 20;

/// A connection that has not been used yet.
pub struct Client {
    stream: UnixStream,
    socket: PathBuf,
}

impl Client {
    pub fn connect(socket: &Path) -> Result<Client, Error> {
        let away = |source| Error::AgentAway {
            socket: socket.to_owned(),
            source,
        };
        let stream = UnixStream::connect(socket).map_err(away)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(away)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(away)?;
        Ok(Client {
            stream,
            socket: socket.to_owned(),
        })
    }

    /// A refusal by the agent is an error here.
    pub fn ask(self, request: &Request) -> Result<Reply, Error> {
        let line = self.exchange(request).map_err(|source| Error::AgentAway {
            socket: self.socket.clone(),
            source,
        })?;
        match serde_json::from_slice(&line) {
            Ok(Reply::Error(failure)) => Err(Error::Refused(failure)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(unknown(&self.socket, &String::from_utf8_lossy(&line))),
        }
    }

    fn exchange(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        (&self.stream).write_all(&line)?;
        let mut answer = Vec::new();
        BufReader::new((&self.stream).take(REPLY_BYTES_MAX)).read_until(b'\n', &mut answer)?;
        if answer.ends_with(b"\n") {
            return Ok(answer);
        }
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the agent hung up before it answered",
        ))
    }
}

/// Connects and asks.
pub fn ask(socket: &Path, request: &Request) -> Result<Reply, Error> {
    Client::connect(socket)?.ask(request)
}

/// The error to an answer that does not belong to the question.
pub fn unexpected(socket: &Path, reply: &Reply) -> Error {
    unknown(
        socket,
        &serde_json::to_string(reply).expect("replies are JSON"),
    )
}

fn unknown(socket: &Path, reply: &str) -> Error {
    Error::UnknownReply {
        socket: socket.to_owned(),
        reply: reply.trim_end().chars().take(200).collect(),
    }
}
