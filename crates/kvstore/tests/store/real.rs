//! A real etcd of one member, from the user's cache, built there by Go at the first time.

use std::{
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::certificates::Certificates;

const VERSION: &str = "v3.6.6";
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
        let address = format!("127.0.0.1:{}", free_port());
        let url = format!("https://{address}");
        let peer = format!("http://127.0.0.1:{}", free_port());
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

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// From the user's cache. Only etcd's own programs are built, by Go, when they are not there.
pub fn program(name: &str) -> PathBuf {
    let home = std::env::home_dir().expect("HOME says where programs are kept");
    let folder = home.join(".cache/tombolo/bin");
    let kept = folder.join(name);
    if kept.is_file() {
        return kept;
    }
    assert!(
        name.starts_with("etcd"),
        "put {name} into {}, then run this again",
        folder.display()
    );
    fs::create_dir_all(&folder).unwrap();
    // One test builds, the others wait.
    let lock = File::create(folder.join(".etcd.lock")).unwrap();
    lock.lock().unwrap();
    if !kept.is_file() {
        build(&folder);
    }
    kept
}

fn say(text: &str) {
    // Past the harness, which holds back what tests print.
    let mut error = std::io::stderr();
    writeln!(error, "{text}").unwrap_or_default();
}

/// Two programs of three lines around etcd's own packages.
fn build(folder: &Path) {
    say(&format!(
        "building etcd {VERSION} by Go, once, about a minute: tests compare with it"
    ));
    let place = std::env::temp_dir().join(format!("tombolo-etcd-{}", std::process::id()));
    let module = format!(
        "module tombolo\n\ngo 1.24\n\nrequire (\n\tgo.etcd.io/etcd/etcdctl/v3 {VERSION}\n\t\
         go.etcd.io/etcd/server/v3 {VERSION}\n)\n"
    );
    let server = "package main\n\nimport (\n\t\"os\"\n\n\t\"go.etcd.io/etcd/server/v3/etcdmain\"\n)\n\n\
                  func main() { etcdmain.Main(os.Args) }\n";
    let client = "package main\n\nimport \"go.etcd.io/etcd/etcdctl/v3/ctlv3\"\n\n\
                  func main() { ctlv3.MustStart() }\n";
    for (name, text) in [
        ("go.mod", module.as_str()),
        ("etcd/main.go", server),
        ("etcdctl/main.go", client),
    ] {
        let path = place.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let finished = place.join("bin");
    fs::create_dir_all(&finished).unwrap();
    let flags = ["build", "-trimpath", "-ldflags=-s -w", "-o"];
    go(Command::new("go").args(["mod", "tidy"]), &place);
    go(
        Command::new("go")
            .args(flags)
            .arg(&finished)
            .args(["./etcd", "./etcdctl"]),
        &place,
    );
    for name in ["etcdctl", "etcd"] {
        // Whole or not at all, also across file systems.
        let draft = folder.join(format!(".{name}.new"));
        fs::copy(finished.join(name), &draft).unwrap();
        fs::rename(draft, folder.join(name)).unwrap();
    }
    fs::remove_dir_all(place).unwrap_or_default();
}

fn go(command: &mut Command, place: &Path) {
    let command = command.current_dir(place).env("CGO_ENABLED", "0");
    let status = command.env("GOFLAGS", "-mod=mod").status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("Go could not build etcd: {status}"),
        Err(error) => panic!(
            "these tests compare with a real etcd and there is none: put etcd and etcdctl 3.6 into \
             ~/.cache/tombolo/bin, or install Go 1.24 or newer ({error})"
        ),
    }
}
