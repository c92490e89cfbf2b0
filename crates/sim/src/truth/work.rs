//! How a cluster lives: nodes and pods come, move and go, addresses and numbers are taken over.

use std::net::IpAddr;

use tombolo_clustermesh::Random;
use tombolo_model::record::{Name, Record};

use super::{
    Live, Truth, Version,
    records::{FLOATING, encode},
};

/// A change as those who watch the cluster are told of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: Name,
    /// Absent where it has gone.
    pub(crate) record: Option<(Version, Record)>,
}

/// Places that nodes have: their addresses and their pods' ranges.
const PLACES: u64 = 4;
/// Versions of nodes that can be told apart.
const VERSION_MAX: u64 = 4000;

impl Truth {
    pub(crate) fn begin(&mut self, random: &mut Random, pods: u64) -> Vec<Told> {
        let mut told = Vec::new();
        for place in 1..=2 {
            self.add_node(place, &mut told);
        }
        for _ in 0..pods {
            self.add_pod(random, &mut told);
        }
        for number in 0..2 {
            let (identity, service) = (self.identity_name(number), u64::from(number));
            self.put(identity, 0, &mut told);
            self.put(self.service_name(service), 0, &mut told);
        }
        told
    }

    /// One thing happens in the cluster, which may be several changes.
    pub(crate) fn change(&mut self, random: &mut Random) -> Vec<Told> {
        let mut told = Vec::new();
        if self.version > VERSION_MAX {
            return told;
        }
        match random.below(16) {
            0..=3 => self.add_pod(random, &mut told),
            4..=6 => {
                if let Some(pod) = self.any(random, is_address) {
                    self.delete(&pod, &mut told);
                }
            }
            // Another pod has the address, on whichever node.
            7 | 8 => {
                if let Some(pod) = self.any(random, is_address) {
                    let gone_first = random.below(2) == 0;
                    if gone_first {
                        self.delete(&pod, &mut told);
                    }
                    let place = self.any_place(random);
                    self.put(pod, place, &mut told);
                }
            }
            9 => self.replace_node(random, &mut told),
            10 => {
                if let Some(node) = self.any(random, is_node) {
                    let place = self.place_of(&node);
                    self.put(node, place, &mut told);
                }
            }
            11 => {
                if let Some(place) = (1..=PLACES as u8).find(|place| self.node_at(*place).is_none())
                {
                    self.add_node(place, &mut told);
                }
            }
            12 | 13 => self.flip(
                self.identity_name(random.below(4) as u32),
                random,
                &mut told,
            ),
            _ => self.flip(self.service_name(random.below(3)), random, &mut told),
        }
        told
    }

    /// An address that any cluster's pods may have: taken, or given back.
    pub(crate) fn float(&mut self, host: u8, has: bool, random: &mut Random) -> Vec<Told> {
        let mut told = Vec::new();
        let name = Truth::floating(host);
        match has {
            true => {
                let place = self.any_place(random);
                self.put(name, place, &mut told);
            }
            false => self.delete(&name, &mut told),
        }
        told
    }

    /// The cluster gets another number: whatever is written of it changes.
    pub(crate) fn renumber(&mut self, id: u16) {
        self.version += 1;
        self.id = id;
        self.epochs.push((self.version, id));
        let before = std::mem::take(&mut self.live);
        let mut told = Vec::new();
        for (name, live) in before {
            let place = place_in(&live.record);
            let renamed = match &name {
                Name::Identity(identity) => {
                    let number = (identity.0 & 0xffff) - 300;
                    self.gone.insert(name.clone(), self.version);
                    self.identity_name(number)
                }
                _ => name,
            };
            self.put(renamed, place, &mut told);
        }
    }

    fn put(&mut self, name: Name, place: u8, told: &mut Vec<Told>) {
        self.version += 1;
        let version = self.version;
        let record = self.record(&name, version, place);
        let value = encode(&record);
        self.values.insert(value.clone(), (name.clone(), version));
        self.past.insert(version, (name.clone(), place, self.id));
        told.push(Told {
            name: name.clone(),
            record: Some((version, record.clone())),
        });
        let live = Live {
            version,
            record,
            value,
        };
        if let Some(before) = self.live.insert(name.clone(), live) {
            self.end_health(&name, before.version);
        }
    }

    /// The health endpoint of a node that has gone, or changed.
    fn end_health(&mut self, node: &Name, version: Version) {
        if let Some(health) = self.health_of(node, version) {
            self.gone.insert(health, self.version);
        }
    }

    fn delete(&mut self, name: &Name, told: &mut Vec<Told>) {
        if let Some(before) = self.live.remove(name) {
            self.version += 1;
            self.end_health(name, before.version);
            self.gone.insert(name.clone(), self.version);
            told.push(Told {
                name: name.clone(),
                record: None,
            });
        }
    }

    fn flip(&mut self, name: Name, random: &mut Random, told: &mut Vec<Told>) {
        if self.live.contains_key(&name) && random.below(2) == 0 {
            self.delete(&name, told);
        } else {
            self.put(name, 0, told);
        }
    }

    fn add_pod(&mut self, random: &mut Random, told: &mut Vec<Told>) {
        let place = self.any_place(random);
        let name = self.pod(place, 2 + random.below(12) as u8);
        self.put(name, place, told);
    }

    fn add_node(&mut self, place: u8, told: &mut Vec<Told>) {
        self.nodes_ever += 1;
        let name = Name::Node(format!("n{}", self.nodes_ever));
        self.put(name, place, told);
    }

    /// A node goes with its pods, and another one may have its address before that is told.
    fn replace_node(&mut self, random: &mut Random, told: &mut Vec<Told>) {
        let Some(node) = self.any(random, is_node) else {
            return;
        };
        let place = self.place_of(&node);
        let pods: Vec<_> = self
            .live
            .iter()
            .filter(|(name, _)| is_address(name))
            .collect();
        let pods = pods
            .into_iter()
            .filter(|(_, live)| place_in(&live.record) == place);
        let pods: Vec<_> = pods.map(|(name, _)| name.clone()).collect();
        pods.iter().for_each(|pod| self.delete(pod, told));
        let early = random.below(2) == 0;
        if early {
            self.add_node(place, told);
        }
        self.delete(&node, told);
        if !early && self.node_at(place).is_none() {
            self.add_node(place, told);
        }
    }

    fn any(&self, random: &mut Random, of: fn(&Name) -> bool) -> Option<Name> {
        let all: Vec<_> = self.live.keys().filter(|name| of(name)).collect();
        let one = random.below(all.len() as u64) as usize;
        all.get(one).map(|name| (*name).clone())
    }

    fn any_place(&self, random: &mut Random) -> u8 {
        let node = self.any(random, is_node);
        node.map_or(1, |node| self.place_of(&node))
    }

    fn place_of(&self, node: &Name) -> u8 {
        self.live.get(node).map_or(1, |live| place_in(&live.record))
    }

    pub(super) fn node_at(&self, place: u8) -> Option<&Name> {
        let mut nodes = self.live.iter().filter(|(name, _)| is_node(name));
        let node = nodes.find(|(_, live)| place_in(&live.record) == place);
        node.map(|(name, _)| name)
    }
}

/// On which place a node is, or an address's node.
fn place_in(record: &Record) -> u8 {
    let ip = match record {
        Record::Node(node) => node.addresses.first().and_then(|address| address.ip),
        Record::Address(address) => address.host,
        _ => None,
    };
    match ip {
        Some(IpAddr::V4(ip)) => ip.octets()[3],
        _ => 0,
    }
}

/// A pod's, of this cluster's own range.
fn is_address(name: &Name) -> bool {
    match name {
        Name::Address(address) => match address.ip {
            IpAddr::V4(ip) => ip.octets()[1] != FLOATING,
            IpAddr::V6(_) => true,
        },
        _ => false,
    }
}

fn is_node(name: &Name) -> bool {
    matches!(name, Name::Node(_))
}
