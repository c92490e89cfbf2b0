//! A control plane of a test: the real kube-apiserver on the real etcd, both as `cargo xtask setup` has them built.
//!
//! No controllers and no nodes: what is in it is what the test puts there.

#![allow(dead_code, reason = "each test takes of it what it needs")]

use std::{
    fs::{self, File},
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

/// What takes longer, also for a debug build on a busy machine, hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// Ends with its processes and files when it is dropped.
pub struct Plane {
    pub folder: PathBuf,
    etcd: Option<Child>,
    server: Option<Child>,
    store: String,
    peer: String,
    port: u16,
    options: Vec<String>,
}

impl Plane {
    pub fn start() -> Plane {
        Plane::with(&[])
    }

    /// With more options for the API server.
    pub fn with(options: &[&str]) -> Plane {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tombolo-plane-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(folder.join("accounts.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("accounts.pub"), key.public_key_pem()).unwrap();
        // The user of the master's group may all, the other one nothing.
        let tokens = "master,master,1,system:masters\nnobody,nobody,2,\n";
        fs::write(folder.join("tokens"), tokens).unwrap();
        let [store, peer, port] = free_ports();
        let mut plane = Plane {
            etcd: None,
            server: None,
            store: format!("http://127.0.0.1:{store}"),
            peer: format!("http://127.0.0.1:{peer}"),
            port,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            folder,
        };
        for user in ["master", "nobody", "stranger"] {
            plane.write_kubeconfig(user);
        }
        plane.start_etcd();
        plane.start_server();
        plane
    }

    /// Of the user `master`, `nobody`, or of one with a token that the server does not know.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.join(format!("{user}.kubeconfig"))
    }

    fn write_kubeconfig(&self, user: &str) {
        let certificate = self.folder.join("server/apiserver.crt");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: plane\nclusters:\n- name: plane\n  cluster:\n    server: \
             https://127.0.0.1:{}\n    certificate-authority: {}\nusers:\n- name: {user}\n  user: {{token: {user}}}\ncontexts:\n\
             - name: plane\n  context: {{cluster: plane, user: {user}}}\n",
            self.port,
            certificate.display()
        );
        fs::write(self.kubeconfig(user), text).unwrap();
    }

    fn start_etcd(&mut self) {
        let mut command = Command::new(kept("etcd"));
        command
            .arg("--data-dir")
            .arg(self.folder.join("etcd"))
            .args(["--name", "plane", "--unsafe-no-fsync"])
            .args(["--listen-client-urls", &self.store])
            .args(["--advertise-client-urls", &self.store])
            .args(["--listen-peer-urls", &self.peer])
            .args(["--initial-advertise-peer-urls", &self.peer])
            .args(["--initial-cluster", &format!("plane={}", self.peer)]);
        let address = self.store.trim_start_matches("http://").to_owned();
        let listens = || TcpStream::connect(&address).is_ok();
        self.etcd = Some(self.run(command, "etcd.log", listens));
    }

    pub fn start_server(&mut self) {
        let key = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new(kept("kube-apiserver"));
        command
            .args(["--etcd-servers", &self.store])
            .args(["--bind-address", "127.0.0.1"])
            .args(["--secure-port", &self.port.to_string()])
            .arg("--cert-dir")
            .arg(self.folder.join("server"))
            .arg("--token-auth-file")
            .arg(self.folder.join("tokens"))
            .args(["--authorization-mode", "RBAC"])
            .args(["--service-cluster-ip-range", "10.96.0.0/16"])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--service-account-key-file", &key("accounts.pub")])
            .args(["--service-account-signing-key-file", &key("accounts.key")])
            .args(["--disable-admission-plugins", "ServiceAccount"])
            .args(&self.options);
        let namespaces = ["get", "namespace", "default", "kube-system"];
        let ready = || {
            self.kubectl(&["get", "--raw", "/readyz"]).is_ok() && self.kubectl(&namespaces).is_ok()
        };
        self.server = Some(self.run(command, "server.log", ready));
    }

    pub fn stop_server(&mut self) {
        end(self.server.take());
    }

    /// Starts it and waits until it does what it is for.
    fn run(&self, mut command: Command, log: &str, mut works: impl FnMut() -> bool) -> Child {
        let path = self.folder.join(log);
        let file = File::options().create(true).append(true).open(&path);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file.unwrap());
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !works() {
            let ended = child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                end(Some(child));
                let said = fs::read_to_string(path).unwrap();
                panic!("{command:?} does not start ({ended:?}); it says: {said}");
            }
            sleep(POLL);
        }
        child
    }

    /// What kubectl prints, or what it complains of.
    pub fn kubectl(&self, words: &[&str]) -> Result<String, String> {
        self.kubectl_with(words, "")
    }

    /// Applies manifests.
    pub fn apply(&self, manifests: &str) -> Result<String, String> {
        self.kubectl_with(&["apply", "-f", "-"], manifests)
    }

    pub fn kubectl_with(&self, words: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(kept("kubectl"))
            .arg("--kubeconfig")
            .arg(self.kubeconfig("master"))
            .arg("--cache-dir")
            .arg(self.folder.join("cache"))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        end(self.server.take());
        end(self.etcd.take());
        fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        child.kill().unwrap_or_default();
        child.wait().map(drop).unwrap_or_default();
    }
}

/// Ports that nobody has at this moment, all held until the last is found: one looked for alone may be given twice.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Of the version that results are compared with, from the user's cache.
fn kept(name: &str) -> PathBuf {
    let home = std::env::home_dir().expect("HOME says where programs are kept");
    let kept = Path::new(&home).join(".cache/tombolo/bin").join(name);
    assert!(
        kept.is_file(),
        "{} is not there, and these tests compare with it: run `cargo xtask setup`, which has Go build it once",
        kept.display()
    );
    kept
}
