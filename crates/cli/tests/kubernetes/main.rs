//! Installing and connecting, against real API servers and with the real helm; there are no nodes to run anything.
//!
//! The operator runs as a process with the rights that the chart gives it, and no others.

#[path = "../../../k8s/tests/plane/mod.rs"]
mod plane;

mod connect;
mod release;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use plane::{PATIENCE, Plane};

/// What `tombolo` said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    fn refused(self, parts: &[&str]) {
        assert_ne!(self.code, 0, "{}", self.out);
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is not in: {}", self.err);
        }
    }
}

fn tombolo(kubeconfig: &Path, words: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(words)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .output();
    Said::of(output.unwrap())
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(Duration::from_millis(100));
    }
}

/// Kubeconfigs with one context each, of this name.
fn kubeconfig(plane: &Plane, name: &str, token: Option<&str>) -> PathBuf {
    let text = fs::read_to_string(plane.kubeconfig("master")).unwrap();
    let text = text
        .replace("plane", name)
        .replace(
            &plane.folder.display().to_string().replace("plane", name),
            &plane.folder.display().to_string(),
        )
        .replace("user: master", &format!("user: {name}"))
        .replace("- name: master", &format!("- name: {name}"));
    let text = match token {
        Some(token) => text.replace("token: master", &format!("token: {token}")),
        None => text,
    };
    let suffix = token.map_or("", |_| "-account");
    let file = plane.folder.join(format!("{name}{suffix}.kubeconfig"));
    fs::write(&file, text).unwrap();
    file
}

/// The operator, as the chart's account.
struct Operator {
    child: Child,
    log: PathBuf,
}

impl Operator {
    fn start(plane: &Plane, name: &str, id: u8) -> Operator {
        let words = ["create", "token", "tombolo-operator", "-n", "kube-system"];
        let token = plane.kubectl(&words).unwrap();
        let account = kubeconfig(plane, name, Some(token.trim()));
        let log = plane.folder.join("operator.log");
        let child = Command::new(env!("CARGO_BIN_EXE_tombolo"))
            .args([
                "operator",
                "--cluster-name",
                name,
                "--cluster-id",
                &id.to_string(),
            ])
            .args(["--cluster-pool-ipv4", &format!("{}.0.0.0/8", 10 + id)])
            .args([
                "--mesh-api",
                "--mesh-host-network",
                "--health-listen",
                "127.0.0.1:0",
            ])
            .arg("--kubeconfig")
            .arg(account)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn();
        Operator {
            child: child.unwrap(),
            log,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
