//! The records of one cluster, made so that each tells its version.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use bytes::Bytes;
use ipnet::{IpNet, Ipv4Net};
use tombolo_model::{
    fact,
    id::Identity,
    record::{
        Address, AddressName, CLUSTER_LABEL, Label, Labels, Name, Namespaced, Node, NodeAddress,
        Port, Record, Service,
    },
};

use super::{Truth, Version};

/// The second part of addresses that no cluster's range has.
pub(super) const FLOATING: u8 = 250;

/// The third part of health endpoints' addresses begins here; there is room for 4095 versions.
const HEALTH: u8 = 240;

/// The first identity that a cluster of this number gives to an address; those of its identities' records lie before.
pub(crate) fn identities_first(id: u16) -> u32 {
    (u32::from(id) << 16) + 1000
}

pub(crate) fn encode(record: &Record) -> Bytes {
    match record {
        Record::Node(node) => node.encode(),
        Record::Identity(_, labels) => labels.encode(),
        Record::Address(address) => address.encode(),
        Record::Service(service) => service.encode(),
        record => panic!("no cluster here has such a record: {record:?}"),
    }
    .into()
}

impl Truth {
    fn octet(&self) -> u8 {
        self.cluster as u8 + 1
    }

    /// A pod's address on one of the nodes' ranges.
    pub(super) fn pod(&self, range: u8, host: u8) -> Name {
        address(Ipv4Addr::new(10, self.octet(), range, host))
    }

    /// An address that pods of several clusters take over from one another.
    pub(super) fn floating(host: u8) -> Name {
        address(Ipv4Addr::new(10, FLOATING, 0, host))
    }

    pub(super) fn identity_name(&self, number: u32) -> Name {
        Name::Identity(Identity((u32::from(self.id) << 16) + 300 + number))
    }

    pub(super) fn service_name(&self, number: u64) -> Name {
        Name::Service(Namespaced {
            namespace: "shop".to_owned(),
            name: format!("s{number}"),
        })
    }

    /// What stands at a name in a version; a node keeps its place, a pod has the node that is given.
    pub(super) fn record(&self, name: &Name, version: Version, place: u8) -> Record {
        match name {
            Name::Node(node) => Record::Node(Box::new(self.node(node, version, place))),
            Name::Identity(identity) => Record::Identity(*identity, self.labels(version)),
            Name::Address(address) => Record::Address(Box::new(Address {
                name: *address,
                host: Some(self.host(place)),
                identity: self.identity(version).0,
                encryption_key: 0,
                metadata: String::new(),
                namespace: "shop".to_owned(),
                pod: format!("pod-{version}"),
                service_account: String::new(),
                ports: Vec::new(),
            })),
            Name::Service(service) => Record::Service(Box::new(self.service(service, version))),
            name => panic!("no cluster here has a record of {name}"),
        }
    }

    fn node(&self, name: &str, version: Version, place: u8) -> Node {
        Node {
            name: name.to_owned(),
            cluster: self.name.clone(),
            cluster_id: u32::from(self.id),
            addresses: vec![NodeAddress {
                kind: NodeAddress::INTERNAL.to_owned(),
                ip: Some(self.host(place)),
            }],
            range_v4: Some(range(Ipv4Addr::new(10, self.octet(), place, 0), 24)),
            ranges_v4_more: vec![self.mark(version)],
            health_v4: Some(self.health_address(version).into()),
            ..Node::default()
        }
    }

    /// It tells the version of its node.
    fn health_address(&self, version: Version) -> Ipv4Addr {
        let [high, low] = (version as u16).to_be_bytes();
        Ipv4Addr::new(10, self.octet(), HEALTH + high, low)
    }

    /// The address of the health endpoint of a node in a version.
    pub(super) fn health_of(&self, node: &Name, version: Version) -> Option<Name> {
        let is_node = matches!(node, Name::Node(_));
        is_node.then(|| address(self.health_address(version)))
    }

    /// The version that the address of a health endpoint tells.
    pub(crate) fn health_version(name: &Name) -> Option<Version> {
        match name {
            Name::Address(AddressName {
                ip: IpAddr::V4(ip), ..
            }) if ip.octets()[2] >= HEALTH => {
                let [_, _, high, low] = ip.octets();
                Some(u64::from(u16::from_be_bytes([high - HEALTH, low])))
            }
            _ => None,
        }
    }

    /// A range of no pods that tells a node's version.
    fn mark(&self, version: Version) -> IpNet {
        let [high, low] = ((version << 4) as u16).to_be_bytes();
        range(Ipv4Addr::new(100, 64 + self.octet(), high, low), 28)
    }

    pub(super) fn host(&self, place: u8) -> IpAddr {
        Ipv4Addr::new(192, 168, self.octet(), place).into()
    }

    fn labels(&self, version: Version) -> Labels {
        let label = |value: String| Label {
            source: "k8s".to_owned(),
            value,
        };
        let labels = [
            (CLUSTER_LABEL.to_owned(), label(self.name.clone())),
            ("version".to_owned(), label(version.to_string())),
        ];
        Labels(labels.into())
    }

    fn service(&self, name: &Namespaced, version: Version) -> Service {
        let port = Port {
            protocol: "TCP".to_owned(),
            port: 80,
        };
        let ports = BTreeMap::from([("http".to_owned(), port)]);
        let backend = Ipv4Addr::new(10, self.octet(), 1, version as u8);
        Service {
            cluster: self.name.clone(),
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            backends: BTreeMap::from([(backend.into(), ports)]),
            labels: BTreeMap::from([("version".to_owned(), version.to_string())]),
            shared: true,
            cluster_id: u32::from(self.id),
            ..Service::default()
        }
    }

    /// The version that a fact of a node tells.
    pub(crate) fn node_version(&self, node: &fact::Node) -> Option<Version> {
        let mark = node
            .pod_ranges
            .iter()
            .find_map(|range| match range.addr() {
                IpAddr::V4(mark) if mark.octets()[0] == 100 => Some(mark.octets()),
                _ => None,
            })?;
        Some(u64::from(u16::from_be_bytes([mark[2], mark[3]]) >> 4))
    }

    /// The version that a fact of an address tells, in the numbers of the cluster that told it.
    pub(crate) fn address_version(id: u16, address: &fact::Address) -> Option<Version> {
        let version = address.identity.0.checked_sub(identities_first(id))?;
        (version < 0x8000).then_some(u64::from(version))
    }

    pub(crate) fn record_version(record: &Record) -> Option<Version> {
        match record {
            Record::Identity(_, labels) => labels.0.get("version")?.value.parse().ok(),
            Record::Service(service) => service.labels.get("version")?.parse().ok(),
            _ => None,
        }
    }
}

fn address(ip: Ipv4Addr) -> Name {
    Name::Address(AddressName {
        ip: ip.into(),
        length: None,
    })
}

fn range(ip: Ipv4Addr, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(ip, length))
}
