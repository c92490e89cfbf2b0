use super::*;
use crate::{command::status::program, render as render_error};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

/// Answers one question with these bytes.
fn answering(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.push(byte[0]);
        }
        assert!(asked.starts_with(b"GET /status HTTP/1.1\r\n"));
        let _ = stream.write_all(answer.as_bytes());
    });
    address
}

fn page(value: &serde_json::Value) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{value}")
}

fn shown(value: &serde_json::Value) -> (bool, String) {
    let (page, program) = program::ask(&answering(page(value))).unwrap();
    let status = Status::of(program.problems(), page);
    (
        status.healthy,
        render_program(&status, &program, Colour::Off),
    )
}

#[test]
fn a_kvstoremesh_is_shown_with_its_peers() {
    let store = json!({"endpoints": ["https://127.0.0.1:2379"], "leads": true, "keys": 56, "pending": 2, "leases": 1,
        "refused": 1, "refused_keys": {"cilium/cache/x": "too large"}});
    let peer = json!({"cluster": "cluster2", "cluster_id": 2, "ready": true, "phase": "ready", "endpoints": [],
        "failures": 0, "records": {"nodes": 2}, "rejected": {}, "certificate_days": 364});
    let (healthy, text) = shown(
        &json!({"program": "kvstoremesh", "version": "0.1.0", "cluster": "cluster1",
        "store": store, "leaving": {"cluster9": "its records go"}, "peers": [peer]}),
    );
    assert!(!healthy);
    assert_eq!(
        text,
        "\
kvstoremesh of cluster cluster1: not healthy
  version        0.1.0
  store          https://127.0.0.1:2379
  writes         56 keys, 2 of them wait
  leaving        cluster9: its records go
CLUSTER   ID  PHASE  RECORDS  BEHIND  NODES  BACKENDS  REJECTED  CERTIFICATE
cluster2  2   ready  nodes 2  0 s     -      -         -         364 d
warning: the store refuses 1 keys, one of them cilium/cache/x: too large
  hint: all others are written; -o json names more
"
    );
}

#[test]
fn a_store_and_an_apiserver_are_shown() {
    let mut store = json!({"program": "store", "version": "0.1.0", "cluster": "cluster1", "address": "0.0.0.0:2379",
        "secure": true, "revision": 17, "compacted": 3, "keys": 9, "leases": 1, "watches": 4,
        "bytes": 2000, "bytes_live": 1000, "bytes_max": 4000});
    let (healthy, text) = shown(&store);
    assert!(healthy, "{text}");
    for line in [
        "  listens        0.0.0.0:2379, with certificates\n",
        "  keys           9 at revision 17\n",
        "  bytes          2000 with the past, of 4000\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    store["bytes_live"] = json!(3900);
    let (healthy, text) = shown(&store);
    assert!(
        !healthy && text.contains("the store is nearly full"),
        "{text}"
    );

    let writer = json!({"endpoints": [], "leads": false, "keys": 0, "pending": 0, "leases": 0, "refused": 0,
        "refused_keys": {}, "trouble": "cannot reach it"});
    let (healthy, text) = shown(
        &json!({"program": "apiserver", "version": "0.1.0", "cluster": "cluster1",
        "cluster_id": 1, "source": "/objects", "ready": false, "store": writer, "objects": {"Pod": 3, "Node": 0},
        "missing": ["Service"], "records": {"ip": 3}, "refused": 2, "refused_objects": ["a: b"], "ignored": 0}),
    );
    assert!(!healthy);
    for line in [
        "  objects        Pod 3 from /objects\n",
        "  told           ip 3\n",
        "  writes         stands by: another replica does\n",
        "warning: the own store can't be written: cannot reach it\n",
        "warning: nothing was told yet of Service\n",
        "warning: 2 objects are refused, one of them: a: b\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn who_is_no_such_program_is_refused_with_a_hint() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let table = [
        (
            "nonsense".to_owned(),
            "`nonsense` is no address",
            "127.0.0.1:9964",
        ),
        (closed, "nobody answers at", "--health-listen"),
        (
            answering("HTTP/1.1 404 Not Found\r\n\r\nthere are /healthz and /metrics\n".into()),
            "404 Not Found there are /healthz and /metrics",
            "--health-listen",
        ),
        (
            answering("SSH-2.0-x\r\n".into()),
            "does not tell its status",
            "--health-listen",
        ),
        (
            answering(page(&json!({"a": 1}))),
            "is no program of a cluster",
            "--health-listen",
        ),
        (
            answering(page(&json!("text"))),
            "is no program of a cluster",
            "--health-listen",
        ),
    ];
    for (address, sentence, hint) in table {
        let said = render_error(&program::ask(&address).unwrap_err());
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].contains(sentence), "{said}");
        assert!(
            lines[1].starts_with("hint: ") && lines[1].contains(hint),
            "{said}"
        );
    }
}
