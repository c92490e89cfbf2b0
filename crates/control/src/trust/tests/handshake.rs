//! Real connections with a real store: who is let in, and who is not.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::timeout};
use tombolo_kvstore::{
    Error, Etcd, EtcdConfig, Keys, Limits, Put, Query, Server, Store as _, TlsFiles, Vouchers,
    Watch as _, WatchSpec, server::Config,
};

use super::*;
use crate::certificates::{Owner, Users};

const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster with its authority, its secret and its folder.
struct Cluster {
    own: Own,
    authority: Authority,
    folder: PathBuf,
}

impl Cluster {
    fn make(name: &str, id: u16) -> Cluster {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tombolo-trust-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let authority = Authority::make(name).unwrap();
        let ca = authority.certificate.clone();
        let introduction = Introduction {
            ca,
            ..introduction(name, id)
        };
        let own = Own {
            introduction,
            secrets: vec![Secret::make().unwrap()],
        };
        Cluster {
            own,
            authority,
            folder,
        }
    }

    fn as_peer(&self) -> Peer {
        Peer {
            introduction: self.own.introduction.clone(),
            secrets: self.own.secrets.clone(),
            client: None,
        }
    }

    /// The files by which a client of this cluster reads the store of `server`.
    fn files(&self, server: &Cluster, owner: &Owner, keys: &[ProofKey]) -> TlsFiles {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let proofs = |key: &[u8]| keys.iter().map(|proof| proof.prove(key)).collect();
        let issued = self.authority.issue_with(owner, &[], proofs).unwrap();
        self.write(
            number,
            &server.own.introduction.ca,
            &issued.certificate,
            &issued.key,
        )
    }

    fn write(&self, number: u32, ca: &str, certificate: &str, key: &str) -> TlsFiles {
        let path = |ending| self.folder.join(format!("{number}.{ending}"));
        let files = TlsFiles {
            ca: path("ca"),
            certificate: path("crt"),
            key: path("key"),
        };
        fs::write(&files.ca, ca).unwrap();
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        files
    }

    /// As the operator makes them.
    fn proper_files(&self, server: &Cluster) -> TlsFiles {
        let keys = self.own.offered(&server.as_peer());
        let owner = Owner::Peer(self.own.introduction.name.clone());
        self.files(server, &owner, &keys)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

/// The store of a cluster, with what tells it whom to let in.
struct Running {
    address: String,
    vouchers: watch::Sender<Arc<Vouchers>>,
    _tasks: JoinSet<()>,
}

impl Running {
    /// Each peer may read, if it gets in.
    async fn start(cluster: &Cluster, peers: &[&Cluster]) -> Running {
        let owner = Owner::Server;
        let issued = cluster.authority.issue(&owner, &[]).unwrap();
        let ca = &cluster.own.introduction.ca;
        let tls = cluster.write(u32::MAX, ca, &issued.certificate, &issued.key);
        let mut users = Users::default();
        for peer in peers {
            users.permit(&format!("remote-{}", peer.own.introduction.name));
        }
        let access = users.access(&cluster.own.introduction.name);
        let (vouchers, receiver) = watch::channel(Arc::default());
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: Some(tls),
            vouchers: Some(receiver),
            access: Some(watch::channel(Arc::new(access)).1),
            name: "test".into(),
            limits: Limits::default(),
        };
        let server = Server::bind(config).await.unwrap();
        let address = server.address().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(std::future::pending()));
        let running = Running {
            address,
            vouchers,
            _tasks: tasks,
        };
        running.trust(cluster, peers);
        running
    }

    /// By way of the files, as in the real store.
    fn trust(&self, cluster: &Cluster, peers: &[&Cluster]) {
        for entry in fs::read_dir(&cluster.folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "trust") {
                fs::remove_file(path).unwrap();
            }
        }
        for peer in peers {
            let file = cluster.own.voucher(&peer.as_peer());
            fs::write(cluster.folder.join(file.name()), file.text()).unwrap();
        }
        let (vouchers, refused) = read_vouchers(&cluster.folder).unwrap();
        assert_eq!(refused, []);
        self.vouchers.send_replace(Arc::new(vouchers));
    }

    fn client(&self, files: TlsFiles) -> Etcd {
        let endpoint = format!("https://{}", self.address);
        Etcd::new(EtcdConfig::new(vec![endpoint], Some(files))).unwrap()
    }

    async fn read(&self, files: TlsFiles) -> Result<(), Error> {
        let query = Query::new(Keys::prefix("cilium/state/"));
        let client = self.client(files);
        let answer = timeout(PATIENCE, client.query(query));
        answer.await.expect("an answer").map(|_| ())
    }
}

fn remote(name: &str) -> Owner {
    Owner::Peer(name.into())
}

fn not_let_in(outcome: Result<(), Error>) {
    assert!(
        matches!(outcome, Err(Error::Handshake { .. })),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_reads_by_its_own_certificate_and_both_secrets() {
    let (a, b) = (Cluster::make("a", 1), Cluster::make("b", 2));
    let store = Running::start(&b, &[&a]).await;
    store.read(a.proper_files(&b)).await.unwrap();
    // It may read, and nothing else.
    let client = store.client(a.proper_files(&b));
    let written = client.put(Put::new("cilium/state/x", "1")).await;
    assert!(matches!(written, Err(Error::Denied)), "{written:?}");
    let query = Query::new(Keys::prefix("cilium/cache/"));
    let read = client.query(query).await;
    assert!(matches!(read, Err(Error::Denied)), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_missing_keeps_a_client_out() {
    let (a, b) = (Cluster::make("a", 1), Cluster::make("b", 2));
    let c = Cluster::make("c", 3);
    let store = Running::start(&b, &[&a, &c]).await;
    let keys = a.own.offered(&b.as_peer());
    // The right authority without a proof: who only has the authority's key.
    not_let_in(store.read(a.files(&b, &remote("a"), &[])).await);
    // The right proof of the wrong authority: who only has both secrets, as every other member of a full mesh.
    not_let_in(store.read(c.files(&b, &remote("a"), &keys)).await);
    // A proof for the other direction, and one for another pair.
    let back = b.own.offered(&a.as_peer());
    not_let_in(store.read(a.files(&b, &remote("a"), &back)).await);
    let other = a.own.offered(&c.as_peer());
    not_let_in(store.read(a.files(&b, &remote("a"), &other)).await);
    // A proof that was taken from another certificate of the same cluster.
    let proof = keys[0].prove(b"another public key");
    let stolen = a
        .authority
        .issue_with(&remote("a"), &[], |_| vec![proof])
        .unwrap();
    let ca = &b.own.introduction.ca;
    let files = a.write(0, ca, &stolen.certificate, &stolen.key);
    not_let_in(store.read(files).await);
    store.read(a.files(&b, &remote("a"), &keys)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_vouches_for_its_own_name_only() {
    let (a, b) = (Cluster::make("a", 1), Cluster::make("b", 2));
    let c = Cluster::make("c", 3);
    let store = Running::start(&b, &[&a, &c]).await;
    let keys = a.own.offered(&b.as_peer());
    let names = [
        remote("c"),
        remote("b"),
        remote("nobody"),
        Owner::Admin("b".into()),
        Owner::Admin("a".into()),
        Owner::Local("b".into()),
        Owner::Server,
    ];
    for name in names {
        let outcome = store.read(a.files(&b, &name, &keys)).await;
        assert!(outcome.is_err(), "{name:?} got in");
        not_let_in(outcome);
    }
    // Our own authority still vouches for whom it likes: this is upstream's way.
    store.read(b.files(&b, &remote("a"), &[])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_replaced_without_losing_the_connection() {
    let (mut a, b) = (Cluster::make("a", 1), Cluster::make("b", 2));
    let (old, new) = (a.own.secrets[0].clone(), Secret::make().unwrap());
    let store = Running::start(&b, &[&a]).await;
    let files = a.proper_files(&b);
    let client = store.client(files.clone());
    let watch = WatchSpec::new(Keys::prefix("cilium/state/"), None);
    let mut watch = client.watch(watch).await.unwrap();
    // a has both, and its peer still the old one: what a proves now is good there.
    a.own.secrets = vec![new.clone(), old];
    store.read(a.proper_files(&b)).await.unwrap();
    // The peer has taken the new one, and what was issued before is still in use.
    let fresh = Cluster {
        own: a.own.clone(),
        authority: Authority::read(a.authority.certificate.clone(), a.authority.key.clone())
            .unwrap(),
        folder: a.folder.join("fresh"),
    };
    store.trust(&b, &[&fresh]);
    store.read(files.clone()).await.unwrap();
    // The old one is gone on both sides.
    a.own.secrets = vec![new];
    store.trust(&b, &[&a]);
    not_let_in(store.read(files).await);
    store.read(a.proper_files(&b)).await.unwrap();
    // The connection from before all this is still there.
    let admin = store.client(b.files(&b, &Owner::Admin("b".into()), &[]));
    admin.put(Put::new("cilium/state/x", "1")).await.unwrap();
    timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_goes_is_not_let_in_again() {
    let (a, b) = (Cluster::make("a", 1), Cluster::make("b", 2));
    let store = Running::start(&b, &[&a]).await;
    store.read(a.proper_files(&b)).await.unwrap();
    store.trust(&b, &[]);
    not_let_in(store.read(a.proper_files(&b)).await);
}

/// Another server at the same address has no certificate of the authority that the introduction names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_the_peers_is_not_read() {
    let (a, b) = (Cluster::make("a", 1), Cluster::make("b", 2));
    let impostor = Cluster::make("b", 2);
    let store = Running::start(&impostor, &[&a]).await;
    not_let_in(store.read(a.proper_files(&b)).await);
}
