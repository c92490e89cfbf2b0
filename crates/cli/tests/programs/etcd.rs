//! A real etcd in the place of the embedded store, set up as docs/store.md says.

use crate::place::{Cluster, OBJECTS, Place, Program, free_address, kept, wait_for};
use std::{
    path::Path,
    process::{Command, Stdio},
};

const GUIDE: &str = include_str!("../../../../docs/store.md");

/// The lines of the guide's block that begins with this comment.
fn guide(mark: &str) -> String {
    let blocks = GUIDE.split("```");
    let block = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    let mut found = block.filter(|block| block.starts_with(mark));
    let block = found.next().expect("the guide has the block");
    block.to_owned()
}

fn etcd(folder: &Path, address: &str) -> Command {
    let mut command = Command::new(kept("etcd"));
    let peer = format!("http://{}", free_address());
    let client = format!("https://{address}");
    let certificates = folder.join("certificates");
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--unsafe-no-fsync", "--client-cert-auth"])
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .arg("--trusted-ca-file")
        .arg(certificates.join("ca.crt"))
        .arg("--cert-file")
        .arg(certificates.join("server.crt"))
        .arg("--key-file")
        .arg(certificates.join("server.key"));
    command
}

/// Runs the guide's commands, which make users and roles and then turn authentication on.
fn set_up(folder: &Path, address: &str) {
    let script = guide("# users and roles");
    let certificates = folder.join("certificates");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = kept("etcdctl");
    let tools = tools.parent().unwrap().to_owned();
    let paths = std::iter::once(tools).chain(std::env::split_paths(&path));
    let output = Command::new("sh")
        .args(["-euc", &script])
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("NAME", "cluster1")
        .env("PEER", "cluster2")
        .env("ETCDCTL_ENDPOINTS", format!("https://{address}"))
        .env("ETCDCTL_CACERT", certificates.join("ca.crt"))
        .env("ETCDCTL_CERT", certificates.join("admin.crt"))
        .env("ETCDCTL_KEY", certificates.join("admin.key"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_real_etcd_holds_a_clusters_part_of_the_mesh() {
    let place = Place::new();
    let one = Cluster::on(&place, 1, |folder, address| {
        let store = Program::of(etcd(folder, &address.to_string()), folder, address);
        set_up(folder, &address.to_string());
        store
    });
    let two = Cluster::start(&place, 2);
    one.write_objects("golden.yaml", OBJECTS);
    let exporter = one.apiserver();
    wait_for("the export", || {
        let status = exporter.status();
        status["ready"] == true && status["store"]["leads"] == true
    });
    two.connect(&one);
    let mirror = two.kvstoremesh();
    wait_for("the copy", || mirror.status()["peers"][0]["ready"] == true);
    wait_for("all that there is", || {
        two.contents("cilium/cache/").len() == 10
    });
    // A certificate of the right authority alone does not let a peer in.
    let three = Cluster::start(&place, 3);
    three.connect(&one);
    let stranger = three.kvstoremesh();
    wait_for("the refusal", || {
        let status = stranger.status();
        let trouble = status["peers"][0]["trouble"].as_str().unwrap_or_default();
        trouble.contains("permission denied")
    });
}
