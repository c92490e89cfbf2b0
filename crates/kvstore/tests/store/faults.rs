//! What goes wrong between a client and a server: certificates, another cluster, a slow reader.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::timeout,
};
use tombolo_kvstore::{
    Access, Error, Etcd, EtcdConfig, Keys, Limits, Put, Role, Server, Store, Watch, WatchSpec,
    server::Config,
};

use crate::{Embedded, certificates::Certificates, client, suite::put};

const PATIENCE: Duration = Duration::from_secs(20);

fn root_only(user: &str) -> Access {
    Access {
        users: [(user.to_owned(), "root".to_owned())].into(),
        roles: [("root".to_owned(), Role::Root)].into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_read_at_each_handshake() {
    let certificates = Certificates::make();
    let access = root_only("first");
    let server = Embedded::start(certificates.server(), Some(access)).await;
    let files = certificates.issue("first", "user");
    let before = client(&server.address, files.clone());
    put(&before, "a", "1").await;
    // The same files, with another user in them: the connection there is goes on, a new one is the new user's.
    certificates.issue("second", "user");
    put(&before, "a", "2").await;
    let after = client(&server.address, files);
    let error = after.put(Put::new("a", "3")).await.unwrap_err();
    assert!(matches!(error, Error::Denied), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_kept_out() {
    let ours = Certificates::make();
    let theirs = Certificates::make();
    let server = Embedded::start(ours.server(), None).await;
    let mut foreign = ours.of("root");
    let other = theirs.of("root");
    // Trusts the server, but its own certificate is another authority's.
    foreign.certificate = other.certificate.clone();
    foreign.key = other.key.clone();
    let error = client(&server.address, foreign)
        .get(b"a")
        .await
        .unwrap_err();
    let Error::Handshake { problem, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(problem.contains("does not trust the issuer"), "{problem}");
    // And one that does not trust the server.
    let error = client(&server.address, other).get(b"a").await.unwrap_err();
    let Error::Handshake { problem, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(problem.contains("not issued by the authority"), "{problem}");
    let mut missing = ours.of("root");
    missing.key = ours.folder.join("nowhere.key");
    let error = client(&server.address, missing)
        .get(b"a")
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("nowhere.key: the file cannot be read"),
        "{error}"
    );
    put(
        &client(&server.address, ours.of("root")),
        "a",
        "others go on",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_taken_away_end_watches() {
    let certificates = Certificates::make();
    let (sender, access) = watch::channel(Arc::new(root_only("root")));
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(certificates.server()),
        vouchers: None,
        access: Some(access),
        name: "test".to_owned(),
        limits: Limits::default(),
    };
    let server = Server::bind(config).await.unwrap();
    let (address, memory) = (server.address().to_string(), server.store());
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(std::future::pending()));
    let store = client(&address, certificates.of("root"));
    let mut watch = store
        .watch(WatchSpec::new(Keys::all(), None))
        .await
        .unwrap();
    put(&memory, "a", "1").await;
    timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    sender.send_replace(Arc::new(root_only("somebody else")));
    put(&memory, "a", "2").await;
    let error = timeout(PATIENCE, watch.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Denied), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_behind_the_address_is_noticed() {
    let certificates = Certificates::make();
    let (end, ended) = oneshot::channel::<()>();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(certificates.server()),
        vouchers: None,
        access: None,
        name: "test".to_owned(),
        limits: Limits::default(),
    };
    let server = Server::bind(config.clone()).await.unwrap();
    let address = server.address();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(async { ended.await.unwrap_or_default() }));
    let store = client(&address.to_string(), certificates.of("root"));
    put(&store, "a", "1").await;
    let mut watch = store
        .watch(WatchSpec::new(Keys::all(), None))
        .await
        .unwrap();
    end.send(()).unwrap();
    tasks.join_next().await.unwrap().unwrap();
    let error = timeout(PATIENCE, watch.next()).await.unwrap().unwrap_err();
    let Error::Broken { problem, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(problem, "it ended the connection");
    let listen = address;
    let again = Server::bind(Config { listen, ..config }).await.unwrap();
    tasks.spawn(again.run(std::future::pending()));
    let error = store.get(b"a").await.unwrap_err();
    assert!(matches!(error, Error::ClusterChanged { .. }), "{error:?}");
    assert!(error.wants_relist());
    store.forget_cluster();
    assert_eq!(store.get(b"a").await.unwrap(), None);
}

/// A reader that does not read costs no memory but the history, holds up nobody, and is told in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_watches_hold_up_nobody() {
    let certificates = Certificates::make();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(certificates.server()),
        vouchers: None,
        access: None,
        name: "test".to_owned(),
        limits: Limits {
            history_bytes_max: 4 << 20,
            ..Limits::default()
        },
    };
    let server = Server::bind(config).await.unwrap();
    let (address, memory) = (server.address().to_string(), server.store());
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(std::future::pending()));
    let slow = client(&address, certificates.of("slow"));
    let quick = client(&address, certificates.of("quick"));
    let all = || WatchSpec::new(Keys::all(), None);
    let mut asleep = slow.watch(all()).await.unwrap();
    let mut awake = quick.watch(all()).await.unwrap();
    // More than all windows and buffers on the way hold, and than the history does.
    let value = vec![0; 100_000];
    for number in 0..400 {
        memory.put(Put::new("a", &value)).await.unwrap();
        let batch = timeout(PATIENCE, awake.next()).await.unwrap().unwrap();
        assert_eq!(batch[0].record.version, number + 1);
        assert!(memory.with(|mvcc, _| mvcc.bytes().0) < 5 << 20);
    }
    let mut seen = 0;
    let error = loop {
        match timeout(PATIENCE, asleep.next()).await.unwrap() {
            Ok(batch) => {
                for change in batch {
                    seen += 1;
                    assert_eq!(
                        change.record.version, seen,
                        "nothing is left out before the end"
                    );
                }
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
    assert!(seen < 400);
}

#[test]
fn unusable_endpoints_are_refused() {
    let table = [
        (vec![], "there is none"),
        (vec!["localhost:2379"], "begin it with https://"),
        (vec!["ftp://localhost"], "begin it with https://"),
        (vec!["http://a b"], "write it as"),
        (vec!["https://localhost"], "needs certificates"),
    ];
    for (endpoints, expected) in table {
        let endpoints = endpoints.into_iter().map(str::to_owned).collect();
        let error = Etcd::new(EtcdConfig::new(endpoints, None)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
