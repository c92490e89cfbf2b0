use super::*;

const OBJECTS: &str = include_str!("../../../model/tests/golden/objects.yaml");

fn names(manifest: &Manifest) -> Vec<String> {
    manifest
        .objects
        .iter()
        .map(|(key, _)| key.to_string())
        .collect()
}

fn rejects(manifest: &Manifest) -> Vec<String> {
    manifest.rejects.iter().map(Reject::to_string).collect()
}

#[test]
fn yaml_has_several_documents() {
    let text = "# a comment alone\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n--- # and one here\n\
        apiVersion: v1\nkind: Namespace\nmetadata:\n  name: b\n  annotations:\n    text: |\n      ---\n      no document\n\
        ---\n---\r\n{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"c\"}}\n---\n";
    let manifest = parse("a.yaml", text.as_bytes());
    assert_eq!(
        names(&manifest),
        ["Namespace a", "Namespace b", "Namespace c"]
    );
    assert_eq!(rejects(&manifest), [""; 0]);
    assert_eq!(names(&parse("empty.yaml", b"")), [""; 0]);
}

#[test]
fn a_document_that_cannot_be_read_takes_no_other_with_it() {
    let good = |name| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    let text = format!(
        "{}---\nmetadata: [\n---\n{}---\njust text\n---\nkind: Secret\n---\nspec: {{}}\n---\n{}",
        good("a"),
        good("b"),
        good("UPPER")
    );
    let manifest = parse("a.yaml", text.as_bytes());
    assert_eq!(names(&manifest), ["Namespace a", "Namespace b"]);
    assert_eq!(manifest.ignored, 1);
    let rejects = rejects(&manifest);
    assert_eq!(rejects.len(), 4, "{rejects:?}");
    assert!(
        rejects[0].starts_with("a.yaml, document 2 (from line 4): "),
        "{rejects:?}"
    );
    assert_eq!(
        rejects[1],
        "a.yaml, document 4 (from line 10): it is not an object"
    );
    assert_eq!(
        rejects[2],
        "a.yaml, document 6 (from line 14): kind: it is missing"
    );
    assert_eq!(
        rejects[3],
        "a.yaml, document 7 (from line 16): metadata.name: it is not a name: `UPPER`"
    );
    assert!(manifest.rejects.iter().all(|reject| reject.key.is_none()));
}

#[test]
fn lists_hold_objects() {
    let typed = r#"{"apiVersion": "v1", "kind": "NamespaceList", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}"#;
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
        {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}}]},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": 7}}
    ]}"#;
    let empty = r#"{"apiVersion": "v1", "kind": "ServiceList", "items": null} {"apiVersion": "v1", "kind": "ServiceList"}"#;
    let text = format!("{typed}\n{list} {empty}");
    let yaml = format!(
        "{typed}\n---\n{list}\n---\n{}",
        empty.replace("} {", "}\n---\n{")
    );
    for (name, text) in [("a.json", text), ("a.yaml", yaml)] {
        let manifest = parse(name, text.as_bytes());
        assert_eq!(
            names(&manifest),
            ["Namespace a", "Namespace b", "Namespace c", "Namespace d"]
        );
        assert_eq!(manifest.ignored, 1);
        let rejects = rejects(&manifest);
        assert!(
            rejects[0].contains("document 2")
                && rejects[0].contains("item 4: metadata.name: invalid type: integer `7`"),
            "{rejects:?}"
        );
        assert_eq!(rejects.len(), 1);
    }
    let deep = r#"{"kind": "List", "items": [{"kind": "List", "items": [{"kind": "List", "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}]}]}]}"#;
    assert_eq!(
        names(&parse("a.json", deep.as_bytes())),
        [""; 0],
        "lists of lists of lists are nobody's"
    );
}

#[test]
fn json_ends_where_it_cannot_be_read() {
    let good = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}"#;
    let manifest = parse("a.json", format!("{good}\n{{\"kind\": \n{good}").as_bytes());
    assert_eq!((manifest.objects.len(), manifest.rejects.len()), (1, 1));
    assert_eq!(manifest.rejects[0].place, "a.json, document 2");
    for (name, content) in [
        ("a.json", &b"[1, 2]"[..]),
        ("a.yaml", b"\xff\xfe"),
        ("a.json", b"\xff"),
        ("a.json", b"7"),
    ] {
        let manifest = parse(name, content);
        assert_eq!(
            (manifest.objects.len(), manifest.rejects.len()),
            (0, 1),
            "{content:?}"
        );
    }
}

#[test]
fn aliases_multiply_nothing() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{below}]\n");
    }
    let manifest = parse("bomb.yaml", text.as_bytes());
    assert_eq!((manifest.objects.len(), manifest.rejects.len()), (0, 1));
    let deep = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse("deep.yaml", deep.as_bytes()).rejects.len(), 1);
    let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert_eq!(parse("deep.json", deep.as_bytes()).rejects.len(), 1);
}

#[test]
fn a_list_may_be_long() {
    let item = "- {apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {b: c, d: e, f: g, h: i}}}\n";
    let text = format!(
        "apiVersion: v1\nkind: List\nitems:\n{}",
        item.repeat(20_000)
    );
    let manifest = parse("long.yaml", text.as_bytes());
    assert_eq!(
        (manifest.objects.len(), rejects(&manifest)),
        (20_000, Vec::new())
    );
}

#[test]
fn files_are_known_by_their_names() {
    let cases = [
        ("a.yaml", true),
        ("a.yml", true),
        ("a.json", true),
        (".a.yaml", false),
        ("a.yaml.bak", false),
        ("README", false),
    ];
    for (name, expected) in cases {
        assert_eq!(is_manifest(name), expected, "{name}");
    }
}

/// Whatever is broken, nothing panics, and what is taken has a name that can be part of a key.
#[test]
fn damaged_manifests_are_refused() {
    let mut state = 1u64;
    let mut below = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % limit
    };
    for _ in 0..100 {
        let mut content = OBJECTS.as_bytes().to_vec();
        for _ in 0..=below(20) {
            let at = below(content.len());
            match below(3) {
                0 => content[at] = below(256) as u8,
                1 => drop(content.drain(at..(at + below(50)).min(content.len()))),
                _ => content.insert(at, b"{}[]:-,\n\"'&*"[below(12)]),
            }
        }
        let manifest = parse("damaged.yaml", &content);
        for (key, _) in &manifest.objects {
            assert!(
                !key.name.is_empty() && !key.to_string().contains('\n'),
                "{key}"
            );
            assert!(
                !key.name.contains('/') && !key.namespace.contains('/'),
                "{key}"
            );
        }
    }
}
