use std::collections::BTreeSet;

use super::*;
use crate::certificates::Authority;
use tombolo_model::id::ClusterId;

mod handshake;
mod mistakes;

const A_TO_B: &str = "8b26714dc12731b4539124e609a1991742bb36895a1d87682e6c07febf3a35d3";
const A_TO_B_PROOF: &str = "tombolo:proof:v1:ayWTUmThe0J6E01RWSu-eHfsIPLbEF51cJeOckzAbfc";
const B_TO_A: &str = "31bc6fb139a47dc739082bc253634cee5edc37cd968c5f679468719c593c5f0b";

/// Made of counted bytes, as in the vectors.
fn secret(first: u8) -> Secret {
    let bytes: Vec<u8> = (first..).take(32).collect();
    Secret::read(&bytes).unwrap()
}

fn introduction(name: &str, id: u16) -> Introduction {
    Introduction {
        name: name.into(),
        id: ClusterId(id),
        endpoints: vec!["https://192.0.2.1:2379".into()],
        ca: Authority::make(name).unwrap().certificate,
    }
}

fn side<'a>(name: &'a str, id: u16, secret: &'a Secret) -> Side<'a> {
    let id = ClusterId(id);
    Side { name, id, secret }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What docs/trust.md gives for whoever writes the other side; computed by another program.
#[test]
fn keys_and_proofs_are_those_of_the_vectors() {
    let (a, b) = (secret(0), secret(32));
    let (a, b) = (side("cluster-a", 1, &a), side("cluster-b", 2, &b));
    let there = ProofKey::derive(a, b);
    assert_eq!(hex(there.bytes()), A_TO_B);
    assert_eq!(there.prove(b"a public key"), A_TO_B_PROOF);
    assert_eq!(hex(ProofKey::derive(b, a).bytes()), B_TO_A);
    let text = include_str!("../../../../docs/trust.md");
    for vector in [A_TO_B, A_TO_B_PROOF, B_TO_A] {
        assert!(text.contains(vector), "docs/trust.md lacks {vector}");
    }
}

#[test]
fn anything_that_differs_gives_another_key() {
    let (a, b, c) = (secret(0), secret(32), secret(64));
    let keys = [
        ProofKey::derive(side("a", 1, &a), side("b", 2, &b)),
        ProofKey::derive(side("b", 2, &b), side("a", 1, &a)),
        ProofKey::derive(side("a", 1, &b), side("b", 2, &a)),
        ProofKey::derive(side("a", 1, &c), side("b", 2, &b)),
        ProofKey::derive(side("a", 1, &a), side("b", 2, &c)),
        ProofKey::derive(side("a", 3, &a), side("b", 2, &b)),
        ProofKey::derive(side("a", 1, &a), side("b", 3, &b)),
        ProofKey::derive(side("a1", 1, &a), side("b", 2, &b)),
        ProofKey::derive(side("a", 1, &a), side("b1", 2, &b)),
    ];
    let different: BTreeSet<_> = keys.iter().map(|key| key.bytes().to_vec()).collect();
    assert_eq!(different.len(), keys.len());
}

#[test]
fn secrets_are_32_bytes_and_never_shown() {
    let made = Secret::make().unwrap();
    assert_ne!(made, Secret::make().unwrap());
    assert_eq!(format!("{made:?}"), "Secret(…)");
    let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let table: [(&[u8], &str); 7] = [
        (b"", "0 bytes and must have 32: the file was empty"),
        (&[7; 31], "31 bytes and must have 32"),
        (&[7; 64], "64 bytes and must have 32"),
        (text.as_bytes(), "it is still in base64"),
        (
            b"\x012345678901234567890123456789012\n",
            "an end of line was added",
        ),
        (&[0; 32], "all the same byte"),
        (&[9; 32], "all the same byte"),
    ];
    for (bytes, expected) in table {
        let error = Secret::read(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_introduction_is_read_as_it_was_written() {
    let (written, secret) = (introduction("cluster-a", 1), secret(0));
    let text = written.write(&secret).unwrap();
    assert_eq!(
        Introduction::read(text.as_bytes(), &secret).unwrap(),
        written
    );
    // Another form of the same says the same.
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let short = value.to_string();
    assert_eq!(
        Introduction::read(short.as_bytes(), &secret).unwrap(),
        written
    );
}

#[test]
fn whatever_is_changed_in_an_introduction_is_seen() {
    let (written, ours) = (introduction("cluster-a", 1), secret(0));
    let text = written.write(&ours).unwrap();
    assert_eq!(
        Introduction::read(text.as_bytes(), &secret(32)),
        Err(TrustError::Seal)
    );
    let other = serde_json::to_value(Authority::make("x").unwrap().certificate).unwrap();
    let changes = [
        ("name", serde_json::json!("cluster-b")),
        ("id", serde_json::json!(2)),
        ("endpoints", serde_json::json!(["https://192.0.2.2:2379"])),
        ("endpoints", serde_json::json!([])),
        ("ca", other),
        ("seal", serde_json::json!("")),
        ("seal", serde_json::json!("AAAA")),
    ];
    for (field, changed) in changes {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value[field] = changed;
        let read = Introduction::read(value.to_string().as_bytes(), &ours);
        assert_eq!(read, Err(TrustError::Seal), "{field}");
    }
    // Each bit of the text, too: it is refused, or it means the same.
    for index in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[index] ^= 1;
        if let Ok(read) = Introduction::read(&bytes, &ours) {
            assert_eq!(read, written, "byte {index}");
        }
    }
}

#[test]
fn introductions_that_make_no_sense_are_refused() {
    let good = introduction("cluster-a", 1);
    type Change = fn(&mut Introduction);
    let table: [(Change, &str); 9] = [
        (|i| i.name = "Cluster".into(), "name"),
        (|i| i.name = "default".into(), "name"),
        (|i| i.id = ClusterId(0), "id"),
        (|i| i.id = ClusterId(512), "id"),
        (|i| i.endpoints = vec!["http://a:1".into()], "endpoints"),
        (|i| i.endpoints = vec!["https://a".into()], "endpoints"),
        (
            |i| i.endpoints = vec!["https://a:1".into(); 65],
            "endpoints",
        ),
        (|i| i.ca = "no PEM".into(), "ca"),
        (|i| i.ca = Authority::make("x").unwrap().key, "ca"),
    ];
    for (change, expected) in table {
        let mut bad = good.clone();
        change(&mut bad);
        match bad.write(&secret(0)) {
            Err(TrustError::Field { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let table: [(&str, &str); 5] = [
        ("", "not the JSON"),
        ("[]", "not the JSON"),
        (r#"{"version": 2, "new": true}"#, "version 2"),
        (r#"{"version": 1, "new": true}"#, "unknown field"),
        (r#"{"name": "a"}"#, "version"),
    ];
    for (text, expected) in table {
        let error = Introduction::peek(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let long = vec![b' '; 64 << 10 | 1];
    assert!(matches!(
        Introduction::peek(&long),
        Err(TrustError::TooLong { .. })
    ));
}

#[test]
fn endpoints_are_split_where_their_port_begins() {
    let table = [
        ("https://192.0.2.1:2379", Some(("192.0.2.1", 2379))),
        ("https://[2001:db8::1]:2379", Some(("2001:db8::1", 2379))),
        ("https://mesh.example:1", Some(("mesh.example", 1))),
        ("https://2001:db8::1:2379", None),
        ("https://[192.0.2.1]:2379", None),
        ("https://a:0", None),
        ("https://a/b:1", None),
        ("https://user@a:1", None),
        ("https://:1", None),
        ("a:1", None),
    ];
    for (endpoint, expected) in table {
        let expected = expected.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(split_endpoint(endpoint), expected, "{endpoint}");
    }
}

#[test]
fn vouchers_are_read_as_they_were_written_and_only_under_their_name() {
    let (a, b) = (secret(0), secret(32));
    let file = VoucherFile {
        peer: "cluster-b".into(),
        ca: introduction("cluster-b", 2).ca,
        keys: vec![ProofKey::derive(
            side("cluster-b", 2, &b),
            side("cluster-a", 1, &a),
        )],
    };
    let text = file.text();
    assert_eq!(file.name(), "remote-cluster-b.trust");
    assert_eq!(
        VoucherFile::read("remote-cluster-b.trust", text.as_bytes()).unwrap(),
        file
    );
    assert!(VoucherFile::read("remote-cluster-c.trust", text.as_bytes()).is_err());
    let short = text.replace("\"keys\": [\n    \"", "\"keys\": [\n    \"AA");
    assert!(VoucherFile::read("remote-cluster-b.trust", short.as_bytes()).is_err());
    assert!(VoucherFile::read("remote-cluster-b.trust", b"{}").is_err());
}
