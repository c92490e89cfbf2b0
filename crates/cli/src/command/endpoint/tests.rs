use super::*;
use crate::command::testing;
use tombolo_model::{
    change::{Direction, Verdict},
    id::Identity,
};

#[test]
fn endpoints_are_a_table() {
    assert_eq!(
        render(&testing::endpoints()),
        "\
ID  POD         IDENTITY  IPV4      IPV6     INTERFACE  STATE     RULES
3   shop/web-0  65801     10.1.1.5  fd00::5  tmb3       ready     2
4   c2:eth0     init      10.1.1.6  -        tmb4       reserved  0
"
    );
}

#[test]
fn rules_are_read_from_a_file() {
    let file = std::env::temp_dir().join(format!("tombolo-cli-rules-{}", std::process::id()));
    let cases: [(&str, Option<usize>); 4] = [
        ("[]", Some(0)),
        (
            r#"[{"direction": "ingress", "identity": 0, "verdict": "deny"}]"#,
            Some(1),
        ),
        (r#"[{"direction": "sideways"}]"#, None),
        ("deny", None),
    ];
    for (text, expected) in cases {
        fs::write(&file, text).unwrap();
        let read = read_entries(&file);
        assert_eq!(
            read.as_ref().ok().map(Vec::len),
            expected,
            "{text}: {read:?}"
        );
        if let Ok([entry]) = read.as_deref() {
            assert_eq!(entry.verdict, Verdict::Deny);
            assert_eq!(entry.direction, Direction::Ingress);
            assert_eq!(entry.identity, Identity::UNKNOWN);
        }
    }
    fs::remove_file(&file).unwrap();
    let error = read_entries(&file).unwrap_err();
    assert!(error.to_string().starts_with("reading "), "{error}");
}
