//! The local API: a JSON line asks, a JSON line answers, over a Unix socket that only root may use.

use crate::{
    kubernetes::Identifier,
    node::{Command, answer, ask},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::{fs::PermissionsExt as _, net::UnixListener as StdListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tombolo_model::local::{Failure, FailureCode, Reply, Request};

#[cfg(test)]
mod tests;

/// The longest question lists all attachments of a node, 4095 of less than 300 bytes.
const LINE_BYTES_MAX: u64 = 2 << 20;
const CONNECTIONS_MAX: usize = 64;
/// How long a caller may be silent, or not take its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bound socket. Its file goes with it.
pub struct Socket {
    listener: StdListener,
    path: PathBuf,
}

impl Socket {
    /// Binds the socket in place of a dead one. The caller holds the node's lock, so that nobody listens there.
    pub fn bind(path: &Path) -> Result<Socket> {
        let what = || {
            format!(
                "cannot listen on {}: give --socket a path in a folder that can be written to",
                path.display()
            )
        };
        if let Ok(metadata) = fs::symlink_metadata(path)
            && !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type())
        {
            bail!(
                "{} is there and is no socket: give --socket another path",
                path.display()
            );
        }
        // Nobody can connect before the permissions are set: the name comes last.
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let _ = fs::remove_file(&draft);
        let listener = StdListener::bind(&draft).with_context(what)?;
        let placed = fs::set_permissions(&draft, Permissions::from_mode(0o600))
            .and_then(|()| listener.set_nonblocking(true))
            .and_then(|()| fs::rename(&draft, path));
        if let Err(error) = placed {
            let _ = fs::remove_file(&draft);
            return Err(error).with_context(what);
        }
        Ok(Socket {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers until told to stop; then finishes what was begun. Pods of Kubernetes get their identities by `identifier`.
    pub async fn serve(
        self,
        commands: mpsc::Sender<Command>,
        identifier: Option<Identifier>,
        stop: CancellationToken,
    ) -> Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                // Out of descriptors for a moment; the listener stays good.
                Err(error) => {
                    tracing::warn!(%error, "a connection to the local API was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == 0 => {}
                peer => {
                    tracing::warn!(?peer, "only root may use the local API");
                    continue;
                }
            }
            let Ok(permit) = room.clone().try_acquire_owned() else {
                tracing::warn!("more than {CONNECTIONS_MAX} connections to the local API");
                continue;
            };
            let connection =
                Connection::new(stream, commands.clone(), identifier.clone(), stop.clone());
            connections.spawn(async move {
                if let Err(error) = connection.serve().await {
                    tracing::debug!(%error, "a caller of the local API is gone");
                }
                drop(permit);
            });
        }
        drop(self);
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    commands: mpsc::Sender<Command>,
    identifier: Option<Identifier>,
    stop: CancellationToken,
}

impl Connection {
    fn new(
        stream: UnixStream,
        commands: mpsc::Sender<Command>,
        identifier: Option<Identifier>,
        stop: CancellationToken,
    ) -> Connection {
        let (reader, writer) = stream.into_split();
        Connection {
            reader: BufReader::new(reader),
            writer,
            commands,
            identifier,
            stop,
        }
    }

    async fn serve(mut self) -> io::Result<()> {
        while let Some(line) = self.read_line().await? {
            let request = match serde_json::from_slice(&line) {
                Ok(request) => request,
                Err(error) => {
                    let message = format!("not a request: {error}");
                    self.write(&refusal(FailureCode::BadRequest, message))
                        .await?;
                    continue;
                }
            };
            if let Request::Monitor { allowed } = request {
                return self.monitor(allowed).await;
            }
            let request = match &self.identifier {
                Some(identifier) => identifier.complete(request).await,
                None => Ok(request),
            };
            let request = match request {
                Ok(request) => request,
                Err(failure) => {
                    self.write(&Reply::Error(failure)).await?;
                    continue;
                }
            };
            let reply = ask(&self.commands, request).await;
            let reply = reply.unwrap_or_else(|| {
                refusal(
                    FailureCode::Unavailable,
                    "the agent is busy or about to end".into(),
                )
            });
            self.write(&reply).await?;
        }
        Ok(())
    }

    /// Nothing at the end, or when the agent is told to stop.
    async fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
        let read = timeout(PATIENCE, limited.read_until(b'\n', &mut line));
        let read = tokio::select! {
            () = self.stop.cancelled() => return Ok(None),
            read = read => read,
        };
        match read {
            Err(_) => Ok(None),
            Ok(Err(error)) => Err(error),
            Ok(Ok(0)) => Ok(None),
            Ok(Ok(_)) if line.len() as u64 >= LINE_BYTES_MAX && !line.ends_with(b"\n") => {
                let message = format!("the request is longer than {LINE_BYTES_MAX} bytes");
                self.write(&refusal(FailureCode::BadRequest, message))
                    .await?;
                Ok(None)
            }
            Ok(Ok(_)) => Ok(Some(line)),
        }
    }

    async fn write(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        match timeout(PATIENCE, self.writer.write_all(&line)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn monitor(mut self, allowed: bool) -> io::Result<()> {
        let subscription = answer(&self.commands, |answer| Command::Monitor {
            allowed,
            answer,
        })
        .await;
        let mut flows = match subscription {
            Some(Ok(flows)) => flows,
            Some(Err(failure)) => return self.write(&Reply::Error(failure)).await,
            None => {
                return self
                    .write(&refusal(
                        FailureCode::Unavailable,
                        "the agent is busy or about to end".into(),
                    ))
                    .await;
            }
        };
        let mut byte = [0];
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                // Whatever comes or ends: the caller has had enough.
                _ = self.reader.read(&mut byte) => return Ok(()),
                reply = flows.recv() => match reply {
                    Some(reply) => self.write(&reply).await?,
                    None => return Ok(()),
                },
            }
        }
    }
}

fn refusal(code: FailureCode, message: String) -> Reply {
    Reply::Error(Failure {
        code,
        message,
        hint: String::new(),
    })
}
