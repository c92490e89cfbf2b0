//! The program as a process, with no agent at hand.

use std::process::{Command, Output, Stdio};

fn tombolo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(arguments)
        .env_remove("TOMBOLO_SOCKET")
        .output()
        .expect("the program starts")
}

#[test]
fn without_an_agent_every_question_is_an_error_with_a_hint() {
    for question in [
        &["status"][..],
        &["status", "-o", "json"],
        &["monitor"],
        &["endpoint", "list"],
        &["node", "list"],
        &["ip", "list"],
        &["identity", "list"],
        &["programs", "replace"],
    ] {
        let output = tombolo(&[question, &["--socket", "/nowhere/agent.sock"]].concat());
        assert_eq!(output.status.code(), Some(1), "{question:?}");
        assert!(output.stdout.is_empty(), "{question:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(
            lines[0].starts_with("error: no agent answers at /nowhere/agent.sock"),
            "{error}"
        );
        assert!(
            lines[1].starts_with("hint: start it with `tombolo agent`"),
            "{error}"
        );
    }
}

#[test]
fn the_version_and_completions_need_no_agent() {
    let version = tombolo(&["version", "-o", "json"]);
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = tombolo(&["completions", shell]);
        assert!(script.status.success(), "{shell}");
        let script = String::from_utf8(script.stdout).unwrap();
        assert!(script.contains("endpoint"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = std::env::temp_dir().join(format!("tombolo-man-{}", std::process::id()));
    let written = tombolo(&["man", folder.to_str().unwrap()]);
    assert!(written.status.success());
    let page = std::fs::read_to_string(folder.join("tombolo-clustermesh-connect.1")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(page.contains("destination\\-context"), "{page}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        output.stderr.is_empty(),
        "{:?}",
        String::from_utf8(output.stderr)
    );
}

#[test]
fn a_misspelt_command_is_not_guessed() {
    assert_eq!(tombolo(&["statsu"]).status.code(), Some(2));
}
