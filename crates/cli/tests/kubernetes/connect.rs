//! Two clusters are connected, parted, and kept apart where they clash.

use super::*;
use serde_json::Value;

struct Cluster {
    plane: Plane,
    operator: Option<Operator>,
    name: &'static str,
    id: u8,
}

impl Cluster {
    fn new(name: &'static str, id: u8) -> Cluster {
        Cluster {
            plane: Plane::start(),
            operator: None,
            name,
            id,
        }
    }

    fn install(&mut self, both: &Path) {
        let (name, id) = (
            format!("cluster.name={}", self.name),
            format!("cluster.id={}", self.id),
        );
        let pool = self.pool(10 + self.id);
        tombolo(
            both,
            &[
                "install",
                "--context",
                self.name,
                "--set",
                &name,
                "--set",
                &id,
                "--set",
                &pool,
            ],
        )
        .good();
        self.operator = Some(Operator::start(&self.plane, self.name, self.id));
        wait_for("the operator to make this cluster known", || {
            self.secret("cluster-mesh-config")
        });
    }

    /// A value of the chart: of which range its nodes have theirs.
    fn pool(&self, first: u8) -> String {
        format!("ipam.operator.clusterPoolIPv4PodCIDRList={{{first}.0.0.0/8}}")
    }

    fn upgrade(&self, both: &Path, values: &[&str]) {
        let values = values.iter().flat_map(|value| ["--set", value]);
        let words = ["upgrade", "--context", self.name].into_iter();
        tombolo(both, &words.chain(values).collect::<Vec<_>>()).good();
    }

    fn secret(&self, name: &str) -> bool {
        self.plane
            .kubectl(&["get", "secret", name, "-n", "kube-system"])
            .is_ok()
    }

    /// A node of this address; the operator gives it a range.
    fn node(&self, name: &str, address: &str) {
        let text = format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}}}");
        self.plane.apply(&text).unwrap();
        let status = format!(
            r#"{{"status":{{"addresses":[{{"type":"InternalIP","address":"{address}"}}]}}}}"#
        );
        let words = [
            "patch",
            "node",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ];
        self.plane.kubectl(&words).unwrap();
        let range = [
            "get",
            "ciliumnode",
            name,
            "-o",
            "jsonpath={.spec.ipam.podCIDRs}",
        ];
        wait_for("the node's range", || {
            self.plane
                .kubectl(&range)
                .is_ok_and(|text| !text.is_empty())
        });
    }

    fn listed(&self) -> Vec<String> {
        let path = "jsonpath={.items[*].spec.clusters[*].name}";
        let text = self
            .plane
            .kubectl(&["get", "clustermeshes", "-o", path])
            .unwrap();
        text.split_whitespace().map(str::to_owned).collect()
    }
}

fn both(one: &Cluster, two: &Cluster) -> PathBuf {
    let files = [one, two].map(|cluster| kubeconfig(&cluster.plane, cluster.name, None));
    std::env::join_paths(files).unwrap().into()
}

#[test]
fn clusters_are_connected_and_parted_and_never_by_half() {
    let (mut one, mut two) = (Cluster::new("cluster1", 1), Cluster::new("cluster2", 2));
    let at = both(&one, &two);
    let connect = [
        "clustermesh",
        "connect",
        "--context",
        "cluster1",
        "--destination-context",
        "cluster2",
    ];
    tombolo(&at, &connect).refused(&[
        "Tombolo is not installed in the context cluster1",
        "`tombolo install --context cluster1`",
    ]);
    one.install(&at);
    tombolo(&at, &connect).refused(&[
        "cluster1 has no mesh API server",
        "`tombolo clustermesh enable --context cluster1`",
    ]);
    two.install(&at);
    for (cluster, address) in [(&one, "192.0.2.1"), (&two, "192.0.2.2")] {
        let words = [
            "clustermesh",
            "enable",
            "--context",
            cluster.name,
            "--set",
            "clustermesh.apiserver.hostNetwork=true",
        ];
        tombolo(&at, &words).good();
        cluster.node(&format!("{}-n1", cluster.name), address);
        wait_for("the address of the mesh API", || {
            let said = tombolo(&at, &["clustermesh", "inspect", "--context", cluster.name]);
            said.out.contains(&format!("https://{address}:2379"))
        });
    }

    // What clashes is found before anything is changed.
    two.plane
        .kubectl(&[
            "patch",
            "ciliumnode",
            "cluster2-n1",
            "--type=merge",
            "-p",
            r#"{"spec":{"ipam":{"podCIDRs":["11.0.0.0/16"]}}}"#,
        ])
        .unwrap();
    tombolo(&at, &connect).refused(&[
        "pods of cluster1 and cluster2 have the same addresses: 11.0.0.0/24",
        "11.0.0.0/16",
    ]);
    two.plane
        .kubectl(&[
            "patch",
            "ciliumnode",
            "cluster2-n1",
            "--type=merge",
            "-p",
            r#"{"spec":{"ipam":{"podCIDRs":["12.0.0.0/24"]}}}"#,
        ])
        .unwrap();
    two.upgrade(&at, &[&two.pool(11)]);
    tombolo(&at, &connect).refused(&[
        "cluster1 has its pool 11.0.0.0/8, and cluster2 its pool 11.0.0.0/8",
        "clusterPoolIPv4PodCIDRList",
    ]);
    let etcd = "clustermesh.apiserver.etcd.external";
    let (endpoints, secret) = (
        format!("{etcd}.endpoints={{https://192.0.2.9:2379}}"),
        format!("{etcd}.secretName=mesh-etcd"),
    );
    two.upgrade(&at, &[&two.pool(12), &endpoints, &secret]);
    tombolo(&at, &connect).refused(&["Secret kube-system/mesh-etcd of the etcd is not there"]);
    let make = "{apiVersion: v1, kind: Secret, metadata: {name: mesh-etcd, namespace: kube-system}, stringData: {ca.crt: x}}";
    two.plane.apply(make).unwrap();
    tombolo(&at, &connect).refused(&[
        "Secret kube-system/mesh-etcd has no remote-cluster1.crt and remote-cluster1.key",
        "`tombolo certificates issue remote-cluster1`",
    ]);
    two.upgrade(
        &at,
        &[
            &format!("{etcd}.endpoints=null"),
            &format!("{etcd}.secretName=null"),
        ],
    );
    let same = [
        "clustermesh",
        "connect",
        "--context",
        "cluster1",
        "--destination-context",
        "cluster1",
    ];
    tombolo(&at, &same).refused(&["both clusters are called cluster1"]);
    for cluster in [&one, &two] {
        assert!(
            cluster.listed().is_empty()
                && !cluster.secret("cluster1-secret")
                && !cluster.secret("cluster2-secret")
        );
    }
    let mut dry = connect.to_vec();
    dry.push("--dry-run");
    assert!(
        tombolo(&at, &dry)
            .good()
            .contains("cluster1 would be given cluster.id and cluster.secret of cluster2")
    );
    assert!(one.listed().is_empty());

    // Twice is as good as once.
    for _ in 0..2 {
        assert_eq!(
            tombolo(&at, &connect).good(),
            "cluster1 and cluster2 trust each other\n"
        );
    }
    assert_eq!(
        (one.listed(), two.listed()),
        (vec!["cluster2".to_owned()], vec!["cluster1".to_owned()])
    );
    for name in ["cluster1", "cluster2"] {
        wait_for("each to trust the other", || {
            let said = tombolo(
                &at,
                &["clustermesh", "inspect", "--context", name, "-o", "json"],
            );
            let answer: Value = serde_json::from_str(&said.good()).unwrap();
            answer["clusters"][0]["trusted"] == true
        });
    }

    // Nothing runs here, and the screen says so.
    let said = tombolo(
        &at,
        &[
            "clustermesh",
            "status",
            "--context",
            "cluster1",
            "-o",
            "json",
        ],
    );
    assert_eq!(said.code, 1);
    let status: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(status["success"], false);
    assert_eq!(
        status["access_information"]["endpoints"][0],
        "https://192.0.2.1:2379"
    );
    assert_eq!(
        status["connectivity"]["clusters"]["cluster2"]["connected"],
        0
    );
    let errors = status["errors"].to_string();
    assert!(
        errors.contains("0 of 1 replicas") && errors.contains("no node has an agent"),
        "{errors}"
    );

    let part = [
        "clustermesh",
        "disconnect",
        "--context",
        "cluster1",
        "--destination-context",
        "cluster2",
    ];
    assert_eq!(
        tombolo(&at, &part).good(),
        "cluster1 and cluster2 are parted\n"
    );
    assert_eq!(
        tombolo(&at, &part).good(),
        "cluster1 and cluster2 were not connected\n"
    );
    for cluster in [&one, &two] {
        assert!(
            cluster.listed().is_empty()
                && !cluster.secret("cluster1-secret")
                && !cluster.secret("cluster2-secret")
        );
        let log = cluster.operator.as_ref().unwrap().log();
        // The chart's roles are enough for all that it did.
        assert!(!log.contains("may not"), "{log}");
    }
}

#[test]
fn a_secret_is_replaced_in_two_steps() {
    let mut one = Cluster::new("cluster1", 1);
    let at = kubeconfig(&one.plane, "cluster1", None);
    one.install(&at);
    let key = |key: &str| {
        let path = format!("jsonpath={{.data.cluster\\.{key}}}");
        let words = [
            "get",
            "secret",
            "cluster-mesh-config",
            "-n",
            "kube-system",
            "-o",
            &path,
        ];
        one.plane.kubectl(&words).unwrap()
    };
    let before = (key("id"), key("secret"));
    tombolo(&at, &["clustermesh", "rotate", "--finish"]).refused(&["is not being replaced"]);
    tombolo(&at, &["clustermesh", "rotate"]).good();
    tombolo(&at, &["clustermesh", "rotate"]).refused(&["is being replaced already", "--finish"]);
    assert_ne!(key("secret"), before.1);
    assert_ne!(key("id"), before.0);
    assert_eq!(key(r"secret\.old"), before.1);
    let said = tombolo(&at, &["clustermesh", "inspect"]).good();
    assert!(said.contains("the old one is valid too"), "{said}");
    tombolo(&at, &["clustermesh", "rotate", "--finish"]).good();
    assert_eq!(key(r"secret\.old"), "");
    tombolo(&at, &["clustermesh", "inspect"]).good();
}
