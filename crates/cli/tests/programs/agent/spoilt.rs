//! Files of peers that can't be read as they should, and what a status says of each.

use super::{
    Mesh, OWN,
    hostile::{Hostile, certificate, web_server},
};
use crate::place::free_address;
use std::os::unix::fs::symlink;

/// What a status must say of a peer: a part of the sentence, and one of the hint.
pub type Expected = (&'static str, &'static str, &'static str);

/// Peers whose stores can't be reached or don't let us read.
pub fn connections(mesh: &Mesh, hostile: &mut Vec<Hostile>) -> Vec<Expected> {
    let place = &mesh.place.path;
    let (own, good) = (
        mesh.own.path("certificates"),
        mesh.good.path("certificates"),
    );
    let [ca, ours, key] =
        ["ca.crt", "remote-cluster2.crt", "remote-cluster2.key"].map(|f| good.join(f));

    mesh.good_by("wrong-authority", &own.join("ca.crt"), &ours, &key);
    let expired = certificate(&good, place, "expired", "remote-cluster2", -30..-1);
    mesh.good_by("expired", &ca, &expired.certificate, &expired.key);
    // By which our own cluster would let a peer of its own name in.
    mesh.own.connect(&mesh.own);
    let [other, other_key] = ["remote-cluster2.crt", "remote-cluster2.key"].map(|f| own.join(f));
    mesh.good_by("other-peer", &ca, &other, &other_key);
    let stranger = certificate(&good, place, "stranger", "remote-cluster9", -1..30);
    mesh.good_by("stranger", &ca, &stranger.certificate, &stranger.key);
    mesh.good_by(
        "no-files",
        &ca,
        &place.join("absent.crt"),
        &place.join("absent.key"),
    );
    // The store of a cluster that is named as ours, under another name.
    let endpoint = format!("https://{}", mesh.own.address());
    mesh.file(
        "own-name",
        &endpoint,
        &[&own.join("ca.crt"), &other, &other_key],
    );

    for (name, days) in [("server-expired", -30..-1), ("server-tomorrow", 1..30)] {
        let server = certificate(&good, place, name, "server", days);
        let peer = Hostile::start(Some(server));
        let endpoint = format!("https://{}", peer.address);
        mesh.file(name, &endpoint, &[&ca, &ours, &key]);
        hostile.push(peer);
    }
    let web = web_server();
    mesh.file("not-etcd", &format!("http://{web}"), &[]);
    mesh.file("no-tls", &format!("http://{}", mesh.good.address()), &[]);
    mesh.file("not-tls", &format!("https://{web}"), &[&ca, &ours, &key]);
    mesh.file("nobody", &format!("http://{}", free_address()), &[]);
    mesh.file("no-name", "http://nowhere.invalid:2379", &[]);

    symlink("/nowhere", mesh.own.path("peers/unreadable")).unwrap();
    mesh.own.write_file("peers/malformed", "endpoints: [\n");
    mesh.own.write_file("peers/no-endpoint", "endpoints: []\n");
    vec![
        (
            "wrong-authority",
            "not issued by the authority that we are told to trust",
            "ca.crt of that very cluster",
        ),
        (
            "expired",
            "our certificate has expired",
            "tombolo certificates issue",
        ),
        (
            "other-peer",
            "does not trust the issuer of our certificate",
            "issued by that very cluster",
        ),
        ("stranger", "permission denied", "tombolo certificates list"),
        ("no-files", "absent.crt", "read anew at the next try"),
        (
            "own-name",
            "permission denied to read cilium/cluster-config/own-name",
            "must be the cluster's",
        ),
        (
            "server-expired",
            "its certificate has expired",
            "compare the clocks",
        ),
        (
            "server-tomorrow",
            "its certificate is not valid yet",
            "compare the clocks",
        ),
        (
            "not-etcd",
            "does not speak etcd's protocol: it speaks an older HTTP",
            "address and port",
        ),
        (
            "no-tls",
            "does not speak etcd's protocol: it wants TLS",
            "https:// where it has certificates",
        ),
        (
            "not-tls",
            "what answers does not speak TLS",
            "address and port are those of the store",
        ),
        ("nobody", "refused", "its store runs"),
        ("no-name", "nowhere.invalid", "address in its file"),
        (
            "unreadable",
            "the file can't be read: No such file",
            "/peers/unreadable",
        ),
        (
            "malformed",
            "not the YAML that is expected",
            "/peers/malformed",
        ),
        ("no-endpoint", "no endpoint", "/peers/no-endpoint"),
    ]
}

/// Peers whose stores say what can't be.
pub fn contents(mesh: &Mesh, hostile: &mut Vec<Hostile>) -> Vec<Expected> {
    let mut peer = |name: &'static str, id: u16, size: u16| {
        let peer = Hostile::start(None);
        mesh.file(name, &format!("http://{}", peer.address), &[]);
        peer.config(name, id, size);
        hostile.push(peer);
    };
    peer("own-number", OWN, 255);
    peer("same-number", 1, 255);
    peer("too-great", 256, 255);
    peer("other-size", 7, 511);
    peer("unfinished", 8, 255);
    let empty = Hostile::start(None);
    mesh.file("empty", &format!("http://{}", empty.address), &[]);
    hostile.push(empty);
    vec![
        (
            "own-number",
            "number 2 is our own",
            "a name and a number of its own",
        ),
        (
            "same-number",
            "number 1 is that of `cluster1` too",
            "a name and a number of its own",
        ),
        ("too-great", "256", "a name and a number of its own"),
        (
            "other-size",
            "a mesh of 511 clusters and ours for 255",
            "the same size of mesh",
        ),
        (
            "unfinished",
            "not said yet that all of its nodes, ip are in its store",
            "what exports that cluster runs",
        ),
        (
            "empty",
            "there is no cilium/cluster-config/empty in its store",
            "the file's name must be the cluster's",
        ),
    ]
}
