//! `/healthz` for probes and `/metrics` for Prometheus.

use crate::node::{Command, answer};
use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
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

pub struct Server {
    listener: TcpListener,
}

impl Server {
    pub async fn bind(address: SocketAddr) -> Result<Server> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| {
            format!(
                "cannot listen on {address} for /healthz and /metrics: give --listen a free one"
            )
        })?;
        Ok(Server { listener })
    }

    #[cfg(test)]
    pub fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .expect("a bound socket has an address")
    }

    /// Answers until told to stop.
    pub async fn serve(
        self,
        commands: mpsc::Sender<Command>,
        stop: CancellationToken,
    ) -> Result<()> {
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
            let (commands, stop) = (commands.clone(), stop.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = timeout(CONNECTION_TIMEOUT, serve(stream, commands)) => {}
                }
                drop(permit);
            });
        }
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

async fn serve(stream: TcpStream, commands: mpsc::Sender<Command>) {
    let service = service_fn(|request| respond(request, &commands));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

async fn respond(
    request: Request<Incoming>,
    commands: &mpsc::Sender<Command>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(page(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".into()));
    }
    Ok(match request.uri().path() {
        "/healthz" => match answer(commands, Command::Alive).await {
            Some(_) => page(StatusCode::OK, "ok\n".into()),
            None => page(
                StatusCode::SERVICE_UNAVAILABLE,
                "the agent's loop does not answer\n".into(),
            ),
        },
        "/metrics" => match answer(commands, Command::Metrics).await {
            Some(text) => page(StatusCode::OK, text),
            None => page(
                StatusCode::SERVICE_UNAVAILABLE,
                "the agent's loop does not answer\n".into(),
            ),
        },
        _ => page(
            StatusCode::NOT_FOUND,
            "there are /healthz and /metrics\n".into(),
        ),
    })
}

fn page(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, TEXT_FORMAT.parse().expect("a header value"));
    response
}
