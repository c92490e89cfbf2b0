//! The same script of etcdctl against the embedded server and a real etcd: what it prints must be equal.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;
use tombolo_kvstore::{Access, Keys, Right, Role};

use crate::{
    Embedded,
    certificates::Certificates,
    real::{Real, program},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Who calls, with what, and what is typed in. `LEASE` is the lease that was granted last.
const SCRIPT: &[(&str, &[&str], &str)] = &[
    ("root", &["put", "a", "1"], ""),
    ("root", &["put", "a", "2", "--prev-kv"], ""),
    ("root", &["put", "a", "--ignore-value", "--prev-kv"], ""),
    ("root", &["put", "absent", "--ignore-value"], ""),
    ("root", &["put", "", "1"], ""),
    ("root", &["put", "b/1", "one"], ""),
    ("root", &["put", "b/2", "two"], ""),
    ("root", &["put", "b/3", "three"], ""),
    ("root", &["get", "a"], ""),
    ("root", &["get", "absent"], ""),
    ("root", &["get", "a", "-w", "json"], ""),
    ("root", &["get", "a", "-w", "fields"], ""),
    ("root", &["get", "b/", "--prefix"], ""),
    ("root", &["get", "b/", "--prefix", "-w", "json"], ""),
    (
        "root",
        &["get", "b/", "--prefix", "--limit", "2", "-w", "json"],
        "",
    ),
    (
        "root",
        &["get", "b/", "--prefix", "--count-only", "-w", "json"],
        "",
    ),
    ("root", &["get", "b/", "--prefix", "--keys-only"], ""),
    ("root", &["get", "b/", "--prefix", "--order", "DESCEND"], ""),
    ("root", &["get", "b/", "--prefix", "--sort-by", "VALUE"], ""),
    ("root", &["get", "--from-key", "b/2"], ""),
    ("root", &["get", "", "--prefix"], ""),
    ("root", &["get", "a", "b/2"], ""),
    ("root", &["get", "a", "--rev", "2"], ""),
    ("root", &["get", "a", "--rev", "999"], ""),
    (
        "root",
        &["get", "a", "b/9", "--min-mod-rev", "5", "-w", "json"],
        "",
    ),
    (
        "root",
        &["txn"],
        "value(\"a\") = \"2\"\nmod(\"b/1\") > \"0\"\n\nput c new\nget c\ndel b/3\n\nput c other\n\n",
    ),
    (
        "root",
        &["txn", "-w", "json"],
        "ver(\"c\") = \"0\"\n\nget a\n\nget c\nput c again\n\n",
    ),
    ("root", &["txn"], "\nput d 1\nput d 2\n\n\n"),
    ("root", &["del", "b/2", "--prev-kv"], ""),
    ("root", &["del", "b/2"], ""),
    ("root", &["del", "b/", "--prefix", "-w", "json"], ""),
    ("root", &["lease", "grant", "300"], ""),
    ("root", &["put", "leased", "x", "--lease", "LEASE"], ""),
    ("root", &["put", "leased", "x", "--lease", "7b"], ""),
    ("root", &["lease", "timetolive", "LEASE", "--keys"], ""),
    ("root", &["lease", "timetolive", "7b"], ""),
    ("root", &["lease", "keep-alive", "LEASE", "--once"], ""),
    ("root", &["lease", "keep-alive", "7b", "--once"], ""),
    ("root", &["lease", "list"], ""),
    ("root", &["lease", "revoke", "LEASE"], ""),
    ("root", &["lease", "revoke", "LEASE"], ""),
    ("root", &["get", "leased", "-w", "json"], ""),
    ("root", &["endpoint", "health"], ""),
    ("root", &["endpoint", "status", "-w", "json"], ""),
    ("root", &["alarm", "list"], ""),
    ("root", &["alarm", "disarm"], ""),
    ("root", &["defrag"], ""),
    ("root", &["member", "list", "-w", "json"], ""),
    ("root", &["put", "state/1", "shared"], ""),
    ("root", &["put", "state/2", "shared"], ""),
    ("peer", &["get", "beat"], ""),
    ("peer", &["get", "state/", "--prefix"], ""),
    ("peer", &["get", "state/1"], ""),
    ("peer", &["get", "a"], ""),
    ("peer", &["get", "", "--prefix"], ""),
    ("peer", &["get", "stat", "--prefix"], ""),
    ("peer", &["put", "state/1", "forged"], ""),
    ("peer", &["del", "state/1"], ""),
    ("peer", &["txn"], "\nget state/1\n\n\n"),
    (
        "peer",
        &["txn"],
        "value(\"a\") = \"2\"\n\nget state/1\n\n\n",
    ),
    ("peer", &["watch", "a"], ""),
    ("peer", &["endpoint", "health"], ""),
    ("peer", &["put", "own/1", "mine"], ""),
    ("peer", &["get", "own/1"], ""),
    ("peer", &["put", "own/1", "more", "--prev-kv"], ""),
    ("peer", &["defrag"], ""),
    ("stranger", &["get", "state/1"], ""),
    ("stranger", &["put", "own/1", "forged"], ""),
    ("root", &["compaction", "10"], ""),
    ("root", &["compaction", "10"], ""),
    ("root", &["compaction", "999"], ""),
    ("root", &["get", "a", "--rev", "9"], ""),
    ("root", &["get", "a", "--rev", "10"], ""),
    ("root", &["watch", "a", "--rev", "3"], ""),
];

/// Who watches what, and the lines that come before it is ended.
const WATCHES: &[(&[&str], usize)] = &[
    (&["watch", "--prefix", "", "--rev", "2"], 40),
    (&["watch", "--prefix", "b/", "--rev", "2", "--prev-kv"], 20),
    (&["watch", "a", "--rev", "4", "-w", "json"], 1),
];

/// What a side has answered, each with the command it was to.
type Transcript = Vec<(String, String)>;

struct Side<'a> {
    address: &'a str,
    certificates: &'a Certificates,
    lease: String,
}

impl Side<'_> {
    fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let folder = &self.certificates.folder;
        let mut command = Command::new(program("etcdctl"));
        command
            .args(["--endpoints", &format!("https://{}", self.address)])
            .arg("--cacert")
            .arg(folder.join("ca.crt"))
            .arg("--cert")
            .arg(folder.join(format!("{user}.crt")))
            .arg("--key")
            .arg(folder.join(format!("{user}.key")))
            .args(arguments.iter().map(|argument| match *argument {
                "LEASE" => self.lease.as_str(),
                other => other,
            }))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&mut self, user: &str, arguments: &[&str], input: &str) -> String {
        let mut process = self.command(user, arguments).spawn().unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = process.wait_with_output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        if let Some(rest) = printed.strip_prefix("lease ")
            && let Some((lease, rest)) = rest.split_once(' ')
            && rest.starts_with("granted")
        {
            self.lease = lease.to_owned();
        }
        let said = String::from_utf8(output.stderr).unwrap();
        let text = format!("{}\n{}\n{:?}", printed, errors(&said), output.status.code());
        self.common(&text)
    }

    /// The first lines of a command that does not end by itself.
    fn watch(&self, arguments: &[&str], count: usize) -> String {
        let mut process = self.command("root", arguments).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut text = Vec::new();
        while text.len() < count {
            let line = receiver.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{arguments:?} ends after {text:?}"));
            text.push(line);
        }
        process.kill().unwrap();
        process.wait().unwrap();
        drop(receiver);
        reader.join().unwrap();
        self.common(&text.join("\n"))
    }

    /// Without what differs from one etcd to the next: numbers of its own, sizes, times.
    fn common(&self, text: &str) -> String {
        let mut text = text.replace(self.address, "ADDRESS");
        if !self.lease.is_empty() {
            text = text.replace(&self.lease, "LEASE");
        }
        let lines = text.lines().map(|line| match serde_json::from_str(line) {
            Ok(value) if line.starts_with(['{', '[']) => common_value(value).to_string(),
            _ => common_line(line),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

const VARYING: [&str; 12] = [
    // The head of a watch's answer, in which etcd promises more than it delivers along with it.
    "Header",
    "cluster_id",
    "member_id",
    "leader",
    "ID",
    "dbSize",
    "dbSizeInUse",
    "raftIndex",
    "raftAppliedIndex",
    "dbSizeQuota",
    "raft_term",
    "raftTerm",
];
/// Peers have addresses in a cluster only, and what versions can be gone back to is of no meaning here.
const ABSENT: [&str; 2] = ["peerURLs", "downgradeInfo"];

fn common_value(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .filter(|(name, _)| !ABSENT.contains(&name.as_str()));
            let fields = fields.map(|(name, value)| {
                let value = match VARYING.contains(&name.as_str()) {
                    true => Value::from("varies"),
                    false => common_value(value),
                };
                (name, value)
            });
            Value::Object(fields.collect())
        }
        Value::Array(values) => values.into_iter().map(common_value).collect(),
        other => other,
    }
}

fn common_line(line: &str) -> String {
    let varying = ["\"ClusterID\"", "\"MemberID\"", "\"RaftTerm\""];
    if let Some(name) = varying.iter().find(|name| line.starts_with(**name)) {
        return format!("{name} varies");
    }
    // How long it took.
    if let Some((text, rest)) = line.split_once(". took ") {
        let after = rest.trim_start_matches(|letter: char| letter != 's');
        return format!("{text}. took {after}");
    }
    if let Some((text, rest)) = line.split_once(": took = ") {
        return format!(
            "{text}{}",
            rest.trim_start_matches(|letter: char| letter != ' ')
        );
    }
    if let Some((text, rest)) = line.split_once(" remaining(") {
        let after = rest.trim_start_matches(|letter: char| letter != ')');
        return format!("{text} remaining({after}");
    }
    line.to_owned()
}

/// The client logs each attempt with times and addresses; what it says in the end stays.
fn errors(text: &str) -> String {
    let said = text.lines().filter(|line| !line.starts_with("{\"level\""));
    said.collect::<Vec<_>>().join("\n")
}

fn transcript(address: &str, certificates: &Certificates) -> Transcript {
    let mut side = Side {
        address,
        certificates,
        lease: String::new(),
    };
    let mut answers = Vec::new();
    for (number, (user, arguments, input)) in SCRIPT.iter().enumerate() {
        if arguments[0] == "compaction" && SCRIPT[number - 1].1[0] != "compaction" {
            for (arguments, count) in WATCHES {
                answers.push((format!("{arguments:?}"), side.watch(arguments, *count)));
            }
        }
        let answer = side.run(user, arguments, input);
        answers.push((format!("{user} {arguments:?}"), answer));
    }
    answers
}

/// The same as `set_up` says to etcd.
fn access() -> Access {
    let ranges = vec![
        (Keys::one("beat"), Right::Read),
        (Keys::prefix("state/"), Right::Read),
        (Keys::prefix("own/"), Right::Write),
    ];
    let entry = |name: &str, role: &str| (name.to_owned(), role.to_owned());
    Access {
        users: BTreeMap::from([entry("root", "root"), entry("peer", "reader")]),
        roles: BTreeMap::from([
            ("root".to_owned(), Role::Root),
            ("reader".to_owned(), Role::Ranges(ranges)),
        ]),
    }
}

fn set_up(address: &str, certificates: &Certificates) {
    let mut side = Side {
        address,
        certificates,
        lease: String::new(),
    };
    let commands: &[&[&str]] = &[
        &["user", "add", "root", "--no-password"],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "reader"],
        &["role", "grant-permission", "reader", "read", "beat"],
        &[
            "role",
            "grant-permission",
            "reader",
            "read",
            "state/",
            "--prefix",
        ],
        &[
            "role",
            "grant-permission",
            "reader",
            "write",
            "own/",
            "--prefix",
        ],
        &["user", "add", "peer", "--no-password"],
        &["user", "grant-role", "peer", "reader"],
        &["auth", "enable"],
    ];
    for command in commands {
        let answer = side.run("root", command, "");
        assert!(answer.ends_with("Some(0)"), "{command:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_sees_no_difference() {
    let certificates = Certificates::make();
    for user in ["root", "peer", "stranger"] {
        certificates.of(user);
    }
    let etcd = Real::start(&certificates);
    set_up(&etcd.address, &certificates);
    let server = Embedded::start(certificates.server(), Some(access())).await;
    let (real, ours) = std::thread::scope(|scope| {
        let real = scope.spawn(|| transcript(&etcd.address, &certificates));
        let ours = transcript(&server.address, &certificates);
        (real.join().unwrap(), ours)
    });
    let different: Vec<String> = real
        .iter()
        .zip(&ours)
        .filter(|(real, ours)| real != ours)
        .map(|((command, real), (_, ours))| format!("{command}\n etcd: {real}\n ours: {ours}"))
        .collect();
    assert_eq!(real.len(), ours.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
}
