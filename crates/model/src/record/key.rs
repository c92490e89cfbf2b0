//! The tree of keys in a mesh's store.
//!
//! What a cluster exports of itself lies under `state`, what was copied from peers under `cache`. In `state`, keys of
//! identities and addresses don't name their cluster; whoever reads them knows whose store it is.

use super::error::shorten;
use crate::{config::is_cluster_name, id::Identity};
use std::{fmt, net::IpAddr, str::FromStr};

mod parse;

const KEY_LEN_MAX: usize = 1024;
const SEGMENT_LEN_MAX: usize = 253;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Rewritten every minute; a store without is dead.
    Heartbeat,
    ClusterConfig {
        cluster: String,
    },
    /// The canary: everything of this kind has been written once.
    Synced {
        cluster: String,
        tree: Tree,
        resource: Resource,
    },
    /// There while whoever copies this cluster hears nothing of it. Not one of Cilium's, whose readers pass over it.
    Unheard {
        cluster: String,
    },
    Record(RecordKey),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    State,
    Cache,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Nodes,
    Identities,
    Addresses,
    Services,
    EndpointSlices,
    ServiceExports,
}

/// Where a record stands. The cluster is absent where the key does not tell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey {
    tree: Tree,
    cluster: Option<String>,
    name: Name,
}

/// What a record is about, within its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Node(String),
    Identity(Identity),
    Address(AddressName),
    Service(Namespaced),
    EndpointSlice(Namespaced),
    ServiceExport(Namespaced),
}

/// An address, or a prefix if it has a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressName {
    pub ip: IpAddr,
    pub length: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespaced {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key of {len} bytes is longer than any that clusters write")]
    TooLong { len: usize },
    #[error("`{key}` is not a key that clusters write")]
    Outside { key: String },
    #[error("`{key}` has `{cluster}` where the name of a cluster belongs")]
    ClusterName { key: String, cluster: String },
    #[error("`{key}` does not end in {expected}")]
    Name { key: String, expected: &'static str },
}

impl Tree {
    pub fn word(self) -> &'static str {
        match self {
            Tree::State => "state",
            Tree::Cache => "cache",
        }
    }
}

impl Resource {
    pub const ALL: [Resource; 6] = [
        Resource::Nodes,
        Resource::Identities,
        Resource::Addresses,
        Resource::Services,
        Resource::EndpointSlices,
        Resource::ServiceExports,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Resource::Nodes => "nodes",
            Resource::Identities => "identities",
            Resource::Addresses => "ip",
            Resource::Services => "services",
            Resource::EndpointSlices => "endpointslices",
            Resource::ServiceExports => "serviceexports",
        }
    }

    /// What all of a cluster's records of this kind begin with, the slash at the end included.
    pub fn prefix(self, tree: Tree, cluster: &str) -> String {
        let (tree_word, word) = (tree.word(), self.word());
        match (tree, self) {
            (Tree::State, Resource::Identities) => format!("cilium/{tree_word}/{word}/v1/id/"),
            (Tree::Cache, Resource::Identities) => {
                format!("cilium/{tree_word}/{word}/v1/{cluster}/id/")
            }
            (Tree::State, Resource::Addresses) => format!("cilium/{tree_word}/{word}/v1/default/"),
            _ => format!("cilium/{tree_word}/{word}/v1/{cluster}/"),
        }
    }

    fn names_cluster(self, tree: Tree) -> bool {
        tree == Tree::Cache || !matches!(self, Resource::Identities | Resource::Addresses)
    }
}

impl Name {
    pub fn resource(&self) -> Resource {
        match self {
            Name::Node(_) => Resource::Nodes,
            Name::Identity(_) => Resource::Identities,
            Name::Address(_) => Resource::Addresses,
            Name::Service(_) => Resource::Services,
            Name::EndpointSlice(_) => Resource::EndpointSlices,
            Name::ServiceExport(_) => Resource::ServiceExports,
        }
    }
}

impl RecordKey {
    pub fn new(tree: Tree, cluster: &str, name: Name) -> RecordKey {
        let cluster = name
            .resource()
            .names_cluster(tree)
            .then(|| cluster.to_owned());
        RecordKey {
            tree,
            cluster,
            name,
        }
    }

    pub fn tree(&self) -> Tree {
        self.tree
    }

    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    pub fn name(&self) -> &Name {
        &self.name
    }
}

/// The key of the copy in our own store of what stands at a key in the store of `peer`; none for what is not copied,
/// least of all what a cluster says of others.
pub fn mirror_key(key: &Key, peer: &str) -> Option<Key> {
    match key {
        Key::Record(key) if key.cluster().is_none_or(|cluster| cluster == peer) => {
            let copy = RecordKey::new(Tree::Cache, peer, key.name.clone());
            Some(Key::Record(copy))
        }
        Key::ClusterConfig { cluster } if cluster == peer => Some(key.clone()),
        Key::Synced {
            cluster, resource, ..
        } if cluster == peer => Some(Key::Synced {
            cluster: cluster.clone(),
            tree: Tree::Cache,
            resource: *resource,
        }),
        _ => None,
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Heartbeat => f.write_str("cilium/.heartbeat"),
            Key::ClusterConfig { cluster } => write!(f, "cilium/cluster-config/{cluster}"),
            Key::Synced {
                cluster,
                tree,
                resource,
            } => {
                let (tree, resource) = (tree.word(), resource.word());
                write!(f, "cilium/synced/{cluster}/cilium/{tree}/{resource}/v1")
            }
            Key::Unheard { cluster } => write!(f, "cilium/synced/{cluster}/tombolo/unheard"),
            Key::Record(key) => key.fmt(f),
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = self.cluster.as_deref().unwrap_or_default();
        let prefix = self.name.resource().prefix(self.tree, cluster);
        write!(f, "{prefix}{}", self.name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Node(name) => f.write_str(name),
            // Not by its own Display, which gives reserved identities their names.
            Name::Identity(identity) => identity.0.fmt(f),
            Name::Address(name) => name.fmt(f),
            Name::Service(name) | Name::EndpointSlice(name) | Name::ServiceExport(name) => {
                name.fmt(f)
            }
        }
    }
}

impl fmt::Display for AddressName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            Some(length) => write!(f, "{}/{length}", self.ip),
            None => self.ip.fmt(f),
        }
    }
}

impl fmt::Display for Namespaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
