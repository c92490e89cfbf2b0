//! One port at which balancers ask, in all families.

use super::Wanted;
use crate::limit::Limit;
use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::{convert::Infallible, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tombolo_linux::tcp;
use tombolo_model::service::Check;

/// From the first byte of the question to the last of the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
const HEADER_BYTES_MAX: usize = 16 << 10;
/// After a connection that the host could not take, for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// Where balancers read how many there are.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

pub struct Door(JoinSet<()>);

impl Door {
    /// To be called within a runtime.
    pub fn open(port: u16, wanted: &watch::Receiver<Wanted>, limit: &Limit) -> Result<Door> {
        let open = tcp::listen_everywhere(port)?;
        let mut tasks = JoinSet::new();
        for listener in open {
            let listener = TcpListener::from_std(listener).context("listening")?;
            tasks.spawn(serve(listener, port, wanted.clone(), limit.clone()));
        }
        Ok(Door(tasks))
    }

    /// Once it returns another one may open there.
    pub async fn close(mut self) {
        self.0.shutdown().await;
    }
}

async fn serve(listener: TcpListener, port: u16, wanted: watch::Receiver<Wanted>, limit: Limit) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, from)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let Some(admitted) = limit.admit(from.ip()) else {
            continue;
        };
        let wanted = wanted.clone();
        connections.spawn(async move {
            let _ = timeout(CONNECTION_TIMEOUT, answer(stream, port, &wanted)).await;
            drop(admitted);
        });
    }
}

/// One question, whatever it is.
async fn answer(stream: TcpStream, port: u16, wanted: &watch::Receiver<Wanted>) {
    let service = service_fn(|_| async {
        let response = say(wanted.borrow().get(&port));
        Ok::<_, Infallible>(response)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(port, %error, "a health check ended early");
    }
}

/// In the form of kube-proxy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    service: Named<'a>,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

#[derive(Serialize)]
struct Named<'a> {
    namespace: &'a str,
    name: &'a str,
}

fn say(check: Option<&Check>) -> Response<Full<Bytes>> {
    let endpoints = check.map_or(0, |check| check.endpoints);
    let text = check.map_or(String::new(), |check| {
        let said = Said {
            service: Named {
                namespace: &check.service.namespace,
                name: &check.service.name,
            },
            local_endpoints: endpoints,
            service_proxy_healthy: true,
        };
        let text = serde_json::to_string_pretty(&said);
        text.expect("words and numbers are JSON") + "\n"
    });
    let mut response = Response::new(Full::new(Bytes::from(text)));
    if endpoints == 0 {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(WEIGHT, HeaderValue::from(endpoints));
    response
}
