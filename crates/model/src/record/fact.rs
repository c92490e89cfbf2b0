//! Records as facts for the world.
//!
//! A record that goes is told by its key alone: one store holds one record at a key, so the cluster owns the address.

use super::{Address, Name, Namespaced, Node, Peer, Record, Resource};
use crate::{
    event::Event,
    fact::{self, AddressKey, Fact, NodeKey, Source},
    id::{ClusterId, Identity},
    service::Offer,
};

/// What a cluster's word of its services tells the world; nothing if it is of something else.
pub fn offered(
    source: Source,
    resource: Resource,
    event: Event<Name, Box<Record>>,
) -> Option<Fact> {
    let is_slices = match resource {
        Resource::Services => false,
        Resource::EndpointSlices => true,
        _ => return None,
    };
    let event = match event {
        Event::Restart => Event::Restart,
        Event::Synced => Event::Synced,
        Event::Delete(name) => Event::Delete(namespaced(name)?),
        Event::Upsert(name, record) => {
            let offer = match *record {
                // Nobody may use what is not shared, whoever wrote it.
                Record::Service(service) => service.shared.then(|| Offer::of_record(&service)),
                Record::EndpointSlice(slice) => Offer::of_slice(&slice),
                _ => return None,
            };
            let name = namespaced(name)?;
            match offer {
                Some(offer) => Event::Upsert(name, offer),
                // What stood at its key before is gone with it.
                None => Event::Delete(name),
            }
        }
    };
    Some(match is_slices {
        true => Fact::Slice(source, event),
        false => Fact::Shared(source, event),
    })
}

fn namespaced(name: Name) -> Option<Namespaced> {
    match name {
        Name::Service(name) | Name::EndpointSlice(name) => Some(name),
        _ => None,
    }
}

impl Peer {
    pub fn source(&self) -> Source {
        Source::Cluster(self.id)
    }

    /// What a record that stands tells the world; nothing if the world has no use for its kind.
    pub fn upsert(&self, record: &Record) -> Option<Fact> {
        match record {
            Record::Node(node) => {
                let event = Event::Upsert(self.node_key(&node.name), node.fact(self.id));
                Some(Fact::Node(self.source(), event))
            }
            Record::Address(address) => {
                let (name, address) = (Name::Address(address.name), address.fact()?);
                let event = Event::Upsert(self.address_key(&name)?, address);
                Some(Fact::Address(self.source(), event))
            }
            _ => None,
        }
    }

    /// What the end of the record of this name tells the world.
    pub fn delete(&self, name: &Name) -> Option<Fact> {
        match name {
            Name::Node(node) => {
                let event = Event::Delete(self.node_key(node));
                Some(Fact::Node(self.source(), event))
            }
            Name::Address(_) => {
                let event = Event::Delete(self.address_key(name)?);
                Some(Fact::Address(self.source(), event))
            }
            _ => None,
        }
    }

    /// The addresses that a node's record tells of beside the node's own: those of its health and ingress endpoints.
    pub fn reserved_addresses(&self, node: &Node) -> Vec<(AddressKey, fact::Address)> {
        let health = [node.health_v4, node.health_v6].map(|ip| (ip, Identity::HEALTH));
        let ingress = [node.ingress_v4, node.ingress_v6].map(|ip| (ip, Identity::INGRESS));
        let Some(host) = node.underlay_addresses().first().copied() else {
            return Vec::new();
        };
        health
            .into_iter()
            .chain(ingress)
            .filter_map(|(ip, identity)| {
                let key = AddressKey {
                    prefix: ip?.into(),
                    owner: format!("{}/{}", self.cluster, node.name),
                };
                Some((key, fact::Address { identity, host }))
            })
            .collect()
    }

    fn node_key(&self, name: &str) -> NodeKey {
        NodeKey {
            cluster: self.cluster.clone(),
            name: name.to_owned(),
        }
    }

    fn address_key(&self, name: &Name) -> Option<AddressKey> {
        let Name::Address(address) = name else {
            return None;
        };
        // Prefixes of different keys may be the same, like 10.0.0.0/8 and 10.1.1.1/8.
        let owner = match address.length {
            Some(_) => format!("{}/{address}", self.cluster),
            None => self.cluster.clone(),
        };
        Some(AddressKey {
            prefix: address.prefix(),
            owner,
        })
    }
}

impl Node {
    fn fact(&self, cluster_id: ClusterId) -> fact::Node {
        fact::Node {
            cluster_id,
            addresses: self.underlay_addresses(),
            pod_ranges: self.pod_ranges(),
        }
    }
}

impl Address {
    fn fact(&self) -> Option<fact::Address> {
        Some(fact::Address {
            identity: Identity(self.identity),
            host: self.host?,
        })
    }
}
