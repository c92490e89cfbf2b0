//! A few pages for probes, Prometheus and people, such as `/healthz` and `/metrics`.

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod tests;

const CONNECTIONS_MAX: usize = 32;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection is for a scrape or two, not for ever.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON_FORMAT: &str = "application/json";

pub struct Server {
    listener: TcpListener,
}

/// What a program shows.
pub trait Pages: Send + Sync + 'static {
    /// The paths there are, for who asks for another one.
    const PATHS: &'static str;

    fn page(&self, path: &str) -> impl Future<Output = Option<Answer>> + Send;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Text(String),
    Json(String),
    /// Asked for at the wrong time, with the reason.
    Unavailable(String),
}

impl Answer {
    pub fn json(value: &impl serde::Serialize) -> Answer {
        match serde_json::to_string_pretty(value) {
            Ok(text) => Answer::Json(text + "\n"),
            Err(error) => Answer::Unavailable(format!("it can't be written as JSON: {error}")),
        }
    }
}

impl Server {
    pub async fn bind(address: SocketAddr) -> Result<Server> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| {
            format!("cannot listen on {address} for probes and metrics: give it a free address")
        })?;
        Ok(Server { listener })
    }

    pub fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .expect("a bound socket has an address")
    }

    /// Answers until told to stop.
    pub async fn serve(self, pages: Arc<impl Pages>, stop: CancellationToken) -> Result<()> {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(permit) = room.clone().try_acquire_owned() else {
                continue;
            };
            let (pages, stop) = (Arc::clone(&pages), stop.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = timeout(CONNECTION_TIMEOUT, serve(stream, &*pages)) => {}
                }
                drop(permit);
            });
        }
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

async fn serve(stream: TcpStream, pages: &impl Pages) {
    let service = service_fn(|request| respond(request, pages));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

async fn respond<P: Pages>(
    request: Request<Incoming>,
    pages: &P,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(page(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT_FORMAT,
            "use GET\n".into(),
        ));
    }
    Ok(match pages.page(request.uri().path()).await {
        Some(Answer::Text(text)) => page(StatusCode::OK, TEXT_FORMAT, text),
        Some(Answer::Json(text)) => page(StatusCode::OK, JSON_FORMAT, text),
        Some(Answer::Unavailable(why)) => page(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT_FORMAT,
            format!("{why}\n"),
        ),
        None => page(
            StatusCode::NOT_FOUND,
            TEXT_FORMAT,
            format!("there are {}\n", P::PATHS),
        ),
    })
}

fn page(status: StatusCode, format: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(format));
    response
}
