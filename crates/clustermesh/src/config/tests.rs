use super::*;

const CLUSTER2: &str = "\
endpoints:
- https://cluster2.mesh.cilium.io:2379
trusted-ca-file: /var/lib/cilium/clustermesh/common-etcd-client-ca.crt
key-file: /var/lib/cilium/clustermesh/common-etcd-client.key
cert-file: /var/lib/cilium/clustermesh/common-etcd-client.crt
cilium-host-aliases:
- hostname: cluster2.mesh.cilium.io
  ips: [\"192.0.2.10\", \"2001:db8::10\"]
";

fn read(files: &[(&str, &str)]) -> Peers {
    let files = files
        .iter()
        .map(|(name, text)| (name.to_string(), Ok(text.as_bytes().to_vec())));
    Peers::read("cluster1", files)
}

#[test]
fn files_of_peers_are_told_from_certificates_and_our_own() {
    let peers = read(&[
        ("cluster1", CLUSTER2),
        ("cluster2", CLUSTER2),
        ("common-etcd-client.crt", "-----BEGIN CERTIFICATE-----\n"),
        (".hidden", CLUSTER2),
    ]);
    assert_eq!(peers.refused, BTreeMap::new());
    assert_eq!(peers.peers.keys().collect::<Vec<_>>(), ["cluster2"]);
    let peer = &peers.peers["cluster2"].peer;
    assert_eq!(peer.endpoints, ["https://cluster2.mesh.cilium.io:2379"]);
    assert_eq!(peer.aliases[0].ips.len(), 2);
    assert!(
        peer.key_file
            .as_ref()
            .is_some_and(|path| path.ends_with("common-etcd-client.key"))
    );
}

#[test]
fn what_can_be_no_peer_is_refused_with_its_reason() {
    let table = [
        ("Cluster2", CLUSTER2, "can't be a cluster's name"),
        ("cluster2", "endpoints: []\n", "has no endpoint"),
        ("cluster2", "endpoints:\n", "has no endpoint"),
        ("cluster2", "endpoints: [", "not the YAML that is expected"),
        (
            "cluster2",
            "endpoints: [\"cluster2:2379\"]\n",
            "write it like https://",
        ),
        (
            "cluster2",
            "endpoints: [\"https://\"]\n",
            "write it like https://",
        ),
        (
            "cluster2",
            "endpoints: [\"https://a/b\"]\n",
            "write it like https://",
        ),
        (
            "cluster2",
            "endpoints: [\"https://a:1\"]\n",
            "name trusted-ca-file",
        ),
        (
            "cluster2",
            "endpoints: [\"https://a:1\"]\ntrusted-ca-file: /a\nkey-file: /b\n",
            "name cert-file",
        ),
        (
            "cluster2",
            "endpoints: [\"http://a:1\"]\ncilium-host-aliases: [{hostname: \"\", ips: [\"::1\"]}]\n",
            "no hostname",
        ),
        (
            "cluster2",
            "endpoints: [\"http://a:1\"]\ncilium-host-aliases: [{hostname: a, ips: []}]\n",
            "`a` has no address",
        ),
        (
            "cluster2",
            "endpoints: [\"http://a:1\"]\ncilium-host-aliases: [{hostname: a, ips: [\"::1\"]}, {hostname: a, ips: [\"::2\"]}]\n",
            "two host aliases",
        ),
    ];
    for (name, text, reason) in table {
        let peers = read(&[(name, text)]);
        assert!(peers.peers.is_empty(), "{text}");
        let refused = peers.refused[name].to_string();
        assert!(
            refused.contains(reason),
            "{refused:?} should say {reason:?}"
        );
    }
}

#[test]
fn unknown_fields_are_passed_over() {
    let text = format!("{CLUSTER2}dial-timeout: 5000000000\n");
    assert_eq!(read(&[("cluster2", &text)]).peers.len(), 1);
}

#[test]
fn only_a_changed_text_is_a_change_and_a_broken_file_removes_nobody() {
    let before = read(&[
        ("cluster2", CLUSTER2),
        ("cluster3", CLUSTER2),
        ("cluster4", CLUSTER2),
    ]);
    let changed = format!("{CLUSTER2}# moved\n");
    let mut now = read(&[
        ("cluster2", &changed),
        ("cluster3", "endpoints: ["),
        ("cluster5", CLUSTER2),
    ]);
    let changes = now.follow(&before);
    let expected = [
        Change::Removed("cluster4".to_owned()),
        Change::Changed("cluster2".to_owned()),
        Change::Added("cluster5".to_owned()),
    ];
    assert_eq!(changes, expected);
    assert_eq!(now.peers["cluster3"], before.peers["cluster3"]);
    assert_eq!(now.clone().follow(&now), []);
}

#[test]
fn an_unreadable_file_is_told_if_it_may_be_a_peers() {
    let broken = |name: &str| (name.to_owned(), Err("permission denied".to_owned()));
    let peers = Peers::read(
        "cluster1",
        [broken("cluster2"), broken("..data"), broken("a.crt")],
    );
    assert_eq!(peers.refused.keys().collect::<Vec<_>>(), ["cluster2"]);
}
