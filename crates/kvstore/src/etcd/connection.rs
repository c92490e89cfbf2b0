//! The connection to one of the endpoints, made anew when it has broken.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use hyper::{Request, Response, Uri, body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tonic::body::Body;

use super::{
    EtcdConfig, Sender,
    noting::{Note, Noting, Refusal},
    refusal,
    single::{self, Messages},
};
use crate::{
    error::{Error, Result},
    tls::TlsFiles,
};

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

#[derive(Debug)]
pub struct Connections {
    config: EtcdConfig,
    endpoints: Vec<Endpoint>,
    /// Which one to try first: the next one after that which failed.
    first: AtomicUsize,
    live: Mutex<Option<Live>>,
    /// Why the connection that was made last was refused afterwards.
    note: Mutex<Note>,
    /// Whoever has it connects, for all who wait.
    connecting: Semaphore,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub secure: bool,
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Endpoint> {
        let wrong = |problem| Error::Endpoint {
            endpoint: text.to_owned(),
            problem,
        };
        let uri: Uri = text
            .parse()
            .map_err(|_| wrong("write it as https://name:port"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("begin it with https:// or http://")),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Endpoint {
            secure,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(2379),
        })
    }

    fn name(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[derive(Debug)]
struct Live {
    sender: Sender,
    name: String,
    /// Drives the connection; it ends with this.
    _driver: JoinSet<()>,
}

impl Connections {
    pub fn new(config: &EtcdConfig) -> Result<Connections> {
        let endpoints = config.endpoints.iter().map(|text| Endpoint::parse(text));
        let endpoints: Vec<Endpoint> = endpoints.collect::<Result<_>>()?;
        let wrong = |endpoint: &str, problem| Error::Endpoint {
            endpoint: endpoint.to_owned(),
            problem,
        };
        if endpoints.is_empty() {
            return Err(wrong("", "there is none: give at least one"));
        }
        if config.tls.is_none()
            && let Some(secure) = endpoints.iter().find(|endpoint| endpoint.secure)
        {
            return Err(wrong(&secure.name(), "https needs certificates"));
        }
        Ok(Connections {
            config: config.clone(),
            first: AtomicUsize::new(somewhere() % endpoints.len()),
            endpoints,
            live: Mutex::new(None),
            note: Mutex::default(),
            connecting: Semaphore::new(1),
        })
    }

    /// Where the present connection leads.
    pub fn endpoint(&self) -> Option<String> {
        self.lock().as_ref().map(|live| live.name.clone())
    }

    /// Why the present connection, or the last one, is of no use.
    pub fn refusal(&self) -> Option<Refusal> {
        let note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        note.get().cloned()
    }

    /// Looks at what a connection brings, instead of at what the last one brought.
    fn noting<S>(&self, stream: S) -> Noting<S> {
        let note = Note::default();
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Note::clone(&note);
        Noting::new(stream, note)
    }

    pub fn drop_connection(&self) {
        *self.lock() = None;
    }

    pub async fn get(&self) -> Result<Wire> {
        if let Some(wire) = self.present() {
            return Ok(wire);
        }
        let _permit = self.connecting.acquire().await;
        if let Some(wire) = self.present() {
            return Ok(wire);
        }
        let first = self.first.load(Ordering::Relaxed);
        let mut failed = None;
        for number in first..first + self.endpoints.len() {
            let endpoint = &self.endpoints[number % self.endpoints.len()];
            let after = self.config.connect_timeout;
            let outcome = timeout(after, self.connect(endpoint)).await;
            match outcome.unwrap_or(Err(Error::Timeout {
                operation: "connect",
                after,
            })) {
                Ok(live) => {
                    let wire = Wire::new(&live);
                    *self.lock() = Some(live);
                    return Ok(wire);
                }
                Err(error) => {
                    self.first.store(number + 1, Ordering::Relaxed);
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or(Error::Ended))
    }

    fn present(&self) -> Option<Wire> {
        let mut live = self.lock();
        if live.as_ref().is_some_and(|live| live.sender.is_closed()) {
            *live = None;
        }
        live.as_ref().map(Wire::new)
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Live> {
        let name = endpoint.name();
        let problem = |problem: String| Error::Connect {
            endpoint: name.clone(),
            problem,
        };
        let addresses = resolve(endpoint, &self.config.host_aliases)
            .await
            .map_err(|error| problem(error.to_string()))?;
        let stream = TcpStream::connect(&addresses[..])
            .await
            .map_err(|error| problem(error.to_string()))?;
        stream.set_nodelay(true).unwrap_or_default();
        match &self.config.tls {
            Some(files) if endpoint.secure => {
                let stream = secure(stream, endpoint, files).await?.map_err(|error| {
                    let (problem, hint) = refusal::of_handshake(&error);
                    let endpoint = name.clone();
                    Error::Handshake {
                        endpoint,
                        problem,
                        hint,
                    }
                })?;
                self.handshake(self.noting(stream), &name).await
            }
            _ => self.handshake(self.noting(stream), &name).await,
        }
    }

    async fn handshake(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        name: &str,
    ) -> Result<Live> {
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(self.config.keepalive_interval)
            .keep_alive_timeout(self.config.keepalive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|error| Error::Connect {
            endpoint: name.to_owned(),
            problem: error.to_string(),
        })?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Its end is seen by all who wait for answers.
            let _: hyper::Result<()> = connection.await;
        });
        Ok(Live {
            sender,
            name: name.to_owned(),
            _driver: driver,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clients should not all begin with the same endpoint.
fn somewhere() -> usize {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish() as usize >> 1
}

async fn resolve(
    endpoint: &Endpoint,
    aliases: &BTreeMap<String, Vec<IpAddr>>,
) -> std::io::Result<Vec<SocketAddr>> {
    if let Some(addresses) = aliases.get(&endpoint.host) {
        let with_port = |address: &IpAddr| SocketAddr::new(*address, endpoint.port);
        return Ok(addresses.iter().map(with_port).collect());
    }
    let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    Ok(found.collect())
}

/// The outer result is about our own certificates, the inner one about the peer.
async fn secure(
    stream: TcpStream,
    endpoint: &Endpoint,
    files: &TlsFiles,
) -> Result<std::io::Result<tokio_rustls::client::TlsStream<TcpStream>>> {
    let config = files.client()?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| Error::Endpoint {
        endpoint: endpoint.name(),
        problem: "its host is neither a name nor an address",
    })?;
    Ok(TlsConnector::from(config).connect(name, stream).await)
}

/// A handle to the connection, as tonic wants it.
#[derive(Clone, Debug)]
pub struct Wire {
    sender: Sender,
    name: Arc<str>,
    messages: Messages,
}

impl Wire {
    fn new(live: &Live) -> Wire {
        Wire {
            sender: live.sender.clone(),
            name: Arc::from(live.name.as_str()),
            messages: Messages::Many,
        }
    }

    pub fn carrying(self, messages: Messages) -> Wire {
        Wire { messages, ..self }
    }

    pub fn origin(&self) -> Uri {
        Uri::builder()
            .scheme("http")
            .authority(&*self.name)
            .path_and_query("/")
            .build()
            .unwrap_or_default()
    }
}

type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

impl tower_service::Service<Request<Body>> for Wire {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let request = match self.messages {
            Messages::One => request.map(single::body),
            Messages::Many => request,
        };
        Box::pin(self.sender.send_request(request))
    }
}
