//! Operator and export on a real API server.

#[path = "../../../k8s/tests/plane/mod.rs"]
mod plane;

use crate::{
    NOT_TOLD, golden,
    place::{Cluster, OBJECTS, Place, wait_for},
};
use plane::Plane;
use std::collections::BTreeSet;

#[test]
fn a_clusters_objects_reach_its_store_from_the_api_server() {
    let plane = Plane::with(&["--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112"]);
    let place = Place::new();
    let one = Cluster::start(&place, 1);
    let kubeconfig = plane.kubeconfig("master");
    let kubeconfig = ["--kubeconfig", kubeconfig.to_str().unwrap()];
    let operator = one.operator(&kubeconfig);
    wait_for("the definitions", || {
        operator.status()["definitions"] == true
    });
    let exporter = one.program(
        "apiserver",
        &[&["--objects", "kubernetes"], &kubeconfig[..]].concat(),
    );
    wait_for("an export of nothing", || {
        exporter.status()["ready"] == true
    });

    // Of the multi-cluster services API there is no definition here.
    let objects = OBJECTS
        .split("\n---\n")
        .filter(|text| !text.contains("kind: ServiceExport"));
    let (namespaces, others): (Vec<&str>, Vec<&str>) =
        objects.partition(|text| text.contains("kind: Namespace"));
    for part in [namespaces, others] {
        plane.apply(&part.join("\n---\n")).unwrap();
    }
    let keys = || -> BTreeSet<String> {
        let told = one.contents("cilium/state/").into_keys();
        let told = told.filter(|key| !key.starts_with("cilium/state/endpointslices/"));
        told.collect()
    };
    let expected: BTreeSet<String> = golden()
        .into_iter()
        .filter(|key| key.starts_with("cilium/state/") && !NOT_TOLD.contains(&key.as_str()))
        .collect();
    wait_for("all that peers are told", || keys() == expected);

    plane
        .kubectl(&["-n", "shop", "delete", "ciliumendpoint", "frontend-1"])
        .unwrap();
    let gone = |key: &str| key.starts_with("cilium/state/ip/") && key.ends_with("/10.1.1.7");
    wait_for("the pod to be gone", || !keys().iter().any(|key| gone(key)));
    let status = exporter.status();
    assert_eq!(status["warnings"].as_array().unwrap().len(), 0, "{status}");
    assert!(
        status["source"]
            .as_str()
            .unwrap()
            .starts_with("https://127.0.0.1:")
    );
}

#[test]
fn programs_that_may_not_read_say_which_permission_is_missing() {
    let plane = Plane::start();
    let place = Place::new();
    let one = Cluster::start(&place, 1);
    let kubeconfig = plane.kubeconfig("nobody");
    let words = [
        "--objects",
        "kubernetes",
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
    ];
    let exporter = one.program("apiserver", &words);
    let said = || exporter.status()["warnings"].to_string();
    wait_for("the complaint", || {
        said().contains("may not list services: a role must allow the verb list on services")
    });
    assert_eq!(exporter.status()["ready"], false);
}
