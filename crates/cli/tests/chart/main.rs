//! The chart, as the real helm sees it.

mod matrix;
mod refusals;
mod rights;

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// The oldest one that the chart is for, and one that the lab runs.
const KUBERNETES: [&str; 2] = ["1.29.0", "1.34.4"];
/// A cluster of a mesh, with all that there is in it.
const MESHED: &[&str] = &[
    "cluster.name=cluster1",
    "cluster.id=1",
    "clustermesh.useAPIServer=true",
];

/// From PATH, or where `tombolo lab binaries` keeps it.
fn helm() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let cache = env::home_dir().map(|home| home.join(".cache/tombolo/bin"));
    let mut found = env::split_paths(&path)
        .chain(cache)
        .map(|folder| folder.join("helm"));
    found
        .find(|file| file.is_file())
        .expect("helm is not there: `tombolo lab binaries` builds it")
}

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../chart/tombolo")
}

fn run(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    Command::new(helm())
        .args(words)
        .output()
        .expect("helm starts")
}

fn template(version: &str, values: &[&str]) -> Output {
    let chart = chart();
    let mut words = vec!["template", "tombolo", chart.to_str().unwrap()];
    words.extend(["--namespace", "kube-system", "--kube-version", version]);
    for value in values {
        words.extend(["--set-json", value]);
    }
    run(words)
}

/// Values as `name=value`, where what is not JSON is text.
fn json(value: &str) -> String {
    let (name, value) = value.split_once('=').unwrap();
    match serde_json::from_str::<Value>(value) {
        Ok(_) => format!("{name}={value}"),
        Err(_) => format!("{name}={}", Value::String(value.to_owned())),
    }
}

/// The objects that a release would have.
fn objects(version: &str, values: &[&str]) -> Vec<Value> {
    let values: Vec<_> = values.iter().map(|value| json(value)).collect();
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    let output = template(version, &values);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{values:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = text
        .split("\n---\n")
        .map(|text| text.trim_start_matches("---\n"));
    let read = documents.map(|text| {
        serde_saphyr::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    });
    read.filter(|object| !object.is_null()).collect()
}

fn refused(values: &[&str]) -> String {
    let values: Vec<_> = values.iter().map(|value| json(value)).collect();
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    let output = template(KUBERNETES[1], &values);
    assert!(!output.status.success(), "{values:?} is accepted");
    String::from_utf8(output.stderr).unwrap()
}

fn name(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap();
    format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap())
}

fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    let found = objects.iter().find(|object| name(object) == wanted);
    found.unwrap_or_else(|| panic!("there is no {wanted}"))
}

#[test]
fn lint_finds_nothing() {
    let chart = chart();
    let output = run(["lint", "--strict", chart.to_str().unwrap()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn the_charts_version_is_the_programs() {
    let text = std::fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// What `tombolo chart` writes is what the repository has.
#[test]
fn the_program_carries_the_chart() {
    let folder = env::temp_dir().join(format!("tombolo-carried-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let output = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .arg("chart")
        .arg(&folder)
        .output();
    assert!(output.unwrap().status.success());
    let same = Command::new("diff")
        .arg("-r")
        .args([&folder, &chart()])
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(
        same.status.success(),
        "{}",
        String::from_utf8_lossy(&same.stdout)
    );
}
