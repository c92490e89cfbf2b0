//! The crate table of ARCHITECTURE.md, held against every manifest.
//!
//! A new crate or a new arrow is a decision: it changes ARCHITECTURE.md and this table in one commit.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::{Finding, Findings};

/// A crate of ours and what it may import of ours, in any kind of dependency.
struct Wall {
    name: &'static str,
    imports: &'static [&'static str],
    /// Outsiders it may never import, by the beginning of their names.
    never: &'static [&'static str],
}

const ASYNC: &[&str] = &["tokio", "futures", "async-", "aya", "kube", "tonic"];
const ASYNC_BUT_AYA: &[&str] = &["tokio", "futures", "async-", "kube", "tonic"];
const EDGES: &[&str] = &["aya", "kube", "tonic"];
const NONE: &[&str] = &[];
/// No input, output, clock or other threads: whatever brings them is kept out by name.
const WORLD: &[&str] = &[
    "async-",
    "aya",
    "chrono",
    "crossbeam",
    "futures",
    "hyper",
    "jiff",
    "kube",
    "libc",
    "mio",
    "netlink",
    "nix",
    "rayon",
    "reqwest",
    "rustix",
    "socket2",
    "time",
    "tokio",
    "tonic",
    "tracing-subscriber",
];

const WALLS: [Wall; 16] = [
    wall("abi", &[], ASYNC_BUT_AYA),
    wall(
        "agent",
        &[
            "clustermesh",
            "control",
            "datapath",
            "k8s",
            "kvstore",
            "linux",
            "model",
            "observe",
        ],
        NONE,
    ),
    wall(
        "cli",
        &[
            "agent",
            "clustermesh",
            "control",
            "datapath",
            "k8s",
            "kvstore",
            "lab",
            "linux",
            "model",
            "observe",
        ],
        NONE,
    ),
    wall("clustermesh", &["kvstore", "model"], NONE),
    wall("cni", &["linux", "model"], ASYNC),
    wall(
        "control",
        &["clustermesh", "k8s", "kvstore", "model"],
        &["aya"],
    ),
    wall("datapath", &["abi", "linux", "model"], &["kube", "tonic"]),
    wall("ebpf", &["abi"], &["libc", "rustix", "serde", "tokio"]),
    wall("k8s", &["model"], NONE),
    wall("kvstore", &["model"], NONE),
    wall("lab", &["k8s", "linux", "model"], NONE),
    wall("linux", &[], ASYNC),
    wall("model", &[], WORLD),
    wall("observe", &["model"], NONE),
    wall("sim", &["clustermesh", "kvstore", "model"], EDGES),
    wall("xtask", &[], EDGES),
];

/// Outsiders that have a home: by the beginning of their names, and the crates that may import them.
const HOMES: [(&str, &[&str]); 10] = [
    ("aya", &["abi", "datapath", "ebpf"]),
    ("aya-ebpf", &["ebpf"]),
    ("k8s-openapi", &["k8s", "lab"]),
    ("kube", &["k8s", "lab"]),
    ("libbpf", &[]),
    ("neli", &["linux"]),
    ("netlink", &["linux"]),
    ("rtnetlink", &["linux"]),
    ("prost", &["kvstore", "observe"]),
    ("tonic", &["kvstore", "observe"]),
];

const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

const fn wall(
    name: &'static str,
    imports: &'static [&'static str],
    never: &'static [&'static str],
) -> Wall {
    Wall {
        name,
        imports,
        never,
    }
}

pub fn check(path: &str, text: &str, found: &mut Findings) {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            found
                .breaches
                .push(Finding::new(path, 0, format!("not a manifest: {error}")));
            return;
        }
    };
    match path
        .strip_prefix("crates/")
        .and_then(|rest| rest.strip_suffix("/Cargo.toml"))
    {
        Some(folder) => found
            .breaches
            .extend(breaches(path, folder, text, &manifest)),
        None => found.breaches.extend(without_reason(path, text)),
    }
}

/// ARCHITECTURE.md has a row for each crate there is.
pub fn check_described(root: &Path, paths: &[String], found: &mut Findings) {
    const DOCUMENT: &str = "ARCHITECTURE.md";
    let text = fs::read_to_string(root.join(DOCUMENT)).unwrap_or_default();
    for path in paths {
        let folder = path
            .strip_prefix("crates/")
            .and_then(|rest| rest.strip_suffix("/Cargo.toml"));
        if let Some(folder) = folder
            && !text.contains(&format!("\n| `{folder}` |"))
        {
            found.breaches.push(Finding::new(
                DOCUMENT,
                0,
                format!("the crate table has no row for `{folder}`"),
            ));
        }
    }
}

fn breaches(path: &str, folder: &str, text: &str, manifest: &Table) -> Vec<Finding> {
    let at = |word: &str, message: String| {
        let line = text.lines().position(|line| line.starts_with(word));
        Finding::new(path, line.map_or(0, |index| index + 1), message)
    };
    let Some(wall) = WALLS.iter().find(|wall| wall.name == folder) else {
        return vec![at(
            "name",
            format!("`{folder}` is in no row of the crate table: see ARCHITECTURE.md"),
        )];
    };
    let mut found = Vec::new();
    let expected = if folder == "xtask" {
        folder.to_owned()
    } else {
        format!("tombolo-{folder}")
    };
    let package = manifest
        .get("package")
        .and_then(|package| package.get("name"));
    if package.and_then(Value::as_str) != Some(&expected) {
        found.push(at(
            "name",
            format!("the package in crates/{folder} is called `{expected}`"),
        ));
    }
    if manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        != Some(&Value::Boolean(true))
    {
        found.push(at(
            "[lints]",
            "`[lints] workspace = true` is missing".to_owned(),
        ));
    }
    for (name, value) in dependencies(manifest) {
        if value.get("workspace") != Some(&Value::Boolean(true)) {
            found.push(at(
                name,
                format!("`{name}`: take version and reason from the workspace"),
            ));
        }
        if let Some(reason) = refusal(wall, name) {
            found.push(at(name, reason));
        }
    }
    found
}

fn dependencies(manifest: &Table) -> Vec<(&str, &Value)> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let tables = platforms
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let tables = tables.chain([manifest]);
    let kinds =
        tables.flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table()));
    kinds
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

fn refusal(wall: &Wall, name: &str) -> Option<String> {
    let crate_name = wall.name;
    if let Some(ours) = name.strip_prefix("tombolo-") {
        let allowed = wall.imports.contains(&ours);
        return (!allowed)
            .then(|| format!("`{crate_name}` may not import `{ours}`: see ARCHITECTURE.md"));
    }
    let homeless = HOMES
        .iter()
        .any(|(outsider, homes)| is_of(name, outsider) && !homes.contains(&crate_name));
    let unwanted = wall.never.iter().any(|never| is_of(name, never));
    (homeless || unwanted)
        .then(|| format!("`{crate_name}` may not import `{name}`: see ARCHITECTURE.md"))
}

/// Whether `name` is the crate `family` or one of its relatives: `aya` and `aya-obj`, but not `ayam`.
fn is_of(name: &str, family: &str) -> bool {
    let rest = name.strip_prefix(family);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(['-', '_']) || family.ends_with('-')
    })
}

/// Each outsider is a decision, with its reason on the same line.
fn without_reason(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
            continue;
        }
        let Some((name, value)) = line.split_once(" = ") else {
            continue;
        };
        if inside && !name.starts_with("tombolo-") && !value.contains(" # ") {
            found.push(Finding::new(
                path,
                number,
                format!("`{name}` has no reason: add `# why` to its line"),
            ));
        }
    }
    found
}
