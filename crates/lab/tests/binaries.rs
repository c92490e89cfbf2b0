//! `tombolo lab binaries` in a home of its own: what it takes, what it builds, and what it refuses.
//!
//! Builds etcdctl by the Go of this machine and says so where there is none. Releases come from a mirror on loopback.

mod support;

use serde_json::Value;
use std::{
    env,
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};
use support::program;

/// A home, and a folder that stands on PATH, both empty at first.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let folder = env::temp_dir().join(format!("tombolo-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("path")).unwrap();
        fs::create_dir_all(folder.join("home/.cache/tombolo/bin")).unwrap();
        Place(folder)
    }

    fn on_path(&self, name: &str) -> PathBuf {
        self.0.join("path").join(name)
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.0.join("home/.cache/tombolo/bin").join(name)
    }

    /// Without Go, unless it is linked into the folder.
    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(program("tombolo"));
        command
            .args(["lab", "binaries"])
            .args(words.split_whitespace())
            .env("HOME", self.0.join("home"))
            .env("PATH", self.0.join("path"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// With curl and tar, and releases in a folder `releases`.
    fn command_with_releases(&self, words: &str, mirror: &str) -> Command {
        let mut command = self.command(words);
        let folders = [self.0.join("path"), "/usr/bin".into(), "/bin".into()];
        command
            .env("PATH", env::join_paths(folders).unwrap())
            .args(["--download", "--mirror", mirror]);
        command
    }

    fn release(&self, path: &str) -> PathBuf {
        let file = self.0.join("releases").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        file
    }

    /// With Go, and what it has in store on this machine.
    fn command_with_go(&self, words: &str) -> Command {
        let path = env::var_os("PATH").unwrap();
        let go = env::split_paths(&path)
            .map(|folder| folder.join("go"))
            .find(|file| file.is_file());
        let go = go.expect("Go is not on PATH; install Go 1.24 or newer");
        let folders = [self.0.join("path"), go.parent().unwrap().to_owned()];
        let mut command = self.command(words);
        command.env("PATH", env::join_paths(folders).unwrap());
        for name in ["GOMODCACHE", "GOCACHE", "GOPROXY"] {
            let answer = Command::new(&go).args(["env", name]).output().unwrap();
            let text = String::from_utf8(answer.stdout).unwrap();
            command.env(name, text.trim());
        }
        command
    }
}

/// Serves the files of a folder on loopback until the test ends.
fn mirror(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(&folder, stream.unwrap()).unwrap_or_default();
        }
    });
    format!("http://{address}/releases")
}

fn serve(folder: &Path, mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    match fs::read(folder.join(path.trim_start_matches('/'))) {
        Ok(body) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            )?;
            stream.write_all(&body)
        }
        Err(_) => write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
    }
}

/// What `sha256sum` says of a file, in its folder.
fn sums(file: &Path) -> String {
    let mut command = Command::new("sha256sum");
    command
        .arg(file.file_name().unwrap())
        .current_dir(file.parent().unwrap());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// A program that prints `text`.
fn write_program(path: &Path, text: &str) {
    // Another thread that forks while this is open for writing would make it busy; a finished file that is renamed is not.
    let draft = path.with_extension("draft");
    fs::write(&draft, format!("#!/bin/sh\necho '{text}'\n")).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(draft, path).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_refused(command: &mut Command, words: &[&str]) {
    let output = command.output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[track_caller]
fn found(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn without_go_the_way_out_is_told() {
    let place = Place::new("no-go");
    let mut command = place.command("kube-apiserver");
    let words = ["kube-apiserver 1.34", "no Go on PATH", "install Go 1.24"];
    assert_refused(&mut command, &words);
    for version in ["go1.19.8", "go1", ""] {
        write_program(&place.on_path("go"), version);
        let is = format!("Go is `{}`", version.trim_start_matches("go"));
        assert_refused(&mut command, &[&is, "install Go 1.24"]);
    }
    assert_eq!(
        fs::read_dir(place.kept(".")).unwrap().count(),
        1,
        "the lock"
    );
}

#[test]
fn a_wrong_version_is_refused_with_both_versions() {
    let place = Place::new("wrong");
    write_program(&place.on_path("etcd"), "etcd Version: 3.5.9");
    let path = place.on_path("etcd").display().to_string();
    let mut command = place.command("etcd");
    assert_refused(&mut command, &[&path, "is 3.5.9, not 3.6", "install Go"]);
    write_program(&place.on_path("etcd"), "I tell nobody");
    assert_refused(&mut command, &[&path, "does not tell its version"]);
}

#[test]
fn path_comes_before_the_cache_unless_the_exact_version_is_asked_for() {
    let place = Place::new("order");
    write_program(&place.on_path("etcd"), "etcd Version: 3.6.1");
    write_program(&place.kept("etcd"), "etcd Version: 3.6.6");
    let of_path = found(&mut place.command("etcd -o json"));
    assert_eq!(of_path[0]["version"], "3.6.1");
    assert_eq!(of_path[0]["source"], "path");
    let exact = found(&mut place.command("etcd --exact -o json"));
    assert_eq!(exact[0]["version"], "3.6.6");
    assert_eq!(exact[0]["source"], "cache");
    write_program(&place.kept("etcd"), "etcd Version: 3.6.5");
    let mut command = place.command("etcd --exact");
    assert_refused(&mut command, &["is 3.6.5, not 3.6.6"]);
    write_program(&place.on_path("etcd"), "etcd Version: 3.5.9");
    let of_cache = found(&mut place.command("etcd -o json"));
    assert_eq!(of_cache[0]["version"], "3.6.5");
}

#[test]
fn a_build_that_cannot_be_says_what_go_said() {
    let place = Place::new("offline");
    let mut command = place.command_with_go("etcdctl");
    command
        .env("GOPROXY", "off")
        .env("GOMODCACHE", place.0.join("empty"));
    assert_refused(
        &mut command,
        &["could not build etcdctl 3.6.6", "module lookup disabled"],
    );
    assert!(!place.kept("etcdctl").exists());
}

#[test]
fn two_at_once_build_once_and_replace_what_is_broken() {
    let place = Place::new("twice");
    fs::write(place.kept("etcdctl"), "half a program").unwrap();
    let start = || place.command_with_go("etcdctl -o json").spawn().unwrap();
    // Both are made to wait, so that neither is done before the other begins.
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .open(place.kept(".lock"))
        .unwrap();
    lock.lock().unwrap();
    let both = [start(), start()];
    let mut waiting = both.map(|mut child| {
        let mut error = child.stderr.take().unwrap();
        let mut line = [0; 7];
        std::io::Read::read_exact(&mut error, &mut line).unwrap();
        assert_eq!(&line, b"waiting");
        child.stderr = Some(error);
        child
    });
    lock.unlock().unwrap();
    waiting.reverse();
    let mut sources = waiting.map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found[0]["version"], "3.6.6");
        found[0]["source"].as_str().unwrap().to_owned()
    });
    sources.sort();
    assert_eq!(sources, ["build", "cache"]);
    assert!(!place.kept(".etcdctl.new").exists());
}

const ARCH: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

#[test]
fn a_release_is_fetched_once_and_only_whole() {
    let place = Place::new("fetch");
    let mirror = mirror(place.0.clone());
    let path = format!("dl.k8s.io/release/v1.34.4/bin/linux/{ARCH}/kubelet");
    let kubelet = place.release(&path);
    let mut fetch = place.command_with_releases("kubelet -o json", &mirror);
    assert_refused(
        &mut fetch,
        &["kubelet.sha256 could not be fetched", "404", "Go builds it"],
    );

    write_program(&kubelet, "Kubernetes v1.34.4");
    let beside = kubelet.with_extension("sha256");
    fs::write(&beside, "<html>log in first</html>").unwrap();
    assert_refused(&mut fetch, &["has no SHA-256 of kubelet", "proxy"]);
    let sum = sums(&kubelet);
    let sum = sum.split(' ').next().unwrap();
    let other = "0".repeat(64);
    fs::write(&beside, &other).unwrap();
    assert_refused(&mut fetch, &[sum, &other, "thrown away"]);
    assert!(!place.kept("kubelet").exists());

    fs::write(&beside, sum).unwrap();
    let first = found(&mut fetch);
    assert_eq!(first[0]["source"], "download");
    assert_eq!(first[0]["version"], "1.34.4");
    fs::remove_file(&kubelet).unwrap();
    assert_eq!(found(&mut fetch)[0]["source"], "cache");
    let left: Vec<_> = fs::read_dir(place.kept(".")).unwrap().collect();
    assert_eq!(left.len(), 2, "the lock and the program: {left:?}");
}

#[test]
fn a_release_that_is_an_archive_is_unpacked() {
    let place = Place::new("archive");
    let mirror = mirror(place.0.clone());
    let root = format!("etcd-v3.6.6-linux-{ARCH}");
    let folder = "github.com/etcd-io/etcd/releases/download/v3.6.6";
    let archive = place.release(&format!("{folder}/{root}.tar.gz"));
    let inside = archive.with_file_name(&root);
    fs::create_dir(&inside).unwrap();
    write_program(&inside.join("etcd"), "etcd Version: 3.6.7");
    let pack = || {
        let mut tar = Command::new("tar");
        tar.arg("-czf").arg(&archive).arg(&root);
        let done = tar.current_dir(archive.parent().unwrap()).status();
        assert!(done.unwrap().success());
        // As it stands beside etcd: of all files of a release, one a line.
        let text = format!("{}  other.tar.gz\n{}", "1".repeat(64), sums(&archive));
        fs::write(archive.with_file_name("SHA256SUMS"), text).unwrap();
    };
    pack();
    let mut etcdctl = place.command_with_releases("etcdctl", &mirror);
    assert_refused(
        &mut etcdctl,
        &["could not be unpacked", "Not found in archive"],
    );
    // Of the right sum and of the wrong version: what has the name is looked at as if it had been there.
    let mut etcd = place.command_with_releases("etcd -o json", &mirror);
    assert_refused(&mut etcd, &["was made to be 3.6.6, but it is 3.6.7"]);
    write_program(&inside.join("etcd"), "etcd Version: 3.6.6");
    pack();
    assert_eq!(
        found(&mut place.command_with_releases("etcd --exact -o json", &mirror))[0]["source"],
        "download"
    );
}

#[test]
fn what_can_not_be_fetched_from_is_refused() {
    let place = Place::new("mirror");
    let output = place
        .command("etcd --download --mirror mirror.example")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("https://mirror.example"),
        "{}",
        said(&output)
    );
    let mut command = place.command("etcd --download --mirror http://127.0.0.1:1");
    assert_refused(&mut command, &["no curl on PATH, install it"]);
    let mut command = place.command_with_releases("etcd", "http://127.0.0.1:1");
    assert_refused(
        &mut command,
        &["SHA256SUMS could not be fetched", "is the network there"],
    );
}
