//! A real kube-apiserver on the embedded server and on a real etcd: the same client's work must end the same.
//!
//! Takes minutes when kube-apiserver must be built first, so it is run on demand: `cargo test -p tombolo-kvstore --
//! --ignored`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tombolo_kvstore::TlsFiles;

use crate::{
    Embedded,
    certificates::Certificates,
    real::{Real, free_port, program},
};

const START_TIMEOUT: Duration = Duration::from_secs(120);
const OBJECTS: usize = 2000;
const PAGE: usize = 500;

struct Kubernetes {
    server: Child,
    address: String,
    folder: std::path::PathBuf,
    admin: TlsFiles,
}

impl Kubernetes {
    fn start(store: &str, certificates: &Certificates, name: &str) -> Kubernetes {
        let folder = certificates.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        let tls = certificates.server();
        let client = certificates.of("root");
        let admin = certificates.issue_in("admin", "admin", "system:masters");
        let port = free_port().to_string();
        let log = File::create(folder.join("kube-apiserver.log")).unwrap();
        let file = |path: &Path| path.to_str().unwrap().to_owned();
        let options = [
            ("etcd-servers", format!("https://{store}")),
            ("etcd-cafile", file(&client.ca)),
            ("etcd-certfile", file(&client.certificate)),
            ("etcd-keyfile", file(&client.key)),
            // Often, so that it is seen in the time that the test takes.
            ("etcd-compaction-interval", "5s".to_owned()),
            ("bind-address", "127.0.0.1".to_owned()),
            ("secure-port", port.clone()),
            ("tls-cert-file", file(&tls.certificate)),
            ("tls-private-key-file", file(&tls.key)),
            ("client-ca-file", file(&tls.ca)),
            ("cert-dir", file(&folder)),
            ("authorization-mode", "RBAC".to_owned()),
            ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
            (
                "service-account-issuer",
                "https://kubernetes.default.svc".to_owned(),
            ),
            ("service-account-key-file", file(&tls.certificate)),
            ("service-account-signing-key-file", file(&tls.key)),
            ("disable-admission-plugins", "ServiceAccount".to_owned()),
        ];
        let server = Command::new(program("kube-apiserver"))
            .args(options.map(|(name, value)| format!("--{name}={value}")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut kubernetes = Kubernetes {
            server,
            address: format!("https://127.0.0.1:{port}"),
            folder,
            admin,
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while !kubernetes.is_ready() {
            let ended = kubernetes.server.try_wait().unwrap().is_some();
            let log = || fs::read_to_string(kubernetes.folder.join("kube-apiserver.log")).unwrap();
            let late = Instant::now() > deadline;
            assert!(!ended && !late, "kube-apiserver is not ready: {}", log());
            sleep(Duration::from_millis(200));
        }
        kubernetes
    }

    fn is_ready(&self) -> bool {
        self.ask(&["get", "--raw", "/readyz"]).status.success()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("kubectl"));
        command
            .args(["--server", &self.address, "--namespace", "default"])
            .arg("--cache-dir")
            .arg(self.folder.join("cache"))
            .arg("--certificate-authority")
            .arg(&self.admin.ca)
            .arg("--client-certificate")
            .arg(&self.admin.certificate)
            .arg("--client-key")
            .arg(&self.admin.key)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn answer(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn value(&self, path: &str) -> Value {
        serde_json::from_str(&self.answer(&["get", "--raw", path])).unwrap()
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.server.kill().unwrap_or_default();
        self.server.wait().map(drop).unwrap_or_default();
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Names and data of all maps, read in pages.
fn listed(kubernetes: &Kubernetes) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut go_on = String::new();
    let mut revisions = Vec::new();
    loop {
        let page = kubernetes.value(&format!("{MAPS}?limit={PAGE}&continue={go_on}"));
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= PAGE);
        for item in items {
            let name = item["metadata"]["name"].as_str().unwrap().to_owned();
            assert_eq!(found.insert(name, item["data"].clone()), None);
        }
        revisions.push(page["metadata"]["resourceVersion"].clone());
        go_on = page["metadata"]["continue"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if go_on.is_empty() {
            break;
        }
    }
    revisions.dedup();
    assert_eq!(revisions.len(), 1, "all pages are of one revision");
    found
}

/// Creates, lists, watches, patches and deletes. Returns what was seen and how long each step took.
fn work(kubernetes: &Kubernetes) -> (Vec<Value>, Vec<(&'static str, Duration)>) {
    let mut seen = Vec::new();
    let mut times = Vec::new();
    let mut start = Instant::now();
    let mut lap = |name| {
        times.push((name, start.elapsed()));
        start = Instant::now();
    };
    let maps = (0..OBJECTS).map(|number| {
        let name = format!("map-{number:05}");
        let metadata = json!({"name": name, "labels": {"half": (number % 2).to_string()}});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": name}})
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": maps.collect::<Vec<_>>()});
    let file = kubernetes.folder.join("maps.json");
    fs::write(&file, list.to_string()).unwrap();
    let watched = kubernetes.folder.join("watched");
    let mut watch = kubernetes
        .command(&[
            "get",
            "configmaps",
            "--watch-only",
            "--output-watch-events",
            "-o",
        ])
        .arg("jsonpath={.type} {.object.metadata.name} {.object.data.n}{\"\\n\"}")
        .stdout(File::create(&watched).unwrap())
        .spawn()
        .unwrap();
    kubernetes.answer(&["create", "-f", file.to_str().unwrap()]);
    lap("create");
    let all = listed(kubernetes);
    lap("list in pages");
    assert_eq!(all.len(), OBJECTS);
    seen.push(json!(
        all.into_iter()
            .filter(|(name, _)| name.starts_with("map-"))
            .collect::<BTreeMap<_, _>>()
    ));
    let patch = r#"{"data": {"n": "patched"}}"#;
    kubernetes.answer(&[
        "patch",
        "-f",
        file.to_str().unwrap(),
        "--type",
        "merge",
        "-p",
        patch,
    ]);
    lap("patch");
    let conflict = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {},
        "metadata": {"name": "map-00000", "resourceVersion": "1"}});
    let stale = kubernetes.folder.join("stale.json");
    fs::write(&stale, conflict.to_string()).unwrap();
    let refused = kubernetes.ask(&["replace", "-f", stale.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    seen.push(json!([
        refused.status.code(),
        said.contains("the object has been modified")
    ]));
    kubernetes.answer(&["delete", "configmaps", "-l", "half=0", "--wait=false"]);
    lap("delete half");
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "leased"},
        "reason": "Test", "involvedObject": {"kind": "ConfigMap", "name": "map-00001", "namespace": "default"}});
    let file = kubernetes.folder.join("event.json");
    fs::write(&file, event.to_string()).unwrap();
    seen.push(
        kubernetes
            .answer(&["create", "-f", file.to_str().unwrap()])
            .into(),
    );
    seen.push(json!(
        listed(kubernetes)
            .into_iter()
            .filter(|(name, _)| name.starts_with("map-"))
            .collect::<BTreeMap<_, _>>()
    ));
    seen.push(
        kubernetes
            .answer(&["get", "namespaces", "-o", "name"])
            .into(),
    );
    // Create, patch, and deletion of half of them.
    let expected = OBJECTS * 2 + OBJECTS / 2;
    let deadline = Instant::now() + START_TIMEOUT;
    let events = loop {
        let text = fs::read_to_string(&watched).unwrap();
        let lines = text.lines().filter(|line| line.contains(" map-"));
        let mut events: Vec<String> = lines.map(str::to_owned).collect();
        if events.len() >= expected {
            events.sort();
            break events;
        }
        assert!(
            Instant::now() < deadline,
            "{} events of {expected}",
            events.len()
        );
        sleep(Duration::from_millis(50));
    };
    watch.kill().unwrap();
    watch.wait().unwrap();
    seen.push(events.into());
    (seen, times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver and kubectl 1.34, which take minutes to build"]
async fn kube_apiserver_sees_no_difference() {
    let certificates = Certificates::make();
    let server = Embedded::start(certificates.server(), None).await;
    let (ours, our_times) = std::thread::scope(|scope| {
        let run = || {
            let kubernetes = Kubernetes::start(&server.address, &certificates, "ours");
            work(&kubernetes)
        };
        scope.spawn(run).join().unwrap()
    });
    let etcd = Real::start(&certificates);
    let kubernetes = Kubernetes::start(&etcd.address, &certificates, "real");
    let (real, real_times) = work(&kubernetes);
    assert_eq!(ours, real);
    for ((name, ours), (_, real)) in our_times.iter().zip(&real_times) {
        println!("{name}: {ours:.2?} on the embedded server, {real:.2?} on etcd");
    }
}
