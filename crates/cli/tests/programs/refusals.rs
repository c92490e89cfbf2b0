//! Bad words and files: one sentence that says what to do, before anything listens.

use crate::place::{Place, free_address, tombolo};
use std::{fs, net::TcpListener};

/// What the program says when it refuses to start.
fn refused(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    let output = tombolo(&words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{words:?}: {said}");
    let lines = said.lines().filter(|line| line.starts_with("error: "));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{words:?}: {said}");
    lines[0].to_owned()
}

#[test]
fn words_that_cannot_be_are_refused_with_what_to_do() {
    let place = Place::new();
    let folder = place.path.display();
    let file = |name: &str, text: &str| {
        fs::write(place.path.join(name), text).unwrap();
    };
    file("good", "endpoints: [http://127.0.0.1:1]");
    file("empty", "");
    file("https", "endpoints: [https://127.0.0.1:1]");
    file("none", "endpoints: []");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let health = free_address();
    let mirror = |cluster: &str, more: &str| {
        format!("kvstoremesh {cluster} --health-listen {health} {more}")
    };
    let table = [
        (
            mirror(
                "--cluster-name c1 --cluster-id 0",
                &format!("--store {folder}/good"),
            ),
            "--cluster-id 0: use 1 to 255",
        ),
        (
            mirror(
                "--cluster-name c1 --cluster-id 256",
                &format!("--store {folder}/good"),
            ),
            "--cluster-id 256: use 1 to 255",
        ),
        (
            mirror(
                "--cluster-name c1 --cluster-id 1 --max-connected-clusters 300",
                &format!("--store {folder}/good"),
            ),
            "use 255 or 511",
        ),
        (
            mirror(
                "--cluster-name C1 --cluster-id 1",
                &format!("--store {folder}/good"),
            ),
            "--cluster-name C1: use at most 32 of a-z",
        ),
        (
            mirror(
                "--cluster-name default --cluster-id 1",
                &format!("--store {folder}/good"),
            ),
            "needs a name of its own",
        ),
        (
            mirror(
                "--cluster-name c1 --cluster-id 1",
                &format!("--store {folder}/absent"),
            ),
            "absent can't be read",
        ),
        (
            mirror(
                "--cluster-name c1 --cluster-id 1",
                &format!("--store {folder}/empty"),
            ),
            "`endpoints:` is missing",
        ),
        (
            mirror(
                "--cluster-name c1 --cluster-id 1",
                &format!("--store {folder}/https"),
            ),
            "is reached by TLS: name trusted-ca-file",
        ),
        (
            mirror(
                "--cluster-name c1 --cluster-id 1",
                &format!("--store {folder}/none"),
            ),
            "the file has no endpoint",
        ),
        (
            mirror(
                "--cluster-name c1 --cluster-id 1",
                &format!("--store {folder}/good --clustermesh-config {folder}/absent"),
            ),
            "make that folder, empty if there are none",
        ),
        (
            format!(
                "apiserver --cluster-name c1 --cluster-id 1 --store {folder}/good --objects {folder}/absent --health-listen {health}"
            ),
            "give `kubernetes`, a folder of manifests, or -",
        ),
        (
            format!(
                "apiserver --cluster-name c1 --cluster-id 1 --store {folder}/good --objects {folder} --health-listen {taken}"
            ),
            "give --health-listen a free address",
        ),
        (
            format!(
                "store --cluster-name c1 --insecure --listen 0.0.0.0:0 --health-listen {health}"
            ),
            "give --listen an address of this machine alone",
        ),
        (
            format!("store --cluster-name c1 --insecure --listen {taken} --health-listen {health}"),
            "give --listen a free address",
        ),
        (
            format!(
                "store --cluster-name C1 --certificates {folder}/c --listen 127.0.0.1:0 --health-listen {health}"
            ),
            "`C1` can't be a cluster's name",
        ),
        (
            format!("certificates issue remote-c2 --certificates {folder}/absent"),
            "`tombolo certificates init` makes an authority there",
        ),
        (
            format!("certificates issue remote-C2 --certificates {folder}"),
            "",
        ),
    ];
    for (words, expected) in table {
        let said = refused(&words);
        assert!(said.contains(expected), "{words}: {said}");
    }
}
