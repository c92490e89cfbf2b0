use super::*;

fn namespace(name: &str) -> ObjectKey {
    ObjectKey {
        kind: Kind::Namespace,
        namespace: String::new(),
        name: name.to_owned(),
    }
}

#[test]
fn lines_are_events() {
    let object = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}"#;
    let line = |event: &str, object: &str| format!(r#"{{"type":"{event}","object":{object}}}"#);
    let read = |line: String| parse_line(7, line.as_bytes());
    let upsert = WatchEvent::Change(
        Kind::Namespace,
        Event::Upsert(
            namespace("a"),
            Object::Namespace(crate::object::Namespace::default()),
        ),
    );
    assert_eq!(read(line("ADDED", object)).as_ref(), Ok(&upsert));
    assert_eq!(read(line("MODIFIED", object)), Ok(upsert));
    let deleted = WatchEvent::Change(Kind::Namespace, Event::Delete(namespace("a")));
    assert_eq!(read(line("DELETED", object)), Ok(deleted.clone()));
    let reversed = format!(r#" {{ "object" : {object} , "type" : "DELETED" }} "#);
    assert_eq!(read(reversed), Ok(deleted), "in any order");
    let bookmark = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"resourceVersion":"12","creationTimestamp":null}}"#;
    assert_eq!(read(line("BOOKMARK", bookmark)), Ok(WatchEvent::Ignored));
    for (value, event) in [
        ("true", WatchEvent::Change(Kind::Namespace, Event::Synced)),
        ("false", WatchEvent::Ignored),
    ] {
        let end = format!(
            r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"annotations":{{"k8s.io/initial-events-end":"{value}"}}}}}}"#
        );
        assert_eq!(read(line("BOOKMARK", &end)), Ok(event));
    }
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":{"k8s.io/initial-events-end":"true"}}}"#;
    for event in ["ADDED", "DELETED", "BOOKMARK"] {
        assert_eq!(read(line(event, pod)), Ok(WatchEvent::Ignored));
    }
    let gone = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}"#;
    let error = WatchEvent::Error {
        code: 410,
        message: "too old resource version: 1 (2)".to_owned(),
    };
    assert_eq!(read(line("ERROR", gone)), Ok(error));
}

/// What is deleted may be as malformed as it likes.
#[test]
fn deletions_need_a_name_only() {
    let line = r#"{"type":"DELETED","object":{"apiVersion":"cilium.io/v2","kind":"CiliumEndpoint","metadata":{"name":"a","namespace":"shop"},"status":7}}"#;
    let Ok(WatchEvent::Change(Kind::CiliumEndpoint, Event::Delete(key))) =
        parse_line(1, line.as_bytes())
    else {
        panic!("a deletion");
    };
    assert_eq!(key.to_string(), "CiliumEndpoint shop/a");
}

#[test]
fn malformed_lines_are_refused() {
    let cases = [
        ("", "line 9: EOF while parsing a value at line 1 column 0"),
        ("up", "line 9: expected value at line 1 column 1"),
        ("{}", "line 9: missing field `type` at line 1 column 2"),
        (
            r#"{"type":"ADDED"}"#,
            "line 9: missing field `object` at line 1 column 16",
        ),
        (
            r#"{"type":"ADDED","object":7}"#,
            "line 9: object: invalid type: integer `7`, expected an object",
        ),
        (
            r#"{"type":"ADDED","object":["v1","Namespace",["a"]]}"#,
            "line 9: object: invalid type: sequence, expected an object",
        ),
        (
            r#"{"type":"SEEN","object":{"apiVersion":"v1","kind":"Namespace"}}"#,
            "line 9: `SEEN` is no type of event",
        ),
        (
            r#"{"type":"ADDED","object":{"apiVersion":"v1","kind":"Namespace"}}"#,
            "line 9: metadata.name: it is missing",
        ),
        (
            r#"{"type":"MODIFIED","object":{"apiVersion":"cilium.io/v2","kind":"CiliumEndpoint","metadata":{"name":"a","namespace":"shop"},"status":{"encryption":{"key":-1}}}}"#,
            "line 9: CiliumEndpoint shop/a: status.encryption.key: invalid value: integer `-1`, expected u8",
        ),
        (
            r#"{"type":"ADDED","object":{"metadata":{"name":7}}}"#,
            "line 9: object.metadata.name: invalid type: integer `7`, expected a string",
        ),
    ];
    for (line, expected) in cases {
        let reject = parse_line(9, line.as_bytes()).expect_err(line);
        assert_eq!(reject.to_string(), expected, "{line}");
    }
    let long = vec![b' '; LINE_LEN_MAX + 1];
    assert!(parse_line(9, &long).is_err());
    assert!(parse_line(9, b"\xff\xfe").is_err());
}
