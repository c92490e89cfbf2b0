//! Clusters of processes in a folder of their own.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};
use tombolo_kvstore::{Etcd, EtcdConfig, Keys, Store as _, TlsFiles};

/// What a cluster of the wire format's example has.
pub const OBJECTS: &str = include_str!("../../../model/tests/golden/objects.yaml");

pub const PATIENCE: Duration = Duration::from_secs(60);
pub const POLL: Duration = Duration::from_millis(20);

pub struct Place {
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tombolo-programs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Place { path }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waiting for {what}");
        sleep(POLL);
    }
}

pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A program that results are compared with, as `cargo xtask setup` has it built.
pub fn kept(name: &str) -> PathBuf {
    let home = std::env::home_dir().expect("HOME says where programs are kept");
    let kept = home.join(".cache/tombolo/bin").join(name);
    assert!(
        kept.is_file(),
        "{} is missing: run `cargo xtask setup`",
        kept.display()
    );
    kept
}

/// The program with these words.
pub fn tombolo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
    command.args(words).stdin(Stdio::null());
    command
}

/// A process that ends with this.
pub struct Program {
    child: Child,
    pub health: SocketAddr,
    log: PathBuf,
}

impl Program {
    fn start(log: &Path, words: &[&str]) -> Program {
        let health = free_address();
        let mut command = tombolo(words);
        command.args(["--health-listen", &health.to_string()]);
        Program::run(command, log, health)
    }

    /// Another program, which is there when it listens at the address.
    pub fn of(mut command: Command, folder: &Path, address: SocketAddr) -> Program {
        command.stdin(Stdio::null());
        Program::run(command, &folder.join("other.log"), address)
    }

    fn run(mut command: Command, log: &Path, health: SocketAddr) -> Program {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let mut program = Program {
            child,
            health,
            log: log.to_owned(),
        };
        wait_for("a program to listen", || {
            if let Some(code) = program.child.try_wait().unwrap() {
                panic!("it ended with {code}: {}", program.log());
            }
            TcpStream::connect(program.health).is_ok()
        });
        program
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn status(&self) -> Value {
        let mut stream = TcpStream::connect(self.health).unwrap();
        let request = "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap()
    }

    /// Asks it to end, and waits; its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut code = None;
        wait_for("a program to end", || {
            let ended = self.child.try_wait().unwrap();
            code = ended.and_then(|status| status.code());
            ended.is_some()
        });
        code
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A store with its certificates, and what the others need to reach it.
pub struct Cluster {
    pub store: Program,
    name: String,
    id: u16,
    folder: PathBuf,
    address: SocketAddr,
}

impl Cluster {
    pub fn start(place: &Place, id: u16) -> Cluster {
        let name = format!("cluster{id}");
        Cluster::on(place, id, |folder, address| {
            start_store(folder, &name, address)
        })
    }

    /// With a store that `start` starts at an address; certificates are there by then.
    pub fn on(place: &Place, id: u16, start: impl FnOnce(&Path, SocketAddr) -> Program) -> Cluster {
        let name = format!("cluster{id}");
        let folder = place.path.join(&name);
        for part in ["objects", "peers"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let words = [
            "certificates",
            "init",
            "--cluster-name",
            &name,
            "--certificates",
        ];
        let made = tombolo(&words).arg(folder.join("certificates")).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{made:?}");
        let address = free_address();
        let store = start(&folder, address);
        let cluster = Cluster {
            store,
            name,
            id,
            folder,
            address,
        };
        cluster.write_file("store.yaml", &cluster.file(&cluster, "admin"));
        cluster
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn certificates(&self) -> PathBuf {
        self.path("certificates")
    }

    /// Another life at the same address, with nothing in it.
    pub fn restart_store(&mut self) {
        self.store.terminate();
        self.store = start_store(&self.folder, &self.name, self.address);
    }

    pub fn apiserver(&self) -> Program {
        let objects = self.path("objects");
        self.program("apiserver", &["--objects", objects.to_str().unwrap()])
    }

    pub fn kvstoremesh(&self) -> Program {
        self.kvstoremesh_with(&[])
    }

    pub fn kvstoremesh_with(&self, more: &[&str]) -> Program {
        let peers = self.path("peers");
        let words = ["--clustermesh-config", peers.to_str().unwrap()];
        self.program("kvstoremesh", &[&words, more].concat())
    }

    /// It has no use for the store.
    pub fn operator(&self, more: &[&str]) -> Program {
        let id = self.id.to_string();
        let words = [
            "operator",
            "--cluster-name",
            &self.name,
            "--cluster-id",
            &id,
        ];
        Program::start(&self.path("operator.log"), &[&words, more].concat())
    }

    pub fn program(&self, verb: &str, more: &[&str]) -> Program {
        let (id, store) = (self.id.to_string(), self.path("store.yaml"));
        let words = [
            verb,
            "--cluster-name",
            &self.name,
            "--cluster-id",
            &id,
            "--store",
            store.to_str().unwrap(),
        ];
        Program::start(&self.path(&format!("{verb}.log")), &[&words, more].concat())
    }

    /// Replaced at one instant, as those who write such files do.
    pub fn write_objects(&self, name: &str, text: &str) {
        self.write_file(&format!("objects/{name}"), text);
    }

    pub fn write_file(&self, name: &str, text: &str) {
        let path = self.path(name);
        let draft = path.with_file_name(".draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, path).unwrap();
    }

    /// The other cluster becomes a peer of this one.
    pub fn connect(&self, other: &Cluster) {
        let user = format!("remote-{}", self.name);
        let folder = other.certificates();
        let words = ["certificates", "issue", &user, "--certificates"];
        let issued = tombolo(&words).arg(&folder).output().unwrap();
        assert!(issued.status.success(), "{issued:?}");
        self.write_file(&format!("peers/{}", other.name), &self.file(other, &user));
    }

    pub fn disconnect(&self, other: &Cluster) {
        fs::remove_file(self.path(&format!("peers/{}", other.name))).unwrap();
    }

    /// How this one reaches the other, as one of its users.
    pub fn file(&self, other: &Cluster, user: &str) -> String {
        let folder = other.certificates();
        let folder = folder.display();
        format!(
            "endpoints: [https://{}]\ntrusted-ca-file: {folder}/ca.crt\ncert-file: {folder}/{user}.crt\nkey-file: {folder}/{user}.key\n",
            other.address
        )
    }

    /// Keys and values with this beginning.
    pub fn contents(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let folder = self.certificates();
        let tls = TlsFiles {
            ca: folder.join("ca.crt"),
            certificate: folder.join("admin.crt"),
            key: folder.join("admin.key"),
        };
        let config = EtcdConfig::new(vec![format!("https://{}", self.address)], Some(tls));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let page = runtime.unwrap().block_on(async {
            let etcd = Etcd::new(config).unwrap();
            let (page, next) = etcd.page(Keys::prefix(prefix), None).await.unwrap();
            assert_eq!(next, None);
            page
        });
        let records = page.records.into_iter();
        records
            .map(|record| {
                (
                    String::from_utf8(record.key.to_vec()).unwrap(),
                    record.value.to_vec(),
                )
            })
            .collect()
    }
}

fn start_store(folder: &Path, name: &str, address: SocketAddr) -> Program {
    let certificates = folder.join("certificates");
    let listen = address.to_string();
    let words = [
        "store",
        "--cluster-name",
        name,
        "--listen",
        &listen,
        "--certificates",
        certificates.to_str().unwrap(),
    ];
    Program::start(&folder.join("store.log"), &words)
}
