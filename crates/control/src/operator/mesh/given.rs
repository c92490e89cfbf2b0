//! Peers that were given by hand, in Cilium's form: one Secret with a file for each, and the certificates that it names.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_clustermesh::config;
use tombolo_model::config::is_cluster_name;

use crate::trust::Data;

/// What Cilium's chart calls it, and ours for `clustermesh.config`.
pub const GIVEN: &str = "cilium-kvstoremesh";
/// Certificates of a peer's file that has none of its own: this cluster's, for all.
pub const COMMON: [&str; 3] = [
    "common-etcd-client-ca.crt",
    "common-etcd-client.crt",
    "common-etcd-client.key",
];
const OWN: [&str; 3] = [
    ".etcd-client-ca.crt",
    ".etcd-client.crt",
    ".etcd-client.key",
];

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub peers: BTreeSet<String>,
    /// Of the peers: what leads to each, and the certificates that came with it.
    pub files: Data,
    /// Why a file leads nowhere.
    pub refused: BTreeMap<String, String>,
}

/// The clusters that the Secret has files about, but for this one: the same list may serve all clusters.
pub fn names<'a>(secret: &'a Data, own: &'a str) -> impl Iterator<Item = &'a str> {
    let names = secret.keys().map(String::as_str);
    names.filter(move |name| is_cluster_name(name) && *name != own)
}

/// A cluster that a ClusterMesh lists too is for that to say.
pub fn given(own: &str, secret: Option<&Data>, is_listed: impl Fn(&str) -> bool) -> Given {
    let mut given = Given::default();
    let Some(secret) = secret else { return given };
    for name in names(secret, own) {
        if is_listed(name) {
            let why = "a ClusterMesh lists it too, which counts";
            given.refused.insert(name.to_owned(), why.to_owned());
            continue;
        }
        match config::Peer::read(&secret[name]) {
            Ok(Some(_)) => {}
            Ok(None) => {
                let why = "it has no line `endpoints:`";
                given.refused.insert(name.to_owned(), why.to_owned());
                continue;
            }
            Err(error) => {
                given.refused.insert(name.to_owned(), error.to_string());
                continue;
            }
        }
        given.peers.insert(name.to_owned());
        let certificates = OWN.map(|end| format!("{name}{end}"));
        for key in [name.to_owned()].into_iter().chain(certificates) {
            if let Some(content) = secret.get(&key) {
                given.files.insert(key, content.clone());
            }
        }
    }
    if !given.peers.is_empty() {
        for key in COMMON {
            if let Some(content) = secret.get(key) {
                given.files.insert(key.to_owned(), content.clone());
            }
        }
    }
    given
}
