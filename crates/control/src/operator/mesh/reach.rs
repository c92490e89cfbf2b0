//! Where a cluster's mesh API is reached: by its peers, and by its own agents.

use std::net::IpAddr;

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
    /// On the addresses of whichever node it runs on. All of them are told, so that peers need not be told anew when it
    /// moves. Where they are too many the Service leads to it, as far as it does.
    pub fn on_nodes<'a>(service: Option<&Service>, nodes: impl Iterator<Item = &'a Node>) -> Reach {
        let nodes: Vec<&Node> = nodes.collect();
        let hosts = at_nodes(nodes.iter().copied(), PORT);
        let mut reach = Reach {
            peers: hosts.clone(),
            agents: hosts,
        };
        if nodes.len() > NODES_MAX {
            let led = Reach::by_service(service, nodes.into_iter());
            let is_open = service.is_some_and(|service| service.spec.r#type != "ClusterIP");
            if is_open && !led.peers.is_empty() {
                reach.peers = led.peers;
            }
            if !led.agents.is_empty() {
                reach.agents = led.agents;
            }
        }
        reach
    }

    pub fn by_service<'a>(
        service: Option<&Service>,
        nodes: impl Iterator<Item = &'a Node>,
    ) -> Reach {
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
                Some(number) => at_nodes(nodes, number),
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

fn at_nodes<'a>(nodes: impl Iterator<Item = &'a Node>, port: u16) -> Vec<String> {
    nodes
        .filter_map(|node| endpoint(node.address()?, port))
        .take(NODES_MAX)
        .collect()
}

fn endpoint(host: &str, port: u16) -> Option<String> {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => Some(format!("https://[{address}]:{port}")),
        Ok(IpAddr::V4(address)) => Some(format!("https://{address}:{port}")),
        Err(_) if host.is_empty() || host == "None" => None,
        Err(_) => Some(format!("https://{host}:{port}")),
    }
}
