//! Stores that say what no store of a mesh should, and certificates that nobody should have issued.

use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    ops::Range,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::oneshot;
use tombolo_kvstore::{Delete, Keys, Limits, Memory, Put, Server, Store as _, TlsFiles, server};

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate and its key, in files.
pub struct Tls {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Issued by the authority of a cluster; valid on these days, counted from today.
pub fn certificate(
    authority: &Path,
    folder: &Path,
    file: &str,
    name: &str,
    days: Range<i32>,
) -> Tls {
    let read = |name: &str| fs::read_to_string(authority.join(name)).unwrap();
    let issuer = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), issuer).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let today = fs::metadata(authority.join("ca.crt"))
        .unwrap()
        .modified()
        .unwrap();
    let day = |days: i32| {
        let moment = if days < 0 {
            today - DAY * days.unsigned_abs()
        } else {
            today + DAY * days.unsigned_abs()
        };
        time::OffsetDateTime::from(moment)
    };
    params.not_before = day(days.start);
    params.not_after = day(days.end);
    let signed = params.signed_by(&key, &issuer).unwrap();
    let tls = Tls {
        ca: authority.join("ca.crt"),
        certificate: folder.join(format!("{file}.crt")),
        key: folder.join(format!("{file}.key")),
    };
    fs::write(&tls.certificate, signed.pem()).unwrap();
    fs::write(&tls.key, key.serialize_pem()).unwrap();
    tls
}

/// Speaks HTTP, and nothing that etcd would say.
pub fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno\n");
        }
    });
    address
}

/// A store in this process that takes whatever it is given, on a thread of its own.
pub struct Hostile {
    pub address: SocketAddr,
    memory: Memory,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hostile {
    pub fn start(tls: Option<Tls>) -> Hostile {
        let tls = tls.map(|tls| TlsFiles {
            ca: tls.ca,
            certificate: tls.certificate,
            key: tls.key,
        });
        let config = server::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls,
            vouchers: None,
            access: None,
            name: "hostile".into(),
            limits: Limits {
                record_bytes_max: 16 << 20,
                ..Limits::default()
            },
        };
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                let server = Server::bind(config).await.unwrap();
                sender.send((server.address(), server.store())).unwrap();
                server.run(async { drop(stopped.await) }).await;
            });
        });
        let (address, memory) = receiver.recv().unwrap();
        Hostile {
            address,
            memory,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn put(&self, key: &str, value: &str) {
        let put = Put::new(key, value);
        runtime().block_on(self.memory.put(put)).unwrap();
    }

    pub fn delete(&self, key: &str) {
        let delete = Delete::new(Keys::one(key));
        runtime().block_on(self.memory.delete(delete)).unwrap();
    }

    pub fn config(&self, cluster: &str, id: u16, size: u16) {
        let capabilities = format!(r#"{{"syncedCanaries":true,"maxConnectedClusters":{size}}}"#);
        self.put(
            &format!("cilium/cluster-config/{cluster}"),
            &format!(r#"{{"id":{id},"capabilities":{capabilities}}}"#),
        );
    }

    pub fn node(&self, cluster: &str, id: u16) {
        let address = format!(r#"{{"Type":"InternalIP","IP":"198.18.{id}.1"}}"#);
        self.put(
            &format!("cilium/state/nodes/v1/{cluster}/n1"),
            &format!(
                r#"{{"Name":"n1","Cluster":"{cluster}","ClusterID":{id},"IPv4AllocCIDR":"10.{id}.1.0/24","IPAddresses":[{address}]}}"#
            ),
        );
    }

    /// Says that all is there.
    pub fn complete(&self, cluster: &str) {
        for kind in ["nodes", "ip"] {
            let key = format!("cilium/synced/{cluster}/cilium/state/{kind}/v1");
            self.put(&key, "2026-01-01T00:00:00Z");
        }
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap()
}
