//! An etcd in this process: the version 3 protocol over the store in memory.
//!
//! Deliberately alone and without a disk: there are no other members, and what it held is gone when it ends.

mod auth;
mod dispatch;
mod keys;
mod lease;
mod member;
mod watch;

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch::Receiver},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    access::Access,
    error::{Error, Result},
    memory::Memory,
    mvcc::Limits,
    record::Revision,
    tls::{TlsFiles, Vouchers, common_name},
    wire::Header,
};

/// Connections beyond wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 10_000;
const STREAMS_MAX: u32 = 10_000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that does not answer within both is gone.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long connections may take to end when the server does.
const GRACE: Duration = Duration::from_secs(1);
/// How late a lease may end.
const TICK: Duration = Duration::from_millis(200);
/// A pause after the kernel has refused a connection, which it does when it has no more descriptors.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// Without it, anyone who reaches the address is let in.
    pub tls: Option<TlsFiles>,
    /// Whom other authorities may vouch for; may change at any time.
    pub vouchers: Option<Receiver<Arc<Vouchers>>>,
    /// May change at any time; without it, whoever is let in may do everything.
    pub access: Option<Receiver<Arc<Access>>>,
    /// The name of the only member.
    pub name: String,
    pub limits: Limits,
}

/// Serves until `stop` is there.
pub async fn serve(config: Config, stop: impl Future<Output = ()>) -> Result<()> {
    Server::bind(config).await?.run(stop).await;
    Ok(())
}

#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Option<Tls>,
    service: Arc<Service>,
}

#[derive(Clone, Debug)]
struct Tls {
    files: TlsFiles,
    vouchers: Option<Receiver<Arc<Vouchers>>>,
}

impl Tls {
    /// What holds for a connection that is made now.
    fn config(&self) -> Result<Arc<ServerConfig>> {
        let vouchers = self.vouchers.as_ref();
        let now = vouchers.map(|vouchers| Arc::clone(&vouchers.borrow()));
        self.files.server(now.unwrap_or_default())
    }
}

/// What all connections share.
#[derive(Debug)]
struct Service {
    memory: Memory,
    start: Instant,
    access: Option<Receiver<Arc<Access>>>,
    name: String,
    address: SocketAddr,
    secure: bool,
    cluster_id: u64,
    member_id: u64,
}

impl Server {
    /// Fails at once where certificates are unusable or the address is taken.
    pub async fn bind(config: Config) -> Result<Server> {
        let address = config.listen;
        let vouchers = config.vouchers;
        let tls = config.tls.map(|files| Tls { files, vouchers });
        if let Some(tls) = &tls {
            tls.config()?;
        }
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // Another life of the store is another cluster: clients that know the revisions of the former one must see.
        let random = RandomState::new();
        let number = |salt: u8| {
            let mut hasher = random.build_hasher();
            hasher.write_u8(salt);
            hasher.finish() | 1
        };
        let service = Service {
            memory: Memory::new(config.limits, number(0)),
            start: Instant::now(),
            access: config.access,
            name: config.name,
            address,
            secure: tls.is_some(),
            cluster_id: number(1),
            member_id: number(2),
        };
        Ok(Server {
            listener,
            tls,
            service: Arc::new(service),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.service.address
    }

    /// The store that is served, for users within this process.
    pub fn store(&self) -> Memory {
        self.service.memory.clone()
    }

    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (ending, end) = tokio::sync::watch::channel(false);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                stream = self.accept(&room) => {
                    let (stream, permit) = stream;
                    let service = Arc::clone(&self.service);
                    let (tls, end) = (self.tls.clone(), end.clone());
                    connections.spawn(async move {
                        connection(stream, tls, service, end).await;
                        drop(permit);
                    });
                }
                Some(_) = connections.join_next() => {}
                () = self.service.keep_time() => {}
            }
        }
        drop(self.listener);
        ending.send_replace(true);
        let all = async { while connections.join_next().await.is_some() {} };
        // What has not ended by then is cut off as the set is dropped.
        timeout(GRACE, all).await.unwrap_or_default();
    }

    /// Safe to cancel: a permit that was got is given back, and a connection is not lost between two awaits.
    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
        let permit = Arc::clone(room).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, permit),
                Err(_) => sleep(REFUSED_PAUSE).await,
            }
        }
    }
}

/// Problems with one connection are its peer's to see; the others go on.
async fn connection(
    stream: TcpStream,
    tls: Option<Tls>,
    service: Arc<Service>,
    end: Receiver<bool>,
) {
    // A failure leaves small packets late, nothing more.
    stream.set_nodelay(true).unwrap_or_default();
    let Some(tls) = tls else {
        return requests(stream, None, service, end).await;
    };
    let Ok(config) = tls.config() else {
        return;
    };
    let handshake = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream));
    let Ok(Ok(stream)) = handshake.await else {
        return;
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let user = certificates
        .and_then(|chain| common_name(chain.first()?))
        .map(Arc::from);
    requests(stream, user, service, end).await;
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    user: Option<Arc<str>>,
    service: Arc<Service>,
    mut end: Receiver<bool>,
) {
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let (service, user) = (Arc::clone(&service), user.clone());
        async move { Ok::<_, std::convert::Infallible>(dispatch::answer(service, user, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        _ = &mut connection => true,
        _ = end.wait_for(|end| *end) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        // How it ends no longer matters to anyone.
        let _: hyper::Result<()> = connection.await;
    }
}

impl Service {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn keep_time(&self) {
        let next = self.memory.handle_timeout(self.now());
        let due = next.map_or(TICK, |next| next.saturating_sub(self.now()));
        sleep(due.clamp(Duration::from_millis(1), TICK)).await;
    }

    fn header(&self, revision: Revision) -> Option<Header> {
        Some(Header {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision: revision.0,
            raft_term: 2,
        })
    }

    /// For answers that did not come from the store.
    fn present_header(&self) -> Option<Header> {
        self.header(self.memory.with(|mvcc, _| mvcc.revision()))
    }
}
