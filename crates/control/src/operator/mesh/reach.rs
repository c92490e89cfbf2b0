//! Where a cluster's mesh API is reached: by its peers, and by its own agents.

use std::{collections::BTreeSet, net::IpAddr};

use serde::Deserialize;

/// Of the nodes, as many are told as one would want to try.
const NODES_MAX: usize = 8;
pub const PORT: u16 = 2379;

/// What is read of the Service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Service {
    spec: ServiceSpec,
    status: ServiceStatus,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    r#type: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
struct ServicePort {
    port: u16,
    node_port: Option<u16>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Ingress {
    ip: String,
    hostname: String,
}

/// What is read of a Pod of the mesh API server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Pod {
    metadata: PodMeta,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
struct PodMeta {
    deletion_timestamp: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct PodStatus {
    phase: String,
    #[serde(rename = "hostIPs")]
    host_ips: Vec<HostIp>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct HostIp {
    ip: String,
}

/// What is read of a Node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Node {
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct NodeStatus {
    addresses: Vec<NodeAddress>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct NodeAddress {
    r#type: String,
    address: String,
}

/// How it is reached now; nothing where that is not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// For peers, as `https://<name or address>:<port>`.
    pub peers: Vec<String>,
    /// For the cluster's own agents.
    pub agents: Vec<String>,
}

impl Reach {
    pub fn find<'a>(
        service: Option<&Service>,
        pods: impl Iterator<Item = &'a Pod>,
        nodes: impl Iterator<Item = &'a Node>,
    ) -> Reach {
        let hosts = hosts(pods);
        if !hosts.is_empty() {
            return Reach {
                peers: hosts.clone(),
                agents: hosts,
            };
        }
        let Some(service) = service else {
            return Reach::default();
        };
        let spec = &service.spec;
        let port = spec.ports.first();
        let number = port.map_or(PORT, |port| port.port);
        let agents: Vec<_> = spec
            .cluster_ips
            .iter()
            .filter_map(|ip| endpoint(ip, number))
            .collect();
        let peers = match spec.r#type.as_str() {
            "LoadBalancer" => {
                let ingress = service.status.load_balancer.ingress.iter();
                let names = ingress.map(|it| {
                    if it.ip.is_empty() {
                        &it.hostname
                    } else {
                        &it.ip
                    }
                });
                names.filter_map(|name| endpoint(name, number)).collect()
            }
            "NodePort" => match port.and_then(|port| port.node_port) {
                Some(number) => nodes
                    .filter_map(|node| endpoint(node.address()?, number))
                    .take(NODES_MAX)
                    .collect(),
                None => Vec::new(),
            },
            _ => agents.clone(),
        };
        Reach { peers, agents }
    }
}

impl Node {
    fn address(&self) -> Option<&str> {
        let mut all = self.status.addresses.iter();
        let found = all.find(|address| address.r#type == "InternalIP")?;
        Some(&found.address)
    }
}

/// Those of a mesh API server that has the addresses of its node.
fn hosts<'a>(pods: impl Iterator<Item = &'a Pod>) -> Vec<String> {
    let alive = |pod: &&Pod| {
        pod.spec.host_network
            && pod.metadata.deletion_timestamp.is_none()
            && ["Pending", "Running"].contains(&pod.status.phase.as_str())
    };
    let hosts = pods.filter(alive).flat_map(|pod| &pod.status.host_ips);
    let found: BTreeSet<_> = hosts.filter_map(|host| endpoint(&host.ip, PORT)).collect();
    found.into_iter().collect()
}

fn endpoint(host: &str, port: u16) -> Option<String> {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => Some(format!("https://[{address}]:{port}")),
        Ok(IpAddr::V4(address)) => Some(format!("https://{address}:{port}")),
        Err(_) if host.is_empty() || host == "None" => None,
        Err(_) => Some(format!("https://{host}:{port}")),
    }
}
