//! Questions to the agent of this node, and its answers.
//!
//! Deliberately blocking, one connection a question: the program waits for nothing else.

use anyhow::{Context, Result, bail};
use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};
use tombolo_model::local::{Reply, Request};

use crate::failure;

/// Loading programs anew takes the kernel's verifier seconds on a slow machine; all else takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection on which the agent tells one thing after another.
pub struct Stream {
    reader: BufReader<UnixStream>,
    socket: PathBuf,
    line: Vec<u8>,
}

/// Asks for one answer; a refusal by the agent is an error here.
pub fn ask(socket: &Path, request: &Request) -> Result<Reply> {
    let mut stream = Stream::open(socket, request, Some(TIMEOUT))?;
    match stream.next()? {
        Some(reply) => Ok(reply),
        None => Err(failure(
            format!(
                "the agent at {} hung up before it answered",
                socket.display()
            ),
            "see what its log says, and try again",
        )),
    }
}

/// Asks for answers without end.
pub fn follow(socket: &Path, request: &Request) -> Result<Stream> {
    Stream::open(socket, request, None)
}

/// The error to an answer that does not belong to the question.
pub fn unexpected(reply: &Reply) -> anyhow::Error {
    failure(
        format!("the agent gave an answer to another question: {reply:?}"),
        "is the agent of the same version? compare `tombolo version` with `tombolo status`",
    )
}

impl Stream {
    fn open(socket: &Path, request: &Request, timeout: Option<Duration>) -> Result<Stream> {
        let stream = UnixStream::connect(socket).map_err(|error| away(socket, &error))?;
        stream.set_read_timeout(timeout)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        (&stream)
            .write_all(&line)
            .with_context(|| format!("asking the agent at {}", socket.display()))?;
        Ok(Stream {
            reader: BufReader::new(stream),
            socket: socket.to_owned(),
            line: Vec::new(),
        })
    }

    /// The next answer; nothing when the agent has hung up.
    pub fn next(&mut self) -> Result<Option<Reply>> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line);
        let length = read.map_err(|error| silent(&self.socket, error))?;
        if length == 0 {
            return Ok(None);
        }
        match serde_json::from_slice(&self.line) {
            Ok(Reply::Error(failure)) => Err(failure.into()),
            Ok(reply) => Ok(Some(reply)),
            Err(_) => bail!(unknown(&self.line)),
        }
    }
}

fn away(socket: &Path, error: &io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "only root may ask the agent; try with sudo",
        _ => "start it with `tombolo agent`, or say where it listens with --socket",
    };
    failure(
        format!("no agent answers at {}: {error}", socket.display()),
        hint,
    )
}

fn silent(socket: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => failure(
            format!(
                "the agent at {} has not answered for {} s",
                socket.display(),
                TIMEOUT.as_secs()
            ),
            "see what its log says; if it hangs, restarting it loses no packets",
        ),
        _ => anyhow::Error::new(error)
            .context(format!("reading from the agent at {}", socket.display())),
    }
}

fn unknown(line: &[u8]) -> anyhow::Error {
    let text: String = String::from_utf8_lossy(line)
        .trim_end()
        .chars()
        .take(200)
        .collect();
    failure(
        format!("the agent's answer is not understood: {text}"),
        "is the agent of the same version? compare `tombolo version` with its log",
    )
}
