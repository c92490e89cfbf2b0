//! Namespaces that are global and those that are not.

use super::*;

/// One of everything in a namespace.
fn furnish(told: &mut Told, namespace: &str, number: u8) {
    let ip = format!("10.{number}.0.1");
    told.put(identity(70000 + u32::from(number), namespace));
    told.put(endpoint(namespace, "pod", &[&ip]));
    told.put(service(namespace, "web", json!(null), json!({})));
    told.put(slice(
        namespace,
        "web-1",
        "web",
        json!([{"addresses": [ip]}]),
    ));
    told.put(service_export(namespace, "web"));
}

fn contents(sign: char, namespace: &str, number: u8) -> Vec<String> {
    let names = [
        format!("identities/{}", 70000 + u32::from(number)),
        format!("ip/10.{number}.0.1"),
        format!("services/{namespace}/web"),
        format!("endpointslices/{namespace}/web-1"),
        format!("serviceexports/{namespace}/web"),
    ];
    names.iter().map(|name| format!("{sign}{name}")).collect()
}

#[test]
fn annotation_and_option_say_what_is_global() {
    let cases = [
        (Some("true"), true, true),
        (Some("TRUE"), true, true),
        (Some("false"), false, false),
        (Some("yes"), false, false),
        (Some(""), false, false),
        (None, true, false),
    ];
    for (annotation, by_default, else_not) in cases {
        for (default_global_namespace, global) in [(true, by_default), (false, else_not)] {
            let mut told = Told::new(Options {
                default_global_namespace,
                ..options()
            });
            told.put(namespace("shop", annotation));
            told.put(endpoint("shop", "a", &["10.0.0.1"]));
            let expected = if global { 1 } else { 0 };
            assert_eq!(
                told.changes().len(),
                expected,
                "{annotation:?} {default_global_namespace}"
            );
        }
    }
}

#[test]
fn a_namespace_that_is_not_known_is_not_global() {
    let mut told = Told::new(options());
    furnish(&mut told, "shop", 1);
    assert_eq!(told.changes(), [""; 0]);
    told.put(namespace("shop", None));
    assert_eq!(told.changes(), contents('+', "shop", 1));
    told.delete(namespace("shop", None));
    assert_eq!(told.changes(), contents('-', "shop", 1));
}

#[test]
fn a_change_of_scope_touches_what_is_in_the_namespace_alone() {
    let mut told = Told::shop();
    told.put(namespace("bar", None));
    furnish(&mut told, "shop", 1);
    furnish(&mut told, "bar", 2);
    told.put(node("a"));
    told.changes();
    told.put(namespace("bar", Some("true")));
    assert_eq!(told.changes(), [""; 0], "it was global before");
    told.put(namespace("bar", Some("false")));
    assert_eq!(told.changes(), contents('-', "bar", 2));
    told.put(namespace("bar", None));
    assert_eq!(told.changes(), contents('+', "bar", 2));
}

#[test]
fn identities_without_a_namespace_follow_the_option() {
    for default_global_namespace in [true, false] {
        let mut told = Told::new(Options {
            default_global_namespace,
            ..options()
        });
        let mut object = identity(70001, "shop");
        object["security-labels"] = json!({"k8s:app": "a"});
        told.put(object);
        assert_eq!(told.changes().len(), usize::from(default_global_namespace));
    }
}

#[test]
fn identities_move_between_namespaces_and_lose_their_labels() {
    let mut told = Told::shop();
    told.put(namespace("private", Some("false")));
    told.put(identity(70001, "shop"));
    assert_eq!(told.changes(), ["+identities/70001"]);
    told.put(identity(70001, "private"));
    assert_eq!(told.changes(), ["-identities/70001"]);
    told.put(identity(70001, "shop"));
    assert_eq!(told.changes(), ["+identities/70001"]);
    told.put(namespace("private", None));
    assert_eq!(told.changes(), [""; 0], "it is not there any more");
    let mut empty = identity(70001, "shop");
    empty["security-labels"] = json!({});
    told.put(empty);
    assert_eq!(told.changes(), ["-identities/70001"]);
}

#[test]
fn nodes_have_no_scope() {
    let mut told = Told::new(Options {
        default_global_namespace: false,
        ..options()
    });
    told.put(node("a"));
    assert_eq!(told.changes(), ["+nodes/a"]);
    told.delete(node("a"));
    assert_eq!(told.changes(), ["-nodes/a"]);
}

#[test]
fn a_node_is_told_of_from_its_first_address_on() {
    let mut told = Told::shop();
    let mut young = node("a");
    young["spec"] = json!({"ipam": {"podCIDRs": ["10.1.0.0/24"]}});
    told.put(young.clone());
    assert_eq!(told.changes(), [""; 0]);
    told.put(node("a"));
    assert_eq!(told.changes(), ["+nodes/a"]);
    told.put(young);
    assert_eq!(told.changes(), ["-nodes/a"]);
}
