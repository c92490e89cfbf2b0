//! A cluster whose part in the mesh is kept in a real etcd, connected with one that has the embedded store, as docs/install.md says.
//!
//! Needs root, the built programs, a container runtime and helm, and says so.

mod support;

use std::{
    fs,
    process::{Child, Command, Stdio},
};
use support::{
    kubernetes::{Cluster, binary},
    program,
    user::User,
};
use tombolo_linux::netns::Netns;

const CONTEXTS: [&str; 2] = ["cluster1", "cluster2"];
/// Beside Kubernetes' own, on the machine that nodes reach and no pod runs on.
const MACHINE: &str = "c1-control";
const PORT: u16 = 4379;
const GUIDE: &str = include_str!("../../../docs/store.md");

/// Ended when dropped.
struct Etcd(Child);

impl Etcd {
    fn start(user: &User, address: &str) -> Etcd {
        let client = format!("https://{address}:{PORT}");
        let peer = "http://127.0.0.1:4380";
        let certificates = user.folder.join("certificates");
        let mut command = Command::new("nsenter");
        let pid = user.lab.init_pid(MACHINE);
        command
            .arg(format!("--net=/proc/{pid}/ns/net"))
            .arg(binary("etcd"))
            .arg("--data-dir")
            .arg(user.folder.join("data"))
            .args(["--unsafe-no-fsync", "--client-cert-auth"])
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", peer])
            .args(["--initial-advertise-peer-urls", peer])
            .args(["--initial-cluster", &format!("default={peer}")]);
        for (option, file) in [
            ("--trusted-ca-file", "ca.crt"),
            ("--cert-file", "server.crt"),
            ("--key-file", "server.key"),
        ] {
            command.arg(option).arg(certificates.join(file));
        }
        let log = fs::File::create(user.folder.join("etcd.log")).unwrap();
        Etcd(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("util-linux is there"),
        )
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Users and roles, by the guide's own lines.
fn set_up(user: &User, address: &str) {
    let mut blocks = GUIDE
        .split("```")
        .filter_map(|block| block.strip_prefix("sh\n"));
    let script = blocks.find(|block| block.starts_with("# users and roles"));
    let certificates = user.folder.join("certificates");
    let tools = binary("etcdctl").parent().unwrap().display().to_string();
    let environment = [
        ("PATH", format!("{tools}:/usr/bin:/bin")),
        ("NAME", "cluster1".into()),
        ("PEER", "cluster2".into()),
        ("ETCDCTL_ENDPOINTS", format!("https://{address}:{PORT}")),
        (
            "ETCDCTL_CACERT",
            certificates.join("ca.crt").display().to_string(),
        ),
        (
            "ETCDCTL_CERT",
            certificates.join("admin.crt").display().to_string(),
        ),
        (
            "ETCDCTL_KEY",
            certificates.join("admin.key").display().to_string(),
        ),
    ];
    let machine = Netns::open(format!("/proc/{}/ns/net", user.lab.init_pid(MACHINE))).unwrap();
    let run = || {
        Command::new("sh")
            .args(["-euc", script.expect("the guide has the block")])
            .envs(environment)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = machine.run(run).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
#[ignore = "takes a minute: run it by hand"]
fn a_cluster_with_a_real_etcd_is_meshed_with_one_that_has_none() {
    let user = User::with("etcd", "--nodes 1");
    let words = format!("exec {MACHINE} -- ip -4 -brief address show eth0");
    let said = user.lab.run(&words);
    let address = said.split_whitespace().nth(2).expect("it has an address");
    let (address, _) = address.split_once('/').expect("with a length");
    let tombolo = program("tombolo").display().to_string();
    user.types(&format!(
        "{tombolo} certificates init --certificates certificates --cluster-name cluster1 --server-name {address}\n\
         {tombolo} certificates issue remote-cluster2 --certificates certificates"
    ));
    let etcd = Etcd::start(&user, address);
    set_up(&user, address);
    let secret = |files: &[&str]| {
        let files = files
            .iter()
            .map(|file| format!(" --from-file=certificates/{file}"));
        user.types(&format!(
            "kubectl --context cluster1 create secret generic mesh-etcd -n kube-system --dry-run=client -o yaml{} \
             | kubectl --context cluster1 apply -f -",
            files.collect::<String>()
        ));
    };
    let own = ["ca.crt", "admin.crt", "admin.key", "local.crt", "local.key"];
    secret(&own);
    let external = "clustermesh.apiserver.etcd.external";
    user.does(&format!(
        "clustermesh enable --context cluster1 --set {external}.endpoints={{https://{address}:{PORT}}} \
         --set {external}.secretName=mesh-etcd"
    ));
    user.does("clustermesh enable --context cluster2");
    user.is_well(CONTEXTS);

    // Nobody is connected by half.
    let connect = "clustermesh connect --context cluster1 --destination-context cluster2";
    let refused = user.tombolo(connect);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("has no remote-cluster2.crt"),
        "{said}"
    );
    for context in CONTEXTS {
        let meshes = Cluster::of(&user.lab, context).json("get clustermeshes");
        assert_eq!(meshes["items"], serde_json::json!([]));
    }

    secret(&[&own[..], &["remote-cluster2.crt", "remote-cluster2.key"]].concat());
    user.does(connect);
    user.is_well(CONTEXTS);
    user.pods_answer(CONTEXTS);

    // Without it traffic goes on, and with it all is as before.
    drop(etcd);
    support::wait_until(
        "its absence to be told",
        std::time::Duration::from_secs(90),
        || !user.status("cluster2").0,
    );
    let clusters = CONTEXTS.map(|context| Cluster::of(&user.lab, context));
    let [here, there] = clusters.each_ref().map(|cluster| cluster.pods().remove(0));
    let answer = clusters[0].ask(&here, &format!("tcp://{}", there.address));
    assert_eq!(answer["pod"], there.name, "{answer}");
    let _etcd = Etcd::start(&user, address);
    user.is_well(CONTEXTS);
}
