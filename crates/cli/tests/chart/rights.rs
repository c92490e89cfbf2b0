//! Who may do what: no more than each program needs.

use super::*;

fn rules<'a>(objects: &'a [Value], role: &str) -> &'a [Value] {
    find(objects, role)["rules"].as_array().unwrap()
}

fn has(list: &Value, word: &str) -> bool {
    list.as_array()
        .is_some_and(|list| list.iter().any(|has| has == word))
}

#[test]
fn nobody_has_a_wildcard() {
    for object in &objects(KUBERNETES[1], MESHED) {
        for rule in object["rules"].as_array().into_iter().flatten() {
            for list in ["apiGroups", "resources", "verbs"] {
                assert!(!has(&rule[list], "*"), "{}: {rule}", name(object));
            }
        }
    }
}

/// The authority's key and the cluster's secret are the operator's alone.
#[test]
fn secrets_are_read_by_name_and_never_in_all_namespaces() {
    let objects = objects(KUBERNETES[1], MESHED);
    for object in &objects {
        for rule in object["rules"].as_array().into_iter().flatten() {
            if has(&rule["resources"], "secrets") {
                assert_eq!(object["kind"], "Role", "{}", name(object));
            }
        }
    }
    let named = |role| {
        let rules = rules(&objects, role).iter();
        let secrets = rules.filter(|rule| has(&rule["resources"], "secrets"));
        let names = secrets.map(|rule| rule["resourceNames"].clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        named("Role/tombolo"),
        [serde_json::json!(["tombolo-clustermesh"])]
    );
    assert_eq!(
        named("Role/clustermesh-apiserver"),
        [serde_json::json!(["tombolo-store", "tombolo-kvstoremesh"])]
    );
}

#[test]
fn the_mesh_api_server_writes_nothing() {
    let objects = objects(KUBERNETES[1], MESHED);
    for role in [
        "Role/clustermesh-apiserver",
        "ClusterRole/clustermesh-apiserver",
    ] {
        for rule in rules(&objects, role) {
            assert_eq!(
                rule["verbs"],
                serde_json::json!(["list", "watch"]),
                "{rule}"
            );
        }
    }
}

#[test]
fn a_cluster_without_a_mesh_has_no_rights_on_secrets() {
    let objects = objects(KUBERNETES[1], &[]);
    let operator = rules(&objects, "Role/tombolo-operator");
    assert!(
        !operator
            .iter()
            .any(|rule| has(&rule["resources"], "secrets"))
    );
}

#[test]
fn other_namespaces_are_read_where_they_are_named() {
    let more = [MESHED, &[r#"clustermesh.secretNamespaces=["meshes"]"#]].concat();
    let objects = objects(KUBERNETES[1], &more);
    let roles = objects
        .iter()
        .filter(|object| object["metadata"]["namespace"] == "meshes");
    assert_eq!(
        roles.map(name).collect::<Vec<_>>(),
        [
            "Role/tombolo-operator-secrets",
            "RoleBinding/tombolo-operator-secrets"
        ]
    );
}
