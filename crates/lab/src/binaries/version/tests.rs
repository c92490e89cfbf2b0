use super::*;
use crate::binaries::ALL;
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

#[test]
fn versions_are_read_from_what_programs_say() {
    let cases = [
        (
            "etcd Version: 3.6.6\nGit SHA: Not provided\n",
            Some("3.6.6"),
        ),
        ("etcdctl version: 3.6.6\nAPI version: 3.6\n", Some("3.6.6")),
        ("Kubernetes v1.34.4\n", Some("1.34.4")),
        (
            "Client Version: v1.34.4\nKustomize Version: v5.7.1\n",
            Some("1.34.4"),
        ),
        ("Kubernetes v1.35.0-alpha.1+a1b2\n", Some("1.35.0")),
        ("v3.19.2+g8766e71\n", Some("3.19.2")),
        ("CoreDNS-1.13.1\nlinux/amd64, go1.26.0,\n", Some("1.13.1")),
        ("Kubernetes v0.0.0-master+$Format:%H$\n", Some("0.0.0")),
        (
            "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n",
            Some("1.6.20"),
        ),
        ("runc version 1.1.5+ds1\ncommit: 1.1.5\n", Some("1.1.5")),
        ("linux/amd64, go1.26\n", None),
        ("1.2.3.4 and 1..3\n", None),
        ("", None),
    ];
    for (text, version) in cases {
        assert_eq!(read(text).as_deref(), version, "{text:?}");
    }
}

#[test]
fn a_series_ends_at_a_dot() {
    assert!(is_of("3.6.6", "3.6"));
    assert!(is_of("3.19.2", "3"));
    assert!(!is_of("3.60.1", "3.6"));
    assert!(!is_of("1.33.4", "1.34"));
}

#[test]
fn what_is_built_is_of_its_series() {
    for binary in &ALL {
        assert!(is_of(binary.version, binary.series), "{}", binary.name);
        let required = format!("v{}", binary.version);
        assert!(
            binary.module.requirements.contains(&required),
            "{}: its module requires another version",
            binary.name
        );
    }
}

/// A program that prints `text` and ends with `code`.
fn script(name: &str, text: &str, code: u8) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tombolo-{}-{name}", std::process::id()));
    fs::write(&path, format!("#!/bin/sh\necho '{text}'\nexit {code}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn only_the_right_version_is_good() {
    let etcd = Binary::named("etcd").unwrap();
    let other = |is: &str, wanted| {
        Check::Bad(Problem::Other {
            is: is.to_owned(),
            wanted,
        })
    };
    let cases = [
        (
            "etcd Version: 3.6.6",
            0,
            Demand::Exact,
            Check::Good("3.6.6".to_owned()),
        ),
        (
            "etcd Version: 3.6.1",
            0,
            Demand::Exact,
            other("3.6.1", "3.6.6"),
        ),
        (
            "etcd Version: 3.6.1",
            0,
            Demand::Series,
            Check::Good("3.6.1".to_owned()),
        ),
        (
            "etcd Version: 3.5.9",
            0,
            Demand::Series,
            other("3.5.9", "3.6"),
        ),
        (
            "etcd Version: 3.6.6",
            1,
            Demand::Series,
            Check::Bad(Problem::Silent),
        ),
        ("no idea", 0, Demand::Series, Check::Bad(Problem::Silent)),
    ];
    for (text, code, demand, result) in cases {
        let path = script("etcd", text, code);
        assert_eq!(check(etcd, &path, demand), result, "{text} {demand:?}");
        fs::remove_file(path).unwrap();
    }
    let absent = std::env::temp_dir().join("tombolo-no-such-program");
    assert_eq!(
        check(etcd, &absent, Demand::Series),
        Check::Bad(Problem::Silent)
    );
}
