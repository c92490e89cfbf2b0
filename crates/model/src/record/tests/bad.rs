//! What no record may be: each is refused for its reason, and nothing panics.

use super::*;

#[test]
fn keys_outside_the_layout_are_refused() {
    let long = format!("cilium/state/nodes/v1/c1/{}", "n".repeat(254));
    let longer = format!("cilium/state/nodes/v1/c1/{}", "n".repeat(1000));
    let table = [
        ("", "Outside"),
        ("cilium/", "Outside"),
        ("cilium/.heartbeat/", "Outside"),
        ("/cilium/.heartbeat", "Outside"),
        ("cilium/kvstoremesh-lock", "Outside"),
        ("cilium/.initlock/1/2", "Outside"),
        ("cilium/cluster-config/", "ClusterName"),
        ("cilium/cluster-config/a/b", "ClusterName"),
        ("cilium/cluster-config/Upper", "ClusterName"),
        ("cilium/synced/c1", "Outside"),
        ("cilium/synced/c1/cilium/state/nodes", "Outside"),
        ("cilium/synced/c1/cilium/state/nodes/v1/", "Outside"),
        ("cilium/synced/c1/cilium/other/nodes/v1", "Outside"),
        ("cilium/synced/../cilium/state/nodes/v1", "ClusterName"),
        ("cilium/state/nodes/v2/c1/n1", "Outside"),
        ("cilium/state/pods/v1/c1/n1", "Outside"),
        ("cilium/state/nodes/v1/c1", "Outside"),
        ("cilium/state/nodes/v1//n1", "ClusterName"),
        ("cilium/state/nodes/v1/c1/", "Name"),
        ("cilium/state/nodes/v1/c1/n1/x", "Name"),
        ("cilium/state/nodes/v1/c1/n 1", "Name"),
        (&long, "Name"),
        (&longer, "TooLong"),
        ("cilium/state/identities/v1/id/", "Name"),
        ("cilium/state/identities/v1/id/007", "Name"),
        ("cilium/state/identities/v1/id/+7", "Name"),
        ("cilium/state/identities/v1/id/4294967296", "Name"),
        (
            "cilium/state/identities/v1/value/k8s:a=b;/10.0.0.1",
            "Outside",
        ),
        ("cilium/state/ip/v1/c1/10.1.1.1", "Outside"),
        ("cilium/state/ip/v1/default/10.1.1", "Name"),
        ("cilium/state/ip/v1/default/fd01:0::1", "Name"),
        ("cilium/state/ip/v1/default/::ffff:10.1.1.1", "Name"),
        ("cilium/state/ip/v1/default/10.1.1.1/33", "Name"),
        ("cilium/state/ip/v1/default/10.1.1.1/08", "Name"),
        ("cilium/state/ip/v1/default/10.1.1.1/", "Name"),
        ("cilium/cache/ip/v1/10.1.1.1", "Outside"),
        ("cilium/cache/identities/v1/c1/70001", "Outside"),
        ("cilium/state/services/v1/c1/web", "Name"),
        ("cilium/state/services/v1/c1/shop/web/x", "Name"),
        ("cilium/state/endpointslices/v1/c1//web", "Name"),
    ];
    for (key, expected) in table {
        let error = key.parse::<Key>().expect_err(key);
        assert!(
            format!("{error:?}").starts_with(expected),
            "{key}: {error:?}"
        );
        assert!(error.to_string().chars().count() < 250, "{error}");
    }
}

#[test]
fn copies_are_made_of_one_peer_alone() {
    for key in [
        "cilium/cluster-config/c2",
        "cilium/synced/c2/cilium/state/ip/v1",
        "cilium/state/nodes/v1/c2/n1",
        "cilium/.heartbeat",
    ] {
        assert_eq!(mirror_key(&key.parse().unwrap(), "c1"), None);
    }
}
