//! The stores of many clusters, made up page by page.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use ipnet::{IpNet, Ipv4Net};
use tombolo_kvstore::{Keys, Page, PageEnd, Record, Revision};
use tombolo_model::record::{
    Address, AddressName, Capabilities, ClusterConfig, Key, Name, Node, NodeAddress, RecordKey,
    Resource, Tree,
};

use crate::Arguments;

const PAGE: usize = 1000;

pub struct Mesh {
    endpoints: u32,
    nodes: u32,
    ipv6: bool,
}

pub fn name(cluster: u16) -> String {
    format!("cluster-{cluster}")
}

impl Mesh {
    pub fn new(arguments: &Arguments) -> Result<Mesh> {
        let pods = arguments.endpoints.div_ceil(arguments.nodes);
        ensure!(pods <= 250, "a node has room for 250 pods, not {pods}");
        let nodes = u32::from(arguments.clusters) * arguments.nodes;
        ensure!(
            nodes <= 1 << 16,
            "there is room for 65536 nodes, not {nodes}"
        );
        Ok(Mesh {
            endpoints: arguments.endpoints,
            nodes: arguments.nodes,
            ipv6: arguments.ipv6,
        })
    }

    /// What a cluster's store answers. `has` says which pods there are.
    pub fn page(
        &self,
        cluster: u16,
        keys: &Keys,
        from: Option<PageEnd>,
        has: &impl Fn(u32) -> bool,
    ) -> Result<(Page, Option<PageEnd>)> {
        let text = String::from_utf8(first(keys).to_vec())?;
        let records = match text.as_str() {
            "cilium/.heartbeat" => vec![record(&Key::Heartbeat, b"now".to_vec())],
            key if key.starts_with("cilium/cluster-config/") => vec![self.config(cluster)],
            key if key.starts_with("cilium/synced/") => {
                let canary = |resource| {
                    let (cluster, tree) = (name(cluster), Tree::Cache);
                    let key = Key::Synced {
                        cluster,
                        tree,
                        resource,
                    };
                    record(&key, b"now".to_vec())
                };
                Resource::ALL.map(canary).to_vec()
            }
            key if key.contains("/nodes/") => (0..self.nodes)
                .map(|node| self.node(cluster, node))
                .collect(),
            _ => {
                let first = match from {
                    None => 0,
                    Some(end) => end.revision.0 as u32,
                };
                return Ok(self.addresses(cluster, first, has));
            }
        };
        Ok((page(records), None))
    }

    /// A page's end holds the next pod's number as its revision.
    fn addresses(
        &self,
        cluster: u16,
        first: u32,
        has: &impl Fn(u32) -> bool,
    ) -> (Page, Option<PageEnd>) {
        let pods = first..self.endpoints.min(first + PAGE as u32);
        let next = pods.end;
        let pods = pods.filter(|pod| has(*pod));
        let page = page(pods.map(|pod| self.address(cluster, pod)).collect());
        let end = PageEnd {
            key: "".into(),
            revision: Revision(next.into()),
        };
        (page, (next < self.endpoints).then_some(end))
    }

    fn config(&self, cluster: u16) -> Record {
        let config = ClusterConfig {
            id: cluster.into(),
            capabilities: Capabilities {
                synced_canaries: true,
                cached: true,
                max_connected_clusters: 511,
                ..Capabilities::default()
            },
            ..ClusterConfig::default()
        };
        let cluster = name(cluster);
        record(&Key::ClusterConfig { cluster }, config.encode())
    }

    fn node(&self, cluster: u16, number: u32) -> Record {
        let range = self.range(cluster, number);
        let host = self.host(cluster, number);
        let node = Node {
            name: format!("ip-{number}.eu-central-1.compute.internal"),
            cluster: name(cluster),
            cluster_id: cluster.into(),
            addresses: vec![NodeAddress {
                kind: NodeAddress::INTERNAL.to_owned(),
                ip: Some(host),
            }],
            range_v4: Some(IpNet::V4(range)),
            health_v4: range.hosts().nth(252).map(IpAddr::V4),
            source: "custom-resource".to_owned(),
            ..Node::default()
        };
        let key = RecordKey::new(Tree::Cache, &node.cluster, Name::Node(node.name.clone()));
        record(&Key::Record(key), node.encode())
    }

    fn address(&self, cluster: u16, pod: u32) -> Record {
        let number = pod % self.nodes;
        let range = self.range(cluster, number);
        let [.., a, b, _] = range.network().octets();
        let place = pod / self.nodes + 2;
        let ip = if self.ipv6 {
            let subnet = u16::from_be_bytes([a, b]);
            Ipv6Addr::new(0xfd00, 0x10, cluster, subnet, 0, 0, 0, place as u16).into()
        } else {
            let first = u32::from(range.network());
            Ipv4Addr::from(first + place).into()
        };
        let address = Address {
            name: AddressName { ip, length: None },
            host: Some(self.host(cluster, number)),
            identity: (u32::from(cluster) << 15) + 1000 + pod % 200,
            encryption_key: 0,
            metadata: String::new(),
            namespace: format!("team-{}", pod % 40),
            pod: format!("checkout-7d9f8b6c5d-{pod:05x}"),
            service_account: "checkout".to_owned(),
            ports: Vec::new(),
        };
        let key = RecordKey::new(Tree::Cache, &name(cluster), Name::Address(address.name));
        record(&Key::Record(key), address.encode())
    }

    fn index(&self, cluster: u16, number: u32) -> u32 {
        u32::from(cluster - 1) * self.nodes + number
    }

    fn host(&self, cluster: u16, number: u32) -> IpAddr {
        let first = u32::from(Ipv4Addr::new(172, 16, 0, 1));
        Ipv4Addr::from(first + self.index(cluster, number)).into()
    }

    fn range(&self, cluster: u16, number: u32) -> Ipv4Net {
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 0));
        let network = Ipv4Addr::from(first + (self.index(cluster, number) << 8));
        Ipv4Net::new_assert(network, 24)
    }
}

fn first(keys: &Keys) -> &[u8] {
    match keys {
        Keys::One(key) => key,
        Keys::Between(first, _) | Keys::From(first) => first,
    }
}

fn record(key: &Key, value: Vec<u8>) -> Record {
    Record {
        key: key.to_string().into(),
        value: value.into(),
        created: Revision(1),
        modified: Revision(1),
        version: 1,
        lease: None,
    }
}

fn page(records: Vec<Record>) -> Page {
    Page {
        count: records.len(),
        records,
        more: false,
        revision: Revision(1),
    }
}
