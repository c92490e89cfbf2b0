//! Connections that have ended when they are used again.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot, task::JoinSet};
use tombolo_kvstore::{Error, Etcd, EtcdConfig, Limits, Put, Server, Store, server::Config};

/// A server on a thread of its own: it comes and goes while its client's runtime does nothing.
struct Apart {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Apart {
    fn start(listen: SocketAddr) -> Apart {
        let (bound, address) = mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let config = Config {
            listen,
            tls: None,
            vouchers: None,
            access: None,
            name: "test".to_owned(),
            limits: Limits::default(),
        };
        let serve = async move {
            let server = Server::bind(config).await.unwrap();
            bound.send(server.address()).unwrap();
            // Without a farewell, as if its machine had been lost.
            tokio::select! {
                () = server.run(std::future::pending()) => {}
                end = ended => end.unwrap(),
            }
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let thread = thread::spawn(move || runtime.block_on(serve));
        let address = address.recv().unwrap();
        Apart {
            address,
            end,
            thread,
        }
    }

    fn end(self) {
        self.end.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn client(address: SocketAddr) -> Etcd {
    Etcd::new(EtcdConfig::new(vec![format!("http://{address}")], None)).unwrap()
}

#[tokio::test]
async fn whoever_asks_is_answered_by_the_server_that_is_there() {
    let mut server = Apart::start("127.0.0.1:0".parse().unwrap());
    let address = server.address;
    let store = client(address);
    for round in 0..10 {
        store.put(Put::new("a", "1")).await.unwrap();
        server.end();
        server = Apart::start(address);
        store.forget_cluster();
        let found = store.get(b"a").await;
        assert!(matches!(found, Ok(None)), "round {round}: {found:?}");
    }
    server.end();
}

/// Takes requests and ends their connection instead of answering.
async fn hang_up(listener: TcpListener, requests: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (came, mut comes) = tokio::sync::mpsc::channel(1);
        let requests = Arc::clone(&requests);
        let service = service_fn(move |_: hyper::Request<Incoming>| {
            requests.fetch_add(1, Ordering::Relaxed);
            came.try_send(()).unwrap_or_default();
            std::future::pending::<hyper::Result<hyper::Response<String>>>()
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            _ = comes.recv() => {}
        }
    }
}

#[tokio::test]
async fn what_may_have_arrived_is_repeated_only_if_it_changes_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = client(listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    tasks.spawn(hang_up(listener, Arc::clone(&requests)));
    let error = store.put(Put::new("a", "1")).await.unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error:?}");
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    let error = store.get(b"a").await.unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error:?}");
    let asked = requests.load(Ordering::Relaxed) - 1;
    assert!((2..=3).contains(&asked), "{asked}");
}
