//! What an operator tells the agent, by words or environment. Read once.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use tombolo_clustermesh::Scope;
use tombolo_control::{HandedOptions, KubernetesOptions, LogFormat, SecretRef};
use tombolo_model::{
    config::is_label,
    local::{DELETE_QUEUE_PATH, SOCKET_PATH},
    name::{NameService, SET_DOMAIN},
    net::RoutingMode,
    record::Namespaced,
    service::{Algorithm, Balancing, maglev},
};

#[cfg(test)]
mod tests;

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Name of this node's cluster, unique in the mesh
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_NAME",
        value_name = "NAME",
        default_value = "default"
    )]
    pub cluster_name: String,
    /// Number of this node's cluster, unique in the mesh; 0 for a cluster that is not meshed
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_ID",
        value_name = "NUMBER",
        default_value_t = 0
    )]
    pub cluster_id: u16,
    /// Name of this node, unique in its cluster
    #[arg(long, env = "TOMBOLO_NODE_NAME", value_name = "NAME")]
    pub node_name: String,
    /// Address that other nodes reach this one by; at most one of each family
    #[arg(
        long,
        env = "TOMBOLO_NODE_IP",
        value_name = "ADDRESS",
        value_delimiter = ',',
        required_unless_present = "kubernetes"
    )]
    pub node_ip: Vec<IpAddr>,
    /// Range that this node's pods get their addresses from; at most one of each family
    #[arg(
        long,
        env = "TOMBOLO_POD_RANGE",
        value_name = "CIDR",
        value_delimiter = ',',
        required_unless_present = "kubernetes",
        conflicts_with = "kubernetes"
    )]
    pub pod_range: Vec<IpNet>,
    /// How packets reach the pods of other nodes: `tunnel` (VXLAN) or `native` (the network knows the way)
    #[arg(long, env = "TOMBOLO_ROUTING_MODE", value_name = "MODE", default_value_t = RoutingMode::Tunnel, value_parser = routing_mode)]
    pub routing_mode: RoutingMode,
    /// Device that packets of other nodes come in by; those that have the node's addresses unless told
    #[arg(
        long,
        env = "TOMBOLO_UPLINK",
        value_name = "DEVICE",
        value_delimiter = ','
    )]
    pub uplink: Vec<String>,
    /// Family of the packets between nodes that share both
    #[arg(long, env = "TOMBOLO_UNDERLAY", value_name = "FAMILY", value_enum, default_value_t = Underlay::Ipv4)]
    pub underlay: Underlay,
    /// File that tells of other nodes and their pods; read again whenever it is replaced
    #[arg(long, env = "TOMBOLO_FACTS", value_name = "FILE")]
    pub facts: Option<PathBuf>,
    #[command(flatten)]
    pub mesh: MeshOptions,
    #[command(flatten)]
    pub names: NameOptions,
    #[command(flatten)]
    pub balancing: BalancingOptions,
    /// Where the plugin and the command line reach this agent
    #[arg(long, env = "TOMBOLO_SOCKET", value_name = "PATH", default_value = SOCKET_PATH)]
    pub socket: PathBuf,
    /// Where the plugin leaves deletions while no agent runs
    #[arg(long, env = "TOMBOLO_DELETE_QUEUE", value_name = "DIRECTORY", default_value = DELETE_QUEUE_PATH)]
    pub delete_queue: PathBuf,
    /// Where programs and maps are pinned, inside of a bpf file system
    #[arg(
        long,
        env = "TOMBOLO_PINS",
        value_name = "DIRECTORY",
        default_value = "/sys/fs/bpf/tombolo"
    )]
    pub pins: PathBuf,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(
        long,
        env = "TOMBOLO_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9879"
    )]
    pub listen: SocketAddr,
    /// Where balancers ask whether to send to this node: /healthz and /livez of kube-proxy, mostly at port 10256; nowhere
    /// unless told
    #[arg(long, env = "TOMBOLO_NODE_HEALTH", value_name = "ADDRESS:PORT")]
    pub node_health: Option<SocketAddr>,
    /// Size of the mesh, equal in all of its clusters: 255 or 511
    #[arg(
        long,
        env = "TOMBOLO_MAX_CONNECTED_CLUSTERS",
        value_name = "NUMBER",
        default_value_t = 255
    )]
    pub max_connected_clusters: u16,
    /// Largest packet of the network between the nodes; that of the uplinks unless told
    #[arg(long, env = "TOMBOLO_MTU", value_name = "BYTES")]
    pub mtu: Option<u32>,
    /// Let pods speak to the world with their own addresses
    #[arg(long, env = "TOMBOLO_NO_MASQUERADE")]
    pub no_masquerade: bool,
    /// How many connections the node remembers; takes about 110 bytes of kernel memory each
    #[arg(
        long,
        env = "TOMBOLO_FLOW_TABLE_SIZE",
        value_name = "NUMBER",
        default_value_t = 1 << 19,
        value_parser = clap::value_parser!(u32).range(1024..=1 << 24)
    )]
    pub flow_table_size: u32,
    /// How many backends of services the node knows; takes 32 bytes of kernel memory each, and about 140 more for one that is there
    #[arg(
        long,
        env = "TOMBOLO_BACKEND_TABLE_SIZE",
        value_name = "NUMBER",
        default_value_t = 1 << 18,
        value_parser = clap::value_parser!(u32).range(1024..=1 << 24)
    )]
    pub backend_table_size: u32,
    /// Control group of version 2 whose processes are led from services to their backends: the host's root, with all pods
    /// below; none are unless told
    #[arg(long, env = "TOMBOLO_CGROUP", value_name = "DIRECTORY")]
    pub cgroup: Option<PathBuf>,
    /// Learn of the node, its cluster and its pods from Kubernetes, and tell Kubernetes of them
    #[arg(long, env = "TOMBOLO_KUBERNETES")]
    pub kubernetes: bool,
    #[command(flatten)]
    pub api: KubernetesOptions,
    /// Form of the log, on standard error
    #[arg(long, env = "TOMBOLO_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Which stores this node learns of clusters by.
#[derive(Args, Clone, Debug, Default)]
pub struct MeshOptions {
    /// Folder of the other clusters' files, one for each, by its name; read again whenever one changes
    #[arg(long, env = "TOMBOLO_CLUSTERMESH_CONFIG", value_name = "DIRECTORY")]
    pub clustermesh_config: Option<PathBuf>,
    #[command(flatten)]
    pub handed: HandedOptions,
    /// File that says how to reach the store of this node's own cluster, to learn of its other nodes and pods
    #[arg(long, env = "TOMBOLO_OWN_STORE", value_name = "FILE")]
    pub own_store: Option<PathBuf>,
    /// Namespaces of other clusters whose pods this node knows, all unless told; it reaches no others
    #[arg(
        long,
        env = "TOMBOLO_CLUSTERMESH_NAMESPACES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub clustermesh_namespaces: Vec<String>,
    /// Take no namespace for global unless it is annotated with clustermesh.cilium.io/global: "true", as the mesh API server
    /// is told; in namespaces that are not, services have no backends of other clusters
    #[arg(long, env = "TOMBOLO_NO_DEFAULT_GLOBAL_NAMESPACE")]
    pub no_default_global_namespace: bool,
    /// How long a start waits for clusters that can't be reached; what is known of them from before stays
    #[arg(
        long,
        env = "TOMBOLO_CLUSTERMESH_SYNC_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 60
    )]
    pub clustermesh_sync_timeout: u64,
}

/// Whose questions for names are answered, and how these end.
#[derive(Args, Clone, Debug)]
pub struct NameOptions {
    /// Service that pods ask for names, such as kube-system/kube-dns: what is asked there is answered on the node, as far as
    /// it knows; nothing is unless told
    #[arg(
        long,
        env = "TOMBOLO_NAME_SERVICE",
        value_name = "NAMESPACE/NAME",
        value_parser = namespaced
    )]
    pub name_service: Option<Namespaced>,
    /// What the names of this cluster's services end in
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local",
        value_parser = domain
    )]
    pub cluster_domain: String,
}

/// How backends are chosen for what comes to the node from outside.
#[derive(Args, Clone, Debug)]
pub struct BalancingOptions {
    /// How a backend is chosen for a connection from outside, where its service does not say: `random`, or `maglev`, by which
    /// all nodes of a cluster choose the same one
    #[arg(
        long,
        env = "TOMBOLO_LOAD_BALANCER_ALGORITHM",
        value_name = "ALGORITHM",
        default_value_t = Algorithm::Random,
        value_parser = algorithm
    )]
    pub load_balancer_algorithm: Algorithm,
    /// How many entries each table of `maglev` has, at 4 bytes of kernel memory each; a hundred for each backend of a service
    /// keep their shares within one percent
    #[arg(
        long,
        env = "TOMBOLO_MAGLEV_TABLE_SIZE",
        value_name = "NUMBER",
        default_value_t = maglev::SIZE_DEFAULT,
        value_parser = table_size
    )]
    pub maglev_table_size: u32,
    /// What the tables of `maglev` differ by from those of others: any word, the same on all nodes of a cluster
    #[arg(
        long,
        env = "TOMBOLO_MAGLEV_HASH_SEED",
        value_name = "WORD",
        default_value = "tombolo"
    )]
    pub maglev_hash_seed: String,
}

impl BalancingOptions {
    pub fn read(&self) -> Balancing {
        Balancing {
            algorithm: self.load_balancer_algorithm,
            table_size: self.maglev_table_size,
            seed: maglev::seed(&self.maglev_hash_seed),
        }
    }
}

impl NameOptions {
    /// Nobody else tells of the own cluster's services.
    pub fn check(&self, kubernetes: bool) -> Result<()> {
        if self.name_service.is_some() && !kubernetes {
            bail!("--name-service: services are told by Kubernetes: give --kubernetes too");
        }
        Ok(())
    }

    pub fn service(&self) -> Option<NameService> {
        self.name_service.as_ref().map(|service| NameService {
            service: service.clone(),
            domain: self.cluster_domain.clone(),
        })
    }
}

impl MeshOptions {
    /// What can be said of them without reading any store.
    pub fn check(&self, cluster_id: u16) -> Result<()> {
        if self.handed.clustermesh_secret.is_some() && self.clustermesh_config.is_none() {
            bail!("--clustermesh-secret: give --clustermesh-config too, the folder for its files");
        }
        let read = [
            ("--clustermesh-config", self.clustermesh_config.as_deref()),
            ("--own-store", self.own_store.as_deref()),
        ];
        for (option, path) in read {
            let Some(path) = path else { continue };
            if cluster_id == 0 {
                bail!("{option}: a cluster of a mesh has a number: give --cluster-id");
            }
            let folder = match (option, path.parent()) {
                // It is made for the Secret's files.
                ("--clustermesh-config", _) if self.handed.clustermesh_secret.is_some() => continue,
                ("--clustermesh-config", _) => path,
                (_, Some(parent)) if parent != Path::new("") => parent,
                _ => Path::new("."),
            };
            if !folder.is_dir() {
                bail!("{option}: make the folder {} first", folder.display());
            }
        }
        Ok(())
    }

    /// Whose files the folder of other clusters holds.
    pub fn secret(&self) -> Option<&SecretRef> {
        self.handed.clustermesh_secret.as_ref()
    }

    pub fn scope(&self) -> Scope {
        match &self.clustermesh_namespaces[..] {
            [] => Scope::All,
            names => Scope::Namespaces(names.iter().cloned().collect()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Underlay {
    Ipv4,
    Ipv6,
}

fn namespaced(text: &str) -> Result<Namespaced, String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_label(namespace) && is_label(name) => Ok(Namespaced {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        _ => Err("give a namespace and a service's name, such as kube-system/kube-dns".into()),
    }
}

fn domain(text: &str) -> Result<String, String> {
    let domain = text.trim_end_matches('.').to_ascii_lowercase();
    match domain.split('.').all(is_label) && domain.len() <= 200 {
        true if domain != SET_DOMAIN => Ok(domain),
        true => Err(format!(
            "{SET_DOMAIN} is for names that hold in all clusters"
        )),
        false => Err("give a domain, such as cluster.local".into()),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::from_word(text).ok_or_else(|| "use random or maglev".into())
}

fn table_size(text: &str) -> Result<u32, String> {
    let size = text
        .parse()
        .ok()
        .filter(|size| maglev::SIZES.contains(size));
    size.ok_or_else(|| {
        let sizes: Vec<String> = maglev::SIZES.iter().map(u32::to_string).collect();
        format!("use a prime: {}", sizes.join(", "))
    })
}

fn routing_mode(text: &str) -> Result<RoutingMode, String> {
    match text {
        "tunnel" => Ok(RoutingMode::Tunnel),
        "native" => Ok(RoutingMode::Native),
        _ => Err("use tunnel or native".into()),
    }
}
