//! What is true of one cluster, and what was: its nodes, addresses, identities and services, each change with a version.
//!
//! A record tells its version by what it says, so that whoever meets it anywhere knows which of the truths it was.

mod records;
mod work;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use ipnet::IpNet;
use tombolo_model::{
    fact,
    id::{ClusterId, Identity},
    record::{Key, Name, Peer, Record, RecordKey, Resource, Tree},
};

pub(crate) use work::Told;

/// Rises with each change of a cluster. 0 was never true.
pub(crate) type Version = u64;

/// The kinds of records that clusters of this mesh have.
pub(crate) const RESOURCES: [Resource; 4] = [
    Resource::Nodes,
    Resource::Identities,
    Resource::Addresses,
    Resource::Services,
];

#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) version: Version,
    pub(crate) record: Record,
    pub(crate) value: Bytes,
}

#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) cluster: usize,
    pub(crate) name: String,
    pub(crate) id: u16,
    pub(crate) live: BTreeMap<Name, Live>,
    version: Version,
    /// When a name was gone for the last time.
    gone: BTreeMap<Name, Version>,
    /// The first version of each number that the cluster has had.
    epochs: Vec<(Version, u16)>,
    /// Every value that was ever true; only looked up.
    values: HashMap<Bytes, (Name, Version)>,
    /// Of what each version was, on which place, and under which number of the cluster.
    past: BTreeMap<Version, (Name, u8, u16)>,
    nodes_ever: u64,
}

impl Truth {
    pub(crate) fn new(cluster: usize, id: u16) -> Truth {
        Truth {
            cluster,
            name: name_of(cluster),
            id,
            live: BTreeMap::new(),
            version: 0,
            gone: BTreeMap::new(),
            epochs: vec![(0, id)],
            values: HashMap::new(),
            past: BTreeMap::new(),
            nodes_ever: 0,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer {
            cluster: self.name.clone(),
            id: ClusterId(self.id),
            clusters_max: 255,
        }
    }

    /// Whether a record of this version has ceased to be true for good: it was deleted since, or the cluster's number
    /// has changed.
    pub(crate) fn has_ended(&self, name: &Name, version: Version) -> bool {
        let gone = self.gone.get(name).is_some_and(|gone| *gone > version);
        gone || self
            .epochs
            .last()
            .is_some_and(|(first, _)| *first > version)
    }

    /// Which truth a value at a key once was.
    pub(crate) fn version_of(&self, name: &Name, value: &[u8]) -> Option<Version> {
        let (of, version) = self.values.get(value)?;
        (of == name).then_some(*version)
    }

    /// Whether this was true of the name at any time.
    pub(crate) fn was(&self, name: &Name, version: Version) -> bool {
        let of = self.past.get(&version).map(|(name, ..)| name);
        let health = of.and_then(|node| self.health_of(node, version));
        of == Some(name) || health.as_ref() == Some(name)
    }

    /// The place of a node or of an address's node in a version, if it was of this name and number.
    pub(crate) fn place_at(&self, name: &Name, version: Version, id: u16) -> Option<u8> {
        let (of, place, under) = self.past.get(&version)?;
        (of == name && *under == id).then_some(*place)
    }

    /// Whether there is a node on the place now.
    pub(crate) fn has_node_at(&self, place: u8) -> bool {
        self.node_at(place).is_some()
    }

    /// The name of one of its records, from a key of its own store or of a copy.
    pub(crate) fn name_at(&self, key: &[u8]) -> Option<(Tree, Name)> {
        match std::str::from_utf8(key).ok()?.parse().ok()? {
            Key::Record(key) if key.cluster().is_none_or(|cluster| cluster == self.name) => {
                Some((key.tree(), key.name().clone()))
            }
            _ => None,
        }
    }

    pub(crate) fn key(&self, tree: Tree, name: &Name) -> Bytes {
        RecordKey::new(tree, &self.name, name.clone())
            .to_string()
            .into()
    }

    /// What its nodes' records say of addresses beside their own.
    pub(crate) fn health(&self) -> BTreeMap<IpNet, fact::Address> {
        let peer = self.peer();
        let nodes = self.live.values().filter_map(|live| match &live.record {
            Record::Node(node) => Some(peer.reserved_addresses(node)),
            _ => None,
        });
        nodes
            .flatten()
            .map(|(key, address)| (key.prefix, address))
            .collect()
    }

    pub(crate) fn identity(&self, version: Version) -> Identity {
        Identity(records::identities_first(self.id) + version as u32)
    }
}

pub(crate) fn name_of(cluster: usize) -> String {
    format!("c{}", cluster + 1)
}
