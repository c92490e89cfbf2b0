//! A release comes, changes, goes back and goes.

use super::*;

const ALL: &str =
    "daemonsets,deployments,services,serviceaccounts,poddisruptionbudgets,roles,rolebindings";
const CLUSTER_WIDE: &str = "clusterroles,clusterrolebindings";

fn names(plane: &Plane) -> Vec<String> {
    let label = "app.kubernetes.io/part-of=tombolo";
    let of = |kinds: &str| {
        let words = ["get", kinds, "-n", "kube-system", "-l", label, "-o", "name"];
        plane.kubectl(&words).unwrap()
    };
    let text = of(ALL) + &of(CLUSTER_WIDE);
    let mut names: Vec<_> = text.lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn argument(plane: &Plane, word: &str) -> bool {
    let path = "jsonpath={.spec.template.spec.containers[0].args}";
    let words = [
        "get",
        "daemonset",
        "tombolo",
        "-n",
        "kube-system",
        "-o",
        path,
    ];
    plane.kubectl(&words).unwrap().contains(word)
}

#[test]
fn a_release_comes_changes_goes_back_and_goes() {
    let plane = Plane::start();
    let at = kubeconfig(&plane, "cluster1", None);
    tombolo(&at, &["clustermesh", "status"]).refused(&[
        "Tombolo is not installed in the context cluster1",
        "`tombolo install`",
    ]);
    tombolo(&at, &["upgrade"]).refused(&["it is not installed there: use `tombolo install`"]);
    tombolo(&at, &["uninstall"]).refused(&["it is not installed there"]);
    let dry = tombolo(&at, &["install", "--dry-run", "--set", "cluster.id=1"]).good();
    assert!(
        dry.contains(" helm install tombolo CHART --namespace kube-system"),
        "{dry}"
    );
    assert_eq!(names(&plane), Vec::<String>::new());
    tombolo(&at, &["install", "--set", "cluster.id=one"])
        .refused(&["at '/cluster/id': got string, want integer"]);
    assert_eq!(names(&plane), Vec::<String>::new());

    let id = [
        "install",
        "--set",
        "cluster.name=cluster1",
        "--set",
        "cluster.id=1",
    ];
    tombolo(&at, &id).good();
    let first = names(&plane);
    assert!(
        first.iter().any(|name| name == "daemonset.apps/tombolo"),
        "{first:?}"
    );
    tombolo(&at, &id).refused(&["use `tombolo upgrade`"]);

    // What was set before stays.
    tombolo(&at, &["upgrade", "--set", "MTU=1400"]).good();
    assert!(argument(&plane, "--mtu=1400"));
    tombolo(
        &at,
        &["clustermesh", "enable", "--service-type", "ClusterIP"],
    )
    .good();
    assert!(argument(&plane, "--mtu=1400"));
    assert!(names(&plane).len() > first.len());
    let kind = [
        "get",
        "service",
        "clustermesh-apiserver",
        "-n",
        "kube-system",
        "-o",
        "jsonpath={.spec.type}",
    ];
    assert_eq!(plane.kubectl(&kind).unwrap(), "ClusterIP");
    tombolo(&at, &["clustermesh", "disable"]).good();
    assert_eq!(names(&plane), first);

    let helm = find_helm();
    let back = Command::new(helm)
        .args([
            "rollback",
            "tombolo",
            "1",
            "-n",
            "kube-system",
            "--kubeconfig",
        ])
        .arg(&at)
        .output();
    Said::of(back.unwrap()).good();
    assert!(!argument(&plane, "--mtu"));
    tombolo(&at, &["uninstall"]).good();
    assert_eq!(names(&plane), Vec::<String>::new());
}

#[test]
fn who_may_not_install_is_told_so() {
    let plane = Plane::start();
    tombolo(&plane.kubeconfig("nobody"), &["install"]).refused(&["forbidden"]);
    tombolo(&plane.kubeconfig("nobody"), &["clustermesh", "status"])
        .refused(&["may not get DaemonSet kube-system/tombolo"]);
    tombolo(&plane.kubeconfig("stranger"), &["clustermesh", "status"])
        .refused(&["have the credentials expired"]);
    let nowhere = plane.folder.join("nowhere");
    tombolo(&nowhere, &["clustermesh", "status"])
        .refused(&["nowhere can't be used as a kubeconfig"]);
}

fn find_helm() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::home_dir().map(|home| home.join(".cache/tombolo/bin"));
    let mut found = std::env::split_paths(&path)
        .chain(cache)
        .map(|folder| folder.join("helm"));
    found
        .find(|file| file.is_file())
        .expect("helm is not there: `tombolo lab binaries` builds it")
}
