use super::{Findings, crates, files, links, rust};
use std::path::Path;

fn rust_breaches(path: &str, text: &str) -> Vec<String> {
    let mut found = Findings::default();
    rust::check(path, text, &mut found);
    texts(&found)
}

fn manifest_breaches(path: &str, text: &str) -> Vec<String> {
    let mut found = Findings::default();
    crates::check(path, text, &mut found);
    texts(&found)
}

fn texts(found: &Findings) -> Vec<String> {
    found.breaches.iter().map(ToString::to_string).collect()
}

fn manifest(name: &str, dependencies: &str) -> String {
    format!(
        "[package]\nname = \"tombolo-{name}\"\n[dependencies]\n{dependencies}\n[lints]\nworkspace = true\n"
    )
}

#[test]
fn arrows_between_crates_follow_the_table() {
    let table = [
        ("cni", "tombolo-linux.workspace = true", true),
        ("cni", "tombolo-agent.workspace = true", false),
        ("cni", "tokio.workspace = true", false),
        ("agent", "tombolo-abi.workspace = true", false),
        ("agent", "tombolo-datapath.workspace = true", true),
        ("abi", "aya = { workspace = true, optional = true }", true),
        ("model", "aya = { workspace = true }", false),
        ("model", "tokio-util.workspace = true", false),
        ("model", "serde.workspace = true", true),
        ("linux", "netlink-packet-route.workspace = true", true),
        ("datapath", "netlink-packet-route.workspace = true", false),
        ("datapath", "aya-ebpf.workspace = true", false),
        ("observe", "tonic.workspace = true", true),
        ("agent", "tonic.workspace = true", false),
        ("model", "serde = \"1\"", false),
        (
            "model",
            "[target.'cfg(unix)'.dev-dependencies]\nmio.workspace = true",
            false,
        ),
    ];
    for (name, dependencies, allowed) in table {
        let found = manifest_breaches(
            &format!("crates/{name}/Cargo.toml"),
            &manifest(name, dependencies),
        );
        assert_eq!(
            found.is_empty(),
            allowed,
            "{name}: {dependencies}: {found:?}"
        );
    }
}

#[test]
fn crates_outside_of_the_table_are_refused() {
    let found = manifest_breaches("crates/common/Cargo.toml", &manifest("common", ""));
    assert_eq!(found.len(), 1, "{found:?}");
    let found = manifest_breaches("crates/cni/Cargo.toml", &manifest("plugin", ""));
    assert!(found[0].contains("`tombolo-cni`"), "{found:?}");
    let found = manifest_breaches(
        "crates/cni/Cargo.toml",
        "[package]\nname = \"tombolo-cni\"\n",
    );
    assert!(found[0].contains("[lints]"), "{found:?}");
}

#[test]
fn dependencies_of_the_workspace_have_a_reason() {
    let text = "[workspace.dependencies]\ntombolo-abi = { path = \"crates/abi\" }\nanyhow = \"1\" # context\nfoo = \"1\"\n";
    assert_eq!(
        manifest_breaches("Cargo.toml", text),
        ["Cargo.toml:4: `foo` has no reason: add `# why` to its line"]
    );
}

#[test]
fn forbidden_names_are_found_however_they_are_written() {
    let table = [
        ("crates/model/src/a.rs", "use std::time::Instant;", true),
        (
            "crates/model/src/a.rs",
            "use std::{collections::BTreeMap, time::{Duration, Instant}};",
            true,
        ),
        ("crates/model/src/a.rs", "use std::time::Duration;", false),
        (
            "crates/model/src/a.rs",
            "fn f() { println!(\"{:?}\", ::std::env::args()) }",
            true,
        ),
        ("crates/model/src/a.rs", "use std::fs;", true),
        ("crates/model/src/a.rs", "// use std::fs;", false),
        (
            "crates/model/src/a.rs",
            "use std::net::{IpAddr, TcpStream as Stream};",
            true,
        ),
        ("crates/model/src/a.rs", "use std::net::IpAddr;", false),
        ("crates/lab/src/a.rs", "use std::fs;", false),
        (
            "crates/agent/src/a.rs",
            "fn f() { tokio::spawn(async {}); }",
            true,
        ),
        (
            "crates/agent/src/supervision.rs",
            "fn f() { tokio::spawn(async {}); }",
            false,
        ),
        ("crates/agent/src/a.rs", "fn f() { unsafe { g() } }", true),
        ("crates/linux/src/a.rs", "fn f() { unsafe { g() } }", false),
    ];
    for (path, text, forbidden) in table {
        let found = rust_breaches(path, &format!("//! Head.\n{text}\n"));
        assert_eq!(!found.is_empty(), forbidden, "{path}: {text}: {found:?}");
    }
}

#[test]
fn files_and_functions_have_limits() {
    let body = "    step();\n".repeat(100);
    let text = format!(
        "//! Head.\nmod inner {{\n  impl A {{\n fn long() -> [u8; {{ 3 }}] {{\n{body}}}\n }}\n}}\n"
    );
    let found = rust_breaches("crates/lab/src/a.rs", &text);
    assert_eq!(
        found,
        ["crates/lab/src/a.rs:4: `long` has 102 lines, at most 100: give its parts names"]
    );

    let mut found = Findings::default();
    files::check("crates/lab/src/a.rs", &"x\n".repeat(601), &mut found);
    assert!(texts(&found)[0].contains("601 lines"), "{found:?}");
    files::check("crates/lab/src/b.rs", &"x\n".repeat(301), &mut found);
    assert_eq!(
        (found.breaches.len(), found.remarks.len()),
        (1, 1),
        "{found:?}"
    );
}

#[test]
fn modules_have_a_head_and_tests_need_none() {
    assert_eq!(rust_breaches("crates/lab/src/a.rs", "use x::y;\n").len(), 1);
    assert_eq!(
        rust_breaches("crates/lab/src/a/tests.rs", "use x::y;\n").len(),
        0
    );
}

#[test]
fn blanks_and_tabs_are_found() {
    let mut found = Findings::default();
    files::check("README.md", "good\nbad \n\tbad\nno newline", &mut found);
    assert_eq!(found.breaches.len(), 3, "{found:?}");
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = "# A heading, or two\n[a](Cargo.toml) [b](absent.md) [c](https://example.org/x)\n\
                [d](#a-heading-or-two) ![e](src/nothing.png)\n```\n[f](not-a-link)\n```\n";
    let mut found = Findings::default();
    // The text stands for a file of this crate; its own headings are looked up in what is really there.
    links::check(
        root,
        "src/tidy/tests/page.md",
        &text.replace("Cargo.toml", "../../../Cargo.toml"),
        &mut found,
    );
    let lines: Vec<_> = found.breaches.iter().map(|breach| breach.line).collect();
    assert_eq!(lines, [2, 3], "{found:?}");
}
