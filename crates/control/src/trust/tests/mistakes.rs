//! What people do with the files of two clusters, right and wrong.

use std::collections::BTreeMap;

use super::*;
use crate::trust::{Data, meet, refuse_same_ids};

fn data(name: &str, id: u16, secret: &Secret) -> Data {
    let text = introduction(name, id).write(secret).unwrap();
    [
        (ID_KEY.to_owned(), text.into_bytes()),
        (SECRET_KEY.to_owned(), secret.bytes().to_vec()),
    ]
    .into()
}

fn named(name: &str) -> SecretName {
    SecretName {
        namespace: "kube-system".into(),
        name: name.into(),
    }
}

fn own() -> Own {
    Own::read(&data("cluster-a", 1, &secret(0))).unwrap()
}

/// What cluster-a makes of a Secret for cluster-b.
fn met(known: &[(&str, Data)]) -> Result<Peer, Mistake> {
    let known = known.iter().map(|(name, data)| (named(name), data.clone()));
    let known: BTreeMap<_, _> = known.collect();
    meet(&own(), "cluster-b", &named("cluster-b-secret"), &known)
}

fn mistake(known: &[(&str, Data)], reason: &str, says: &[&str]) {
    let mistake = met(known).unwrap_err();
    assert_eq!(mistake.reason(), reason, "{mistake:?}");
    let secret = named("cluster-b-secret");
    let scene = Scene {
        own: "cluster-a",
        peer: "cluster-b",
        secret: &secret,
    };
    let told = format!(
        "{}\n{}",
        mistake.message(scene),
        mistake.commands(scene).join("\n")
    );
    for part in says {
        assert!(told.contains(part), "`{part}` is not in\n{told}");
    }
}

#[test]
fn the_peers_files_make_a_peer() {
    let peer = met(&[("cluster-b-secret", data("cluster-b", 2, &secret(32)))]).unwrap();
    assert_eq!(peer.introduction.name, "cluster-b");
    assert_eq!(own().offered(&peer).len(), 1);
    assert_eq!(own().voucher(&peer).keys.len(), 1);
}

#[test]
fn both_sides_expect_what_the_other_offers() {
    let mut ours = data("cluster-a", 1, &secret(0));
    let theirs = data("cluster-b", 2, &secret(32));
    // One of them is replacing its secret.
    ours.insert(OLD_SECRET_KEY.into(), secret(64).bytes().to_vec());
    let (a, b) = (Own::read(&ours).unwrap(), Own::read(&theirs).unwrap());
    let as_peer = |own: &Own| Peer {
        introduction: own.introduction.clone(),
        secrets: own.secrets.clone(),
        client: None,
    };
    let (a_seen, b_seen) = (as_peer(&a), as_peer(&b));
    assert_eq!(a.offered(&b_seen), b.voucher(&a_seen).keys);
    assert_eq!(b.offered(&a_seen), a.voucher(&b_seen).keys);
    assert_eq!(a.offered(&b_seen).len(), 2);
}

#[test]
fn each_mistake_has_its_own_words() {
    let theirs = || data("cluster-b", 2, &secret(32));
    let ours = || data("cluster-a", 1, &secret(0));
    let make_here = "kubectl --context cluster-a create secret generic -n kube-system cluster-b-secret \
                     --from-file=cluster.id=cluster-b.id --from-file=cluster.secret=cluster-b.secret";
    let take_there = "kubectl --context cluster-b get secret -n kube-system cluster-mesh-config \
                      -o jsonpath='{.data.cluster\\.secret}' | base64 --decode > cluster-b.secret";
    let make_there = "kubectl --context cluster-b create secret generic -n kube-system cluster-a-secret \
                      --from-file=cluster.id=cluster-a.id";
    mistake(
        &[],
        "SecretMissing",
        &[
            "kube-system/cluster-b-secret is not there",
            make_here,
            take_there,
        ],
    );
    // Our own is where it always is: that is no mistake.
    mistake(
        &[("cluster-mesh-config", ours())],
        "SecretMissing",
        &[make_here],
    );
    mistake(
        &[("cluster-a-secret", ours())],
        "SecretsSwapped",
        &[
            "kube-system/cluster-b-secret is not there",
            "kube-system/cluster-a-secret holds cluster-a's own cluster.id: that one belongs on cluster-b",
            "kubectl --context cluster-a delete secret -n kube-system cluster-a-secret",
            make_there,
            make_here,
        ],
    );
    mistake(
        &[("cluster-b-secret", ours())],
        "SecretsSwapped",
        &[
            "was made of cluster-a's own files",
            "kubectl --context cluster-a delete secret -n kube-system cluster-b-secret",
            make_there,
            make_here,
        ],
    );
    for key in [ID_KEY, SECRET_KEY] {
        let mut short = theirs();
        let taken = short.remove(key).unwrap();
        short.insert("cluster-b.txt".into(), taken);
        mistake(
            &[("cluster-b-secret", short)],
            "SecretKeyMissing",
            &[&format!("has no key {key}"), "cluster-b.txt", make_here],
        );
    }
    let mut half = theirs();
    half.insert(CLIENT_CERTIFICATE.into(), b"a certificate".to_vec());
    mistake(
        &[("cluster-b-secret", half)],
        "SecretKeyMissing",
        &["has no key client.key"],
    );
    mistake(
        &[("cluster-b-secret", Data::new())],
        "SecretKeyMissing",
        &["is empty"],
    );
    mistake(
        &[("cluster-b-secret", data("cluster-c", 3, &secret(64)))],
        "NameDiffers",
        &["cluster-b is listed, but", "of the cluster cluster-c"],
    );
    mistake(
        &[("cluster-b-secret", data("cluster-b", 1, &secret(32)))],
        "IdTaken",
        &["has the id 1, which cluster-a has too"],
    );
    let mut long = theirs();
    long.get_mut(SECRET_KEY).unwrap().push(b'\n');
    mistake(
        &[("cluster-b-secret", long)],
        "SecretInvalid",
        &["has 33 bytes and must have 32: an end of line", make_here],
    );
    let mut mixed = theirs();
    mixed.insert(SECRET_KEY.into(), secret(64).bytes().to_vec());
    mistake(
        &[("cluster-b-secret", mixed)],
        "SecretMismatch",
        &["does not belong"],
    );
    mistake(
        &[("cluster-b-secret", data("cluster-b", 2, &secret(0)))],
        "OwnSecret",
        &["take both from cluster-b"],
    );
    let mut nowhere = introduction("cluster-b", 2);
    nowhere.endpoints.clear();
    let mut early = theirs();
    let text = nowhere.write(&secret(32)).unwrap();
    early.insert(ID_KEY.into(), text.into_bytes());
    mistake(
        &[("cluster-b-secret", early)],
        "NoEndpoint",
        &["did not know yet"],
    );
    let mut newer = theirs();
    newer.insert(ID_KEY.into(), br#"{"version": 7}"#.to_vec());
    mistake(
        &[("cluster-b-secret", newer)],
        "VersionUnknown",
        &["upgrade it first"],
    );
    let mut rubbish = theirs();
    rubbish.insert(ID_KEY.into(), b"cluster-b".to_vec());
    mistake(
        &[("cluster-b-secret", rubbish)],
        "IdInvalid",
        &["not the JSON"],
    );
}

#[test]
fn a_cluster_that_lists_itself_is_told_so() {
    let mistake = meet(&own(), "cluster-a", &named("x"), &BTreeMap::new()).unwrap_err();
    assert_eq!(mistake.reason(), "OwnCluster");
}

#[test]
fn of_two_with_one_id_only_the_first_is_a_peer() {
    let peer = |name: &str| {
        let known = [(named("s"), data(name, 2, &secret(32)))].into();
        meet(&own(), name, &named("s"), &known)
    };
    let mut all = BTreeMap::from([("b".to_owned(), peer("b")), ("c".to_owned(), peer("c"))]);
    refuse_same_ids(&mut all);
    assert!(all["b"].is_ok());
    assert_eq!(
        all["c"],
        Err(Mistake::IdTaken {
            id: ClusterId(2),
            by: "b".into()
        })
    );
}
