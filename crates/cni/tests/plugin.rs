//! The plugin as a process, with no agent at hand: what it refuses, and what it does alone.

mod common;

use common::{Folder, call, config};
use serde_json::{Value, json};
use std::fs;

const CONTAINER: (&str, &str) = ("CNI_CONTAINERID", "c1");
const INTERFACE: (&str, &str) = ("CNI_IFNAME", "eth0");
const NETNS: (&str, &str) = ("CNI_NETNS", "/run/netns/c1");
const ADD: [(&str, &str); 3] = [CONTAINER, INTERFACE, NETNS];

type Variables<'a> = &'a [(&'a str, &'a str)];

#[test]
fn bad_input_gets_the_errors_of_the_specification() {
    let good = r#"{"cniVersion": "1.0.0", "name": "n", "type": "t"}"#;
    let old = r#"{"cniVersion": "0.2.0", "name": "n", "type": "t"}"#;
    let long = format!("{good}{}", " ".repeat(1 << 20));
    let cases: &[(&str, Variables<'_>, &str, u64, &str)] = &[
        ("", &ADD, good, 4, "CNI_COMMAND"),
        ("UPDATE", &ADD, good, 4, "CNI_COMMAND"),
        ("ADD", &ADD, "", 6, "network configuration"),
        ("ADD", &ADD, "nonsense", 6, "network configuration"),
        ("ADD", &ADD, &long, 6, "longer than 1 MiB"),
        ("VERSION", &[], "nonsense", 6, "versions"),
        ("ADD", &ADD, "{}", 7, "cniVersion is missing"),
        ("ADD", &ADD, old, 1, "0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"),
        ("GC", &[], good, 1, "GC came with 1.1.0"),
        ("STATUS", &[], good, 1, "STATUS came with 1.1.0"),
        ("ADD", &[INTERFACE, NETNS], good, 4, "CNI_CONTAINERID"),
        ("ADD", &[CONTAINER, NETNS], good, 4, "CNI_IFNAME"),
        ("ADD", &[CONTAINER, INTERFACE], good, 4, "CNI_NETNS"),
        ("DEL", &[INTERFACE], good, 4, "CNI_CONTAINERID"),
        (
            "ADD",
            &[CONTAINER, NETNS, ("CNI_IFNAME", "sixteen-letters0")],
            good,
            4,
            "CNI_IFNAME",
        ),
        (
            "ADD",
            &[CONTAINER, NETNS, ("CNI_IFNAME", "a/b")],
            good,
            4,
            "CNI_IFNAME",
        ),
    ];
    for (command, variables, input, code, text) in cases {
        let (got, message) = call(command, variables, input.as_bytes()).error();
        assert_eq!(got, *code, "{command}: {message}");
        assert!(message.contains(text), "{command}: {message}");
    }
}

#[test]
fn errors_speak_the_version_of_the_configuration() {
    let cases = [("0.4.0", "0.4.0"), ("1.0.0", "1.0.0"), ("7.0.0", "1.1.0")];
    for (asked, answered) in cases {
        let input = json!({"cniVersion": asked, "name": "n", "type": "t"}).to_string();
        let error = call("ADD", &[], input.as_bytes()).json();
        assert_eq!(error["cniVersion"], answered);
    }
}

#[test]
fn versions_are_told_without_a_configuration() {
    let answer = call("VERSION", &[], br#"{"cniVersion": "0.4.0"}"#);
    assert!(answer.success);
    assert_eq!(
        answer.json(),
        json!({
            "cniVersion": "0.4.0",
            "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
        })
    );
}

#[test]
fn without_an_agent_a_runtime_is_told_to_try_again() {
    let folder = Folder::new("away");
    let mut config = config(&folder.0);
    config["prevResult"] = json!({"cniVersion": "1.1.0"});
    let input = config.to_string();
    // Not GC, which would take away what pods this machine has.
    for (command, code) in [("ADD", 11), ("CHECK", 11), ("STATUS", 50)] {
        let (got, message) = call(command, &ADD, input.as_bytes()).error();
        assert_eq!(got, code, "{command}: {message}");
        assert!(message.contains("start it (`tombolo agent`"), "{message}");
        assert!(message.contains("agent.sock"), "{message}");
    }
}

#[test]
fn a_deletion_without_an_agent_succeeds_and_is_queued() {
    let folder = Folder::new("queued");
    let input = config(&folder.0).to_string();
    let gone = ("CNI_NETNS", "/run/netns/was-never-there");
    let cases: [&[(&str, &str)]; 3] = [
        &[CONTAINER, INTERFACE, gone],
        &[CONTAINER, INTERFACE, ("CNI_NETNS", "")],
        &[CONTAINER, INTERFACE],
    ];
    for variables in cases {
        let answer = call("DEL", variables, input.as_bytes());
        assert!(answer.success, "{}", answer.text);
        assert_eq!(answer.text, "", "DEL has nothing to say");
    }
    let queue = folder.path("deletes");
    let files: Vec<_> = fs::read_dir(&queue).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let queued: Value = serde_json::from_slice(&fs::read(files[0].path()).unwrap()).unwrap();
    assert_eq!(queued, json!({"container": "c1", "interface": "eth0"}));
}

#[test]
fn each_call_is_logged_where_the_configuration_says() {
    let folder = Folder::new("log");
    let log = folder.path("cni.log");
    let mut config = config(&folder.0);
    config["log"] = json!(log);
    call("DEL", &ADD, config.to_string().as_bytes());
    call("STATUS", &[], config.to_string().as_bytes());
    let lines = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with(" DEL c1/eth0 done"), "{}", lines[0]);
    assert!(lines[1].contains(" STATUS / error 50: "), "{}", lines[1]);
}
