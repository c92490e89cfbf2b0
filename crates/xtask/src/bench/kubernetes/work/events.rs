//! What watches bring: every change once and in order, bookmarks, and the end of what has a lease.
//!
//! Each is followed by a thread of its own, as a client would.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Child;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{MAPS, name};
use crate::bench::kubernetes::kubectl::Kubectl;
use crate::bench::kubernetes::plane::{EVENT_SECONDS, PATIENCE, Plane, wait_until};

/// A watch that is being followed, and what it comes to.
pub struct Followed<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Followed<T> {
    /// `path` is watched, and `read` is given each event until it has an answer.
    fn start(
        server: &Kubectl,
        path: &str,
        file: PathBuf,
        mut read: impl FnMut(Value) -> Result<Option<T>> + Send + 'static,
    ) -> Result<Followed<T>> {
        let mut stream = Stream::start(server, path, file)?;
        Ok(Followed(spawn(move || {
            let mut last = Instant::now();
            loop {
                if let Some(event) = stream.next()? {
                    last = Instant::now();
                    if let Some(answer) = read(event)? {
                        return Ok(answer);
                    }
                } else if last.elapsed() > PATIENCE {
                    bail!("a watch has told nothing for {PATIENCE:?}, and not all before");
                } else {
                    sleep(Duration::from_millis(10));
                }
            }
        })))
    }

    pub fn result(self) -> Result<T> {
        self.0.join().expect("readers of events do not panic")
    }
}

/// A watch whose client writes what comes into a file.
struct Stream {
    client: Child,
    lines: BufReader<File>,
    line: String,
}

impl Stream {
    fn start(server: &Kubectl, path: &str, file: PathBuf) -> Result<Stream> {
        let client = server.start(&["get", "--raw", path], &file)?;
        Ok(Stream {
            client,
            lines: BufReader::new(File::open(file)?),
            line: String::new(),
        })
    }

    /// The next event that is there.
    fn next(&mut self) -> Result<Option<Value>> {
        self.lines.read_line(&mut self.line)?;
        if !self.line.ends_with('\n') {
            return Ok(None);
        }
        let event = serde_json::from_str(&self.line)?;
        self.line.clear();
        Ok(Some(event))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.client.kill().unwrap_or_default();
        self.client.wait().map(drop).unwrap_or_default();
    }
}

fn revision(object: &Value) -> Result<u64> {
    let text = object["metadata"]["resourceVersion"].as_str();
    let number = text.and_then(|text| text.parse().ok());
    number.with_context(|| format!("no revision in {object}"))
}

/// All changes of ConfigMaps, from a revision at which there were none of ours.
///
/// Each object was created, patched and deleted, is told with what it held, and revisions only rise.
pub fn follow_changes(server: &Kubectl, file: PathBuf, objects: usize) -> Result<Followed<()>> {
    let now = revision(&server.value(&format!("{MAPS}?limit=1"))?)?;
    let path = format!("{MAPS}?watch=1&resourceVersion={now}");
    let mut told = Told::default();
    Followed::start(server, &path, file, move |event| {
        told.add(&event)?;
        if told.count < 3 * objects {
            return Ok(None);
        }
        told.check(objects)?;
        Ok(Some(()))
    })
}

#[derive(Default)]
struct Told {
    /// What happened to each, and what it held then.
    changes: BTreeMap<String, Vec<(String, String)>>,
    count: usize,
    last: u64,
}

impl Told {
    fn add(&mut self, event: &Value) -> Result<()> {
        let object = &event["object"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&object["metadata"]["name"]);
        if !name.starts_with("map-") {
            return Ok(());
        }
        let (revision, last) = (revision(object)?, self.last);
        ensure!(revision > last, "revision {revision} is told after {last}");
        let what = (text(&event["type"]), text(&object["data"]["n"]));
        self.changes.entry(name).or_default().push(what);
        self.last = revision;
        self.count += 1;
        Ok(())
    }

    fn check(&self, objects: usize) -> Result<()> {
        for number in 0..objects {
            let name = name(number);
            let changes = [
                ("ADDED", &*name),
                ("MODIFIED", "patched"),
                ("DELETED", "patched"),
            ];
            let expected = changes.map(|(kind, data)| (kind.to_owned(), data.to_owned()));
            let told = self.changes.get(&name).map_or(&[][..], |told| &told[..]);
            ensure!(told == expected, "of {name} a watch told {told:?}");
        }
        Ok(())
    }
}

/// Watches Secrets while all else changes: only the store's notices of progress bring such a watch forward.
pub fn follow_bookmarks(plane: &Plane) -> Result<Followed<()>> {
    const SECRETS: &str = "/api/v1/namespaces/default/secrets";
    let from = revision(&plane.cached.value(&format!("{SECRETS}?limit=1"))?)?;
    plane.cached.run(&["create", "configmap", "elsewhere"])?;
    let beyond = revision(&plane.direct.value(&format!("{MAPS}/elsewhere"))?)?;
    // For a list that must be of now the server asks the store how far it is, and gives up after some seconds.
    wait_until("a list of now is answered from memory", || {
        let now = revision(&plane.cached.value(&format!("{SECRETS}?limit=1"))?)?;
        ensure!(
            now >= beyond,
            "a list is of {now}, and {beyond} was before it"
        );
        is_answered_from_memory(&plane.cached)
    })?;
    // A bookmark comes shortly before the end at the latest.
    let options = "watch=1&allowWatchBookmarks=true&timeoutSeconds=8";
    let path = format!("{SECRETS}?{options}&resourceVersion={from}");
    let file = plane.folder().join("bookmarks");
    Followed::start(&plane.cached, &path, file, move |event| {
        ensure!(
            event["type"] == "BOOKMARK",
            "nothing was done to Secrets: {event}"
        );
        let revision = revision(&event["object"])?;
        ensure!(
            revision >= beyond,
            "a bookmark of {revision}, and {beyond} was before it"
        );
        Ok(Some(()))
    })
}

/// Whether a list of Secrets ever was, by the server's own count.
fn is_answered_from_memory(server: &Kubectl) -> Result<bool> {
    const COUNT: &str = "apiserver_watch_cache_consistent_read_total{";
    let metrics = server.run(&["get", "--raw", "/metrics"])?;
    let labels = [
        r#"resource="secrets""#,
        r#"success="true""#,
        r#"fallback="false""#,
    ];
    Ok(metrics
        .lines()
        .any(|line| line.starts_with(COUNT) && labels.iter().all(|label| line.contains(label))))
}

/// Creates an object that ends with its lease, not before its time and without anybody's deletion.
pub fn follow_lease(plane: &Plane) -> Result<Followed<()>> {
    const EVENTS: &str = "/api/v1/namespaces/default/events";
    let now = revision(&plane.cached.value(&format!("{EVENTS}?limit=1"))?)?;
    let path = format!("{EVENTS}?watch=1&resourceVersion={now}");
    let mut created = None;
    let file = plane.folder().join("events");
    let followed = Followed::start(&plane.cached, &path, file, move |event| {
        let named = &event["object"]["metadata"]["name"];
        // The servers have things to tell as well.
        if named != "leased" {
            return Ok(None);
        }
        let Some(created) = created else {
            ensure!(event["type"] == "ADDED", "{event}");
            created = Some(Instant::now());
            return Ok(None);
        };
        ensure!(event["type"] == "DELETED", "{event}");
        let lived = Instant::now() - created;
        // Told a moment late and a moment early.
        let least = Duration::from_secs(EVENT_SECONDS - 1);
        ensure!(
            lived > least,
            "what was leased for {EVENT_SECONDS} s lived for {lived:?}"
        );
        Ok(Some(()))
    })?;
    let about = json!({"kind": "ConfigMap", "name": "any", "namespace": "default"});
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "leased"},
        "reason": "Test", "involvedObject": about});
    let file = plane.folder().join("event.json");
    fs::write(&file, event.to_string())?;
    plane
        .cached
        .run(&["create", "-f", &file.display().to_string()])?;
    Ok(followed)
}
