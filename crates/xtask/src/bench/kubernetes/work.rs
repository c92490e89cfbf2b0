//! What clients do to a control plane, how long it takes, and what they see.
//!
//! What must be so on any etcd is checked here; the rest is told, to be held against the other side.

mod events;
mod past;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use self::events::{Followed, follow_bookmarks, follow_changes, follow_lease};
use super::kubectl::Kubectl;
use super::plane::{Plane, wait_until};

/// How many clients work at once; each has a share of the objects.
const CLIENTS: usize = 4;
const PAGE: usize = 500;
/// Of a usual size: what an object holds beside its name.
const FILLING_BYTES: usize = 1024;
pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Something that clients of both sides must see alike.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub step: &'static str,
    pub what: String,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub seen: Vec<Seen>,
    /// Name with unit, and value.
    pub measures: Vec<(&'static str, f64)>,
}

impl Outcome {
    fn time<T>(&mut self, measure: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work()?;
        self.measures.push((measure, start.elapsed().as_secs_f64()));
        Ok(result)
    }

    fn saw(&mut self, step: &'static str, what: impl ToString) {
        let what = what.to_string();
        self.seen.push(Seen { step, what });
    }
}

/// From an empty store to an empty store.
pub fn run(plane: &Plane, objects: usize) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    outcome
        .measures
        .push(("start_seconds", plane.start.as_secs_f64()));
    let files = write_objects(plane, objects)?;
    let leased = follow_lease(plane)?;
    let bookmarks = follow_bookmarks(plane)?;
    let follow = |server, file| follow_changes(server, plane.folder().join(file), objects);
    let changes = [
        follow(&plane.cached, "changes-cached")?,
        follow(&plane.direct, "changes-direct")?,
    ];

    outcome.time("create_seconds", || {
        each(&files, |file| plane.cached.run(&["create", "-f", file]))
    })?;
    let all = expected(objects, false);
    outcome.time("list_cached_seconds", || list(&plane.cached))?;
    outcome.time("list_direct_seconds", || list(&plane.direct))?;
    for server in [&plane.cached, &plane.direct] {
        ensure!(
            read_in_pages(server)? == all,
            "a list lacks what was created"
        );
    }
    let old = past::Past::remember(plane)?;
    let patch = r#"{"data": {"n": "patched"}}"#;
    outcome.time("patch_seconds", || {
        each(&files, |file| {
            let words = ["patch", "-f", file, "--type=merge", "-p", patch];
            plane.cached.run(&words)
        })
    })?;
    outcome
        .measures
        .push(("store_full_mb", plane.store.megabytes()?));
    ensure!(
        read_in_pages(&plane.direct)? == expected(objects, true),
        "a list lacks a patch"
    );
    old.is_gone(plane, &mut outcome)?;
    refusals(plane, &mut outcome)?;

    outcome.time("delete_seconds", || {
        let labels: Vec<String> = (0..CLIENTS).map(|n| format!("half=0,client={n}")).collect();
        each(&labels, |label| {
            plane
                .cached
                .run(&["delete", "configmaps", "--wait=false", "-l", label])
        })
    })?;
    outcome.time("delete_collection_seconds", || {
        plane
            .cached
            .run(&["delete", "--raw", &format!("{MAPS}?labelSelector=half%3D1")])
    })?;
    outcome.time("watch_late_seconds", || {
        changes.into_iter().try_for_each(Followed::result)
    })?;
    ensure!(
        read_in_pages(&plane.cached)?.is_empty(),
        "not everything is deleted"
    );
    bookmarks.result()?;
    leased.result()?;
    outcome.saw(
        "namespaces",
        plane.direct.run(&["get", "namespaces", "-o", "name"])?,
    );
    outcome
        .measures
        .push(("store_max_mb", plane.store.megabytes_max()?));
    outcome
        .measures
        .push(("store_cpu_seconds", plane.store.cpu_seconds()?));
    Ok(outcome)
}

fn name(number: usize) -> String {
    format!("map-{number:05}")
}

/// A file with the objects of each client.
fn write_objects(plane: &Plane, objects: usize) -> Result<Vec<String>> {
    let filling = "0123456789abcdef".repeat(FILLING_BYTES / 16);
    let write = |client: usize| {
        let maps = (client..objects).step_by(CLIENTS).map(|number| {
            let labels = json!({
                "half": (number / CLIENTS % 2).to_string(),
                "client": client.to_string(),
            });
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name(number), "labels": labels},
                "data": {"n": name(number), "filling": filling},
            })
        });
        let items: Vec<Value> = maps.collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let path: PathBuf = plane.folder().join(format!("objects-{client}.json"));
        fs::write(&path, list.to_string())?;
        Ok(path.display().to_string())
    };
    (0..CLIENTS.min(objects)).map(write).collect()
}

/// All clients at once, each with its own word.
fn each(words: &[String], work: impl Fn(&str) -> Result<String> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let clients: Vec<_> = words
            .iter()
            .map(|word| scope.spawn(|| work(word)))
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().expect("clients do not panic").map(drop))
    })
}

fn expected(objects: usize, patched: bool) -> BTreeMap<String, String> {
    let data = |number| match patched {
        true => "patched".to_owned(),
        false => name(number),
    };
    (0..objects)
        .map(|number| (name(number), data(number)))
        .collect()
}

/// As people list: kubectl asks for the pages and prints what came.
fn list(server: &Kubectl) -> Result<()> {
    let words = ["get", "configmaps", "-o", "name"];
    server
        .run(&[&words[..], &[&format!("--chunk-size={PAGE}")]].concat())
        .map(drop)
}

/// Names and data of our objects, page by page, which must all be of one revision.
fn read_in_pages(server: &Kubectl) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut revision = None;
    let mut token = String::new();
    loop {
        let page = server.value(&format!("{MAPS}?limit={PAGE}&continue={token}"))?;
        let of_page = page["metadata"]["resourceVersion"].clone();
        let of_first = revision.get_or_insert_with(|| of_page.clone());
        ensure!(
            *of_first == of_page,
            "pages are of revisions {of_first} and {of_page}"
        );
        let items = page["items"].as_array().context("a page without items")?;
        ensure!(items.len() <= PAGE, "a page has {} items", items.len());
        for item in items {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (name, data) = (text(&item["metadata"]["name"]), text(&item["data"]["n"]));
            if name.starts_with("map-") {
                let before = found.insert(name, data);
                ensure!(before.is_none(), "an object is listed twice: {item}");
            }
        }
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return Ok(found),
        }
    }
}

/// What must not be, and is told in the same words.
fn refusals(plane: &Plane, outcome: &mut Outcome) -> Result<()> {
    let stale = plane.folder().join("stale.json");
    let metadata = json!({"name": name(0), "resourceVersion": "1"});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    fs::write(&stale, map.to_string())?;
    let stale = stale.display().to_string();
    let cases: [(&'static str, &[&str]); 4] = [
        ("a stale write", &["replace", "-f", &stale]),
        ("a second creation", &["create", "configmap", &name(1)]),
        ("what is not there", &["delete", "configmap", "absent"]),
        (
            "the future",
            &[
                "get",
                "--raw",
                &format!("{MAPS}?resourceVersion=9999999999"),
            ],
        ),
    ];
    for (step, words) in cases {
        let output = plane.direct.try_run(words)?;
        ensure!(!output.status.success(), "{step} is let through");
        let said = String::from_utf8_lossy(&output.stderr);
        outcome.saw(step, without_varying(plane, &said));
    }
    Ok(())
}

/// Folders and revisions differ from side to side.
fn without_varying(plane: &Plane, text: &str) -> String {
    let folder = plane.folder().display().to_string();
    let text = text.replace(&folder, "FOLDER");
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_digit());
    words
        .map(|word| word.trim_start_matches(|letter: char| letter.is_ascii_digit()))
        .collect()
}
