//! What no record may be: each is refused for its reason, and nothing panics.

use super::{golden::EXPORTED, *};
use crate::random::Random;

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
        ("cilium/synced/c1/tombolo/unheard/", "Outside"),
        ("cilium/synced/../tombolo/unheard", "ClusterName"),
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
        "cilium/synced/c1/tombolo/unheard",
        "cilium/state/nodes/v1/c2/n1",
        "cilium/.heartbeat",
    ] {
        assert_eq!(mirror_key(&key.parse().unwrap(), "c1"), None);
    }
}

#[test]
fn peers_that_do_not_fit_are_refused() {
    let check = |text: &str, own: u16, max: u16| {
        let config = ClusterConfig::decode(text.as_bytes()).unwrap();
        config.check(ClusterId(own), max)
    };
    let sized = |id: u32, max: u32| {
        format!(r#"{{"id":{id},"capabilities":{{"maxConnectedClusters":{max}}}}}"#)
    };
    assert_eq!(check(r#"{"id":3}"#, 1, 255), Ok(ClusterId(3)));
    assert_eq!(check(&sized(3, 0), 1, 255), Ok(ClusterId(3)));
    assert_eq!(check(&sized(300, 511), 1, 511), Ok(ClusterId(300)));
    let table = [
        (r#"{}"#.to_owned(), 255, PeerRefused::NoId { max: 255 }),
        (
            sized(256, 255),
            255,
            PeerRefused::IdTooLarge { id: 256, max: 255 },
        ),
        (
            sized(65_537, 255),
            255,
            PeerRefused::IdTooLarge {
                id: 65_537,
                max: 255,
            },
        ),
        (
            sized(512, 511),
            511,
            PeerRefused::IdTooLarge { id: 512, max: 511 },
        ),
        (sized(1, 255), 255, PeerRefused::OwnId { id: ClusterId(1) }),
        (
            sized(3, 511),
            255,
            PeerRefused::MeshSize {
                theirs: 511,
                ours: 255,
            },
        ),
        (
            sized(3, 0),
            511,
            PeerRefused::MeshSize {
                theirs: 255,
                ours: 511,
            },
        ),
        (
            r#"{"id":3,"capabilities":{"endpointSlicesExportMode":"telepathy"}}"#.to_owned(),
            255,
            PeerRefused::ExportMode {
                mode: "telepathy".into(),
            },
        ),
    ];
    for (text, max, refused) in table {
        assert_eq!(check(&text, 1, max), Err(refused), "{text}");
    }
    let long = vec![b' '; 1 << 20];
    assert_eq!(
        ClusterConfig::decode(&long).unwrap_err().label(),
        "too-long"
    );
}

#[test]
fn records_that_disagree_are_refused() {
    let address = |id: u32| format!(r#"{{"IP":"10.1.1.7","HostIP":"192.0.2.1","ID":{id}}}"#);
    let labels = |cluster: &str| format!("k8s:a=b;k8s:io.cilium.k8s.policy.cluster={cluster};");
    let node = |cluster: &str, name: &str, id: u32| {
        format!(r#"{{"Cluster":"{cluster}","Name":"{name}","ClusterID":{id}}}"#)
    };
    let service = |cluster: &str, namespace: &str, id: u32| {
        format!(
            r#"{{"cluster":"{cluster}","namespace":"{namespace}","name":"web","clusterID":{id}}}"#
        )
    };
    let table = [
        ("nodes/v1/cluster1/n1", node("cluster1", "n1", 1), ""),
        (
            "nodes/v1/cluster2/n1",
            node("cluster2", "n1", 2),
            "cluster-name",
        ),
        (
            "nodes/v1/cluster1/n1",
            node("cluster2", "n1", 1),
            "cluster-name",
        ),
        ("nodes/v1/cluster1/n1", node("", "n1", 1), "missing"),
        ("nodes/v1/cluster1/n1", node("cluster1", "", 1), "missing"),
        (
            "nodes/v1/cluster1/n1",
            node("cluster1", "n2", 1),
            "key-disagrees",
        ),
        (
            "nodes/v1/cluster1/n1",
            node("cluster1", "n1", 2),
            "cluster-id",
        ),
        (
            "nodes/v1/cluster1/n1",
            node("cluster1", "n1", 65_537),
            "cluster-id",
        ),
        ("nodes/v1/cluster1/n1", String::new(), "malformed"),
        ("nodes/v1/cluster1/n1", "[".repeat(100_000), "malformed"),
        ("nodes/v1/cluster1/n1", " ".repeat(2 << 20), "too-long"),
        ("ip/v1/default/10.1.1.7", address(65_536), ""),
        ("ip/v1/default/10.1.1.7", address(131_071), ""),
        ("ip/v1/default/10.1.1.7", address(8), ""),
        (
            "ip/v1/default/10.1.1.7",
            address(256),
            "identity-out-of-range",
        ),
        (
            "ip/v1/default/10.1.1.7",
            address(131_072),
            "identity-out-of-range",
        ),
        (
            "ip/v1/default/10.1.1.7",
            address(1 << 24 | 1),
            "identity-out-of-range",
        ),
        ("ip/v1/default/10.1.1.8", address(65_536), "key-disagrees"),
        (
            "ip/v1/default/10.1.1.7",
            r#"{"IP":"10.1.1.7","HostIP":null,"ID":8}"#.into(),
            "missing",
        ),
        (
            "ip/v1/default/10.1.1.7",
            r#"{"IP":"","HostIP":"192.0.2.1","ID":8}"#.into(),
            "malformed",
        ),
        (
            "ip/v1/default/10.1.1.7",
            r#"{"IP":"10.1.1.7","ID":-1}"#.into(),
            "malformed",
        ),
        ("ip/v1/default/10.1.1.7", " ".repeat(65 << 10), "too-long"),
        ("identities/v1/id/70001", labels("cluster1"), ""),
        ("identities/v1/id/70001", labels("cluster2"), "cluster-name"),
        ("identities/v1/id/70001", "k8s:a=b;".into(), "missing"),
        ("identities/v1/id/70001", "k8s:=b;".into(), "missing"),
        (
            "identities/v1/id/8",
            labels("cluster1"),
            "identity-out-of-range",
        ),
        (
            "identities/v1/id/131072",
            labels("cluster1"),
            "identity-out-of-range",
        ),
        (
            "services/v1/cluster1/shop/web",
            service("cluster1", "shop", 1),
            "",
        ),
        (
            "services/v1/cluster1/shop/web",
            service("cluster2", "shop", 1),
            "cluster-name",
        ),
        (
            "services/v1/cluster1/shop/web",
            service("cluster1", "other", 1),
            "key-disagrees",
        ),
        (
            "services/v1/cluster1/shop/web",
            service("cluster1", "shop", 0),
            "cluster-id",
        ),
        (
            "services/v1/cluster1/shop/web",
            r#"{"backends":{"x":{}}}"#.into(),
            "malformed",
        ),
        (
            "serviceexports/v1/cluster1/shop/web",
            service("cluster1", "shop", 1),
            "",
        ),
        (
            "serviceexports/v1/cluster1/shop/web",
            service("cluster2", "shop", 1),
            "cluster-name",
        ),
        (
            "serviceexports/v1/cluster1/shop/web",
            r#"{"type":"ClusterIP"}"#.into(),
            "malformed",
        ),
    ];
    for (key, value, label) in table {
        let read = read(&peer(), key, value.as_bytes());
        let found = read.as_ref().err().map_or("", RecordError::label);
        let value = &value[..value.len().min(200)];
        assert_eq!(found, label, "{key} {value}: {read:?}");
        if let Err(error) = read {
            assert!(error.to_string().chars().count() < 350, "{error}");
        }
    }
}

#[test]
fn ranges_of_identities_are_halved_in_the_larger_mesh() {
    let peer = Peer {
        clusters_max: 511,
        ..peer()
    };
    let address = |id: u32| {
        let value = format!(r#"{{"IP":"10.1.1.7","HostIP":"192.0.2.1","ID":{id}}}"#);
        read(&peer, "ip/v1/default/10.1.1.7", value.as_bytes())
    };
    assert!(address(32_768).is_ok());
    assert!(address(65_535).is_ok());
    let error = address(65_536).unwrap_err().to_string();
    assert_eq!(
        error,
        "its identity 65536 is not one of cluster `cluster1`, whose identities are 32768 to 65535: is --max-connected-clusters the same in both clusters?"
    );
}

#[test]
fn reasons_are_short_and_can_not_steer_a_terminal() {
    let value = format!(r#"{{"Name":{{"{}":1}}}}"#, "x\\u001b[2J".repeat(10_000));
    let error = read(&peer(), "nodes/v1/cluster1/n1", value.as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 400);
    let value = r#"{"Cluster":"a\u001b[2Jb"}"#;
    let error = read(&peer(), "nodes/v1/cluster1/n1", value.as_bytes()).unwrap_err();
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
}

/// Some bytes changed, taken away, put in or said twice.
pub(super) fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    const TOKENS: [&[u8]; 8] = [
        b"null",
        b"\"",
        b"{}",
        b"[]",
        b"-1",
        b"1e999",
        b"\xff\xfe",
        b"/",
    ];
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let to = (at + random.below(16) as usize).min(bytes.len());
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..to)),
            2 => drop(bytes.splice(at..to, random.pick(&TOKENS).iter().copied())),
            3 => bytes.truncate(at),
            _ => {
                let again = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, again));
            }
        }
    }
}

#[test]
fn mutated_records_never_panic() {
    let pairs = golden::pairs(EXPORTED);
    let (mut read, mut refused) = (0, 0);
    for seed in 0..20_000 {
        let random = &mut Random::new(seed);
        let (key, value) = random.pick(&pairs).clone();
        let (mut key, mut value) = (key.into_bytes(), value.into_bytes());
        if random.one_in(4) {
            mutate(random, &mut key);
        } else {
            mutate(random, &mut value);
        }
        let Ok(Ok(key)) = String::from_utf8(key).map(|key| key.parse::<Key>()) else {
            continue;
        };
        let result = match &key {
            Key::Record(key) => peer().read(key, &value).map(|record| {
                let again = peer().read(key, &golden::encode(&record));
                assert_eq!(again.as_ref(), Ok(&record), "seed {seed}");
            }),
            _ => ClusterConfig::decode(&value).map(|config| drop(config.check(ClusterId(2), 255))),
        };
        match result {
            Ok(()) => read += 1,
            Err(error) => {
                assert!(error.to_string().len() < 1000, "{error}");
                refused += 1;
            }
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} {refused}");
}
