//! Answers questions for names, on the node's own address among its pods: what the node knows it says itself, all else the
//! cluster's name servers are asked.
//!
//! ```text
//!  pod ── socket programs ──► here ──► the loop: model::name
//!                               └────► the cluster's name servers, whatever is not known
//! ```
//! Decides nothing. Programs lead questions here only while these sockets are open and in the kernel's map; before and after they
//! go to the name servers by the service's own backends.

mod counts;
mod forward;
mod message;
mod resolve;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use resolve::Resolver;

use anyhow::{Context as _, Result};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tombolo_datapath::NameSockets;
use tombolo_model::service::Protocol;

/// Of a question; those of the field have less than a hundred bytes.
const QUESTION_BYTES_MAX: usize = 4096;
/// How long a connection may be without a question.
const IDLE: Duration = Duration::from_secs(10);
/// How long questions have for their answers when the agent ends.
const GRACE: Duration = Duration::from_millis(1500);
const POLL: Duration = Duration::from_millis(10);

/// The sockets of one family.
struct Door {
    ip: IpAddr,
    udp: Arc<UdpSocket>,
    tcp: Arc<TcpListener>,
}

pub struct NameServer {
    doors: Vec<Door>,
    resolver: Arc<Resolver>,
    sockets: NameSockets,
    ready: oneshot::Receiver<()>,
}

impl NameServer {
    /// `ready` is told when there is something to say. To be called within a runtime.
    pub async fn open(
        addresses: impl IntoIterator<Item = IpAddr>,
        resolver: Resolver,
        sockets: NameSockets,
        ready: oneshot::Receiver<()>,
    ) -> Result<NameServer> {
        let mut doors = Vec::new();
        for ip in addresses {
            let door = Door::open(ip).await;
            doors.push(door.with_context(|| format!("listening for names at {ip}"))?);
        }
        Ok(NameServer {
            doors,
            resolver: Arc::new(resolver),
            sockets,
            ready,
        })
    }

    /// Answers until told to stop; then whoever asks is led to the name servers, and who has asked gets an answer.
    pub async fn follow(self, stop: CancellationToken) -> Result<()> {
        let NameServer {
            doors,
            resolver,
            mut sockets,
            ready,
        } = self;
        // Those of an agent that was killed are closed; this one's are not there yet.
        sockets.clear()?;
        let mut tasks = JoinSet::new();
        for Door { udp, tcp, .. } in &doors {
            tasks.spawn(serve_udp(udp.clone(), resolver.clone()));
            tasks.spawn(serve_tcp(tcp.clone(), resolver.clone()));
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            told = ready => told.context("the loop has ended")?,
        }
        for Door { ip, udp, tcp } in &doors {
            sockets.lead(*ip, Protocol::Udp, udp)?;
            sockets.lead(*ip, Protocol::Tcp, tcp)?;
            resolver.counts.led(*ip);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Some(ended) = tasks.join_next() => return ended.context("a task of names")?,
        }
        sockets.clear()?;
        let rest = async {
            while resolver.limit.is_used() {
                sleep(POLL).await;
            }
        };
        // Whoever is cut off asks again, elsewhere.
        let _ = timeout(GRACE, rest).await;
        Ok(())
    }
}

impl Door {
    async fn open(ip: IpAddr) -> io::Result<Door> {
        Ok(Door {
            ip,
            udp: Arc::new(UdpSocket::bind((ip, 0)).await?),
            tcp: Arc::new(TcpListener::bind((ip, 0)).await?),
        })
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, resolver: Arc<Resolver>) -> Result<()> {
    let mut questions = JoinSet::new();
    let mut buffer = vec![0; QUESTION_BYTES_MAX];
    loop {
        // Both arms are safe to cancel: a datagram is taken whole or not at all.
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = questions.join_next() => continue,
        };
        let (length, from) = received.context("listening for questions")?;
        let Some(admitted) = resolver.admit(from.ip()) else {
            continue;
        };
        let question = buffer[..length].to_vec();
        let (socket, resolver) = (socket.clone(), resolver.clone());
        questions.spawn(async move {
            if let Some(answer) = resolver.answer(&question, Protocol::Udp).await {
                // Who has gone away needs no answer.
                let _ = socket.send_to(&answer, from).await;
            }
            drop(admitted);
        });
    }
}

async fn serve_tcp(listener: Arc<TcpListener>, resolver: Arc<Resolver>) -> Result<()> {
    let mut callers = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = callers.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a caller for names was not taken");
                sleep(POLL).await;
                continue;
            }
        };
        if let Some(admitted) = resolver.admit(from.ip()) {
            let resolver = resolver.clone();
            callers.spawn(async move {
                if let Err(error) = converse(stream, from, &resolver).await {
                    tracing::debug!(%from, %error, "a caller for names");
                }
                drop(admitted);
            });
        }
    }
}

/// One question after the other, until the caller has no more.
async fn converse(mut stream: TcpStream, from: SocketAddr, resolver: &Resolver) -> io::Result<()> {
    loop {
        let Ok(question) = timeout(IDLE, receive(&mut stream)).await else {
            return Ok(());
        };
        let Some(question) = question? else {
            return Ok(());
        };
        let Some(answer) = resolver.answer(&question, Protocol::Tcp).await else {
            tracing::debug!(%from, "what it says is no question");
            return Ok(());
        };
        timeout(IDLE, send(&mut stream, &answer)).await??;
    }
}

/// A message in a stream begins with its length; nothing at the stream's end.
async fn receive(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

async fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut whole = length.to_be_bytes().to_vec();
    whole.extend_from_slice(message);
    stream.write_all(&whole).await
}
