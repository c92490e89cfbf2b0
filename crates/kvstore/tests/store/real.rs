//! A real etcd of one member, and where programs of others are.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::certificates::Certificates;

const START_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Real {
    pub address: String,
    process: Child,
}

impl Real {
    /// With a certificate authority of the test, and data in its folder.
    pub fn start(certificates: &Certificates) -> Real {
        let program = program("etcd");
        let tls = certificates.server();
        let [port, peer] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let url = format!("https://{address}");
        let peer = format!("http://127.0.0.1:{peer}");
        let log = File::create(certificates.folder.join("etcd.log")).unwrap();
        let mut command = Command::new(program);
        command
            .arg("--data-dir")
            .arg(certificates.folder.join("etcd"))
            .args(["--name", "test", "--unsafe-no-fsync", "--client-cert-auth"])
            .args([
                "--listen-client-urls",
                &url,
                "--advertise-client-urls",
                &url,
            ])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            .arg("--trusted-ca-file")
            .arg(tls.ca)
            .arg("--cert-file")
            .arg(tls.certificate)
            .arg("--key-file")
            .arg(tls.key)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let process = command.spawn().unwrap();
        let real = Real { address, process };
        let deadline = Instant::now() + START_TIMEOUT;
        while std::net::TcpStream::connect(&real.address).is_err() {
            assert!(
                Instant::now() < deadline,
                "etcd does not start: {}",
                fs::read_to_string(certificates.folder.join("etcd.log")).unwrap()
            );
            sleep(Duration::from_millis(20));
        }
        real
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

/// Ports that nobody has at this moment, all held until the last is found: one looked for alone may be given twice.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Of the version that results are compared with, from the user's cache.
pub fn program(name: &str) -> PathBuf {
    let home = std::env::home_dir().expect("HOME says where programs are kept");
    let kept = home.join(".cache/tombolo/bin").join(name);
    assert!(
        kept.is_file(),
        "{} is not there, and these tests compare with it: run `cargo xtask setup`, which has Go build it once",
        kept.display()
    );
    kept
}
