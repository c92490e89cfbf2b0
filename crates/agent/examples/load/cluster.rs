//! What a cluster of a given size tells its peers, as its exporter would have written it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use ipnet::IpNet;
use serde::Serialize;
use tombolo_kvstore::Put;
use tombolo_model::{
    id::Identity,
    record::{
        Address, AddressName, CLUSTER_LABEL, Capabilities, ClusterConfig, Key, Label, Labels, Name,
        Namespaced, Node, NodeAddress, Port, RecordKey, Resource, Service, Tree,
    },
};

use crate::fill;

/// Pods of a node: its range is a /24.
pub const PODS_OF_NODE: u32 = 250;
/// The lowest byte of its address; the node itself has 1.
const FIRST_POD: u8 = 2;
const BACKENDS: u32 = 10;

#[derive(Args, Clone)]
pub struct Options {
    /// How to reach the store
    #[arg(long)]
    store: PathBuf,
    #[arg(long)]
    cluster_name: String,
    #[arg(long)]
    cluster_id: u32,
    #[command(flatten)]
    size: Size,
}

#[derive(Args, Clone, Copy)]
pub struct Size {
    #[arg(long, default_value_t = 5000)]
    pub addresses: u32,
    #[arg(long, default_value_t = 500)]
    pub identities: u32,
    #[arg(long, default_value_t = 56)]
    pub nodes: u32,
    #[arg(long, default_value_t = 100)]
    pub services: u32,
}

#[derive(Serialize)]
pub struct Written {
    records: usize,
}

/// One of the clusters of a mesh.
pub struct Cluster {
    pub name: String,
    pub id: u32,
    pub size: Size,
    pub tree: Tree,
}

pub async fn run(options: &Options) -> Result<Written> {
    let etcd = super::connect(&options.store).await?;
    let cluster = Cluster {
        name: options.cluster_name.clone(),
        id: options.cluster_id,
        size: options.size,
        tree: Tree::State,
    };
    let records = cluster.records();
    let written = records.len();
    fill::write(&etcd, records).await?;
    // The order matters: a canary says that all is there.
    fill::write(&etcd, cluster.announcements()).await?;
    Ok(Written { records: written })
}

impl Cluster {
    /// One that was copied into another's store.
    pub fn copied(id: u32, size: Size) -> Cluster {
        Cluster {
            name: format!("c{id}"),
            id,
            size,
            tree: Tree::Cache,
        }
    }

    pub fn records(&self) -> Vec<Put> {
        let Size {
            addresses,
            identities,
            nodes,
            services,
        } = self.size;
        let nodes = (0..nodes).map(|number| self.node(number));
        let identities = (0..identities).map(|number| self.identity(number));
        let addresses = (0..addresses).map(|number| self.address(number, "pod"));
        let services = (0..services).map(|number| self.service(number));
        let all = nodes.chain(identities).chain(addresses).chain(services);
        all.map(|(key, value)| fill::put(key, value.into()))
            .collect()
    }

    /// Config, heartbeat and canaries.
    pub fn announcements(&self) -> Vec<Put> {
        let config = ClusterConfig {
            id: self.id,
            capabilities: Capabilities {
                synced_canaries: true,
                cached: self.tree == Tree::Cache,
                max_connected_clusters: 255,
                ..Capabilities::default()
            },
            ..ClusterConfig::default()
        };
        let key = Key::ClusterConfig {
            cluster: self.name.clone(),
        };
        let canaries = Resource::ALL.map(|resource| Key::Synced {
            cluster: self.name.clone(),
            tree: self.tree,
            resource,
        });
        let keys = canaries.into_iter().chain([Key::Heartbeat]);
        let time = Bytes::from_static(b"2026-11-21T06:55:22Z");
        let timed = keys.map(|key| (key, time.clone()));
        let all = timed.chain([(key, config.encode().into())]);
        all.map(|(key, value)| fill::put(key.to_string().into(), value))
            .collect()
    }

    fn key(&self, name: Name) -> Bytes {
        let key = RecordKey::new(self.tree, &self.name, name);
        Key::Record(key).to_string().into()
    }

    pub fn host(&self, node: u32) -> IpAddr {
        let [_, _, high, low] = self.id.to_be_bytes();
        IpAddr::from([172, 16 + high, low, node as u8 + 1])
    }

    pub fn pod_ip(&self, number: u32) -> IpAddr {
        let (node, pod) = (number / PODS_OF_NODE, number % PODS_OF_NODE);
        let base = (10 << 24) + (self.id << 16) + (node << 8);
        IpAddr::from(Ipv4Addr::from_bits(base + u32::from(FIRST_POD) + pod))
    }

    /// The pod whose key is the last one.
    pub fn last_pod(&self) -> Option<IpAddr> {
        let pods = (0..self.size.addresses).map(|number| self.pod_ip(number));
        pods.max_by_key(IpAddr::to_string)
    }

    /// Whether it is an address that some cluster's pod may have, and no node.
    pub fn is_pod(net: &IpNet) -> bool {
        match net {
            IpNet::V4(net) if net.prefix_len() == 32 => {
                let [first, .., last] = net.addr().octets();
                first == 10 && last >= FIRST_POD
            }
            _ => false,
        }
    }

    pub fn identity_number(&self, number: u32) -> u32 {
        (self.id << 16) + 256 + number % self.size.identities.max(1)
    }

    pub fn address_key(&self, number: u32) -> Bytes {
        let (ip, length) = (self.pod_ip(number), None);
        self.key(Name::Address(AddressName { ip, length }))
    }

    /// The address of a pod whose name begins so.
    pub fn address(&self, number: u32, pod: &str) -> (Bytes, Vec<u8>) {
        let (ip, length) = (self.pod_ip(number), None);
        let identity = self.identity_number(number);
        let address = Address {
            name: AddressName { ip, length },
            host: Some(self.host(number / PODS_OF_NODE % self.size.nodes.max(1))),
            identity,
            encryption_key: 0,
            metadata: String::new(),
            namespace: format!("team-{}", identity % 50),
            pod: format!("{pod}-{number:05}-6f4d9c7b8b-x{:04x}", number & 0xffff),
            service_account: "default".to_owned(),
            ports: Vec::new(),
        };
        (self.address_key(number), address.encode())
    }

    fn identity(&self, number: u32) -> (Bytes, Vec<u8>) {
        let number = self.identity_number(number);
        let namespace = format!("team-{}", number % 50);
        let label = |key: &str, value: &str| {
            let (source, value) = ("k8s".to_owned(), value.to_owned());
            (key.to_owned(), Label { source, value })
        };
        let named = "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name";
        let labels = Labels(BTreeMap::from([
            label("app", &format!("app-{number}")),
            label(named, &namespace),
            label(CLUSTER_LABEL, &self.name),
            label("io.cilium.k8s.policy.serviceaccount", "default"),
            label("io.kubernetes.pod.namespace", &namespace),
        ]));
        (self.key(Name::Identity(Identity(number))), labels.encode())
    }

    fn node(&self, number: u32) -> (Bytes, Vec<u8>) {
        let name = format!("{}-node-{number:03}", self.name);
        let address = |kind: &str, ip| NodeAddress {
            kind: kind.to_owned(),
            ip: Some(ip),
        };
        let [_, _, _, id] = self.id.to_be_bytes();
        let range = format!("10.{id}.{number}.0/24").parse();
        let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let node = Node {
            name: name.clone(),
            cluster: self.name.clone(),
            addresses: vec![
                address(NodeAddress::INTERNAL, self.host(number)),
                address(
                    NodeAddress::CILIUM_INTERNAL,
                    IpAddr::from([10, id, number as u8, 1]),
                ),
            ],
            range_v4: range.ok(),
            cluster_id: self.id,
            source: "custom-resource".to_owned(),
            labels: BTreeMap::from([
                text("kubernetes.io/hostname", &name),
                text("topology.kubernetes.io/zone", "zone-a"),
            ]),
            identity: 1,
            boot_id: format!("6b3e0f55-23e6-4f87-9a4c-{number:012}"),
            ..Node::default()
        };
        (self.key(Name::Node(name)), node.encode())
    }

    fn service(&self, number: u32) -> (Bytes, Vec<u8>) {
        let (namespace, name) = (format!("team-{}", number % 50), format!("service-{number}"));
        let port = |port| {
            let protocol = "TCP".to_owned();
            BTreeMap::from([("http".to_owned(), Port { protocol, port })])
        };
        let [_, _, _, id] = self.id.to_be_bytes();
        let front = IpAddr::from([172, 20 + id % 8, (number >> 8) as u8, number as u8]);
        let backends = (0..BACKENDS).map(|backend| {
            let number = (number * BACKENDS + backend) % self.size.addresses.max(1);
            (self.pod_ip(number), port(8080))
        });
        let service = Service {
            cluster: self.name.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            frontends: BTreeMap::from([(front, port(80))]),
            backends: backends.collect(),
            selector: BTreeMap::from([("app".to_owned(), name.clone())]),
            include_external: true,
            shared: true,
            cluster_id: self.id,
            ..Service::default()
        };
        let name = Namespaced { namespace, name };
        (self.key(Name::Service(name)), service.encode())
    }
}
