//! `tombolo lab up`.

use super::{Name, binaries::Missing, run::answer};
use crate::{
    error::Result,
    kubernetes,
    plan::{
        Fabric, Mesh, Objects, PlanError, Shape, Underlay, check_name, clusters, parse_routing,
    },
    up,
};
use clap::Args;
use ipnet::Ipv4Net;
use tombolo_model::net::RoutingMode;

const PODS: u8 = 2;

#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    lab: Name,
    #[arg(long, default_value_t = 2)]
    clusters: u8,
    /// Nodes of each cluster
    #[arg(long, default_value_t = 2)]
    nodes: u8,
    /// Names of the clusters, with commas between them: cluster1, cluster2 and so on if none are given
    #[arg(long, value_delimiter = ',')]
    names: Vec<String>,
    /// Ranges of the clusters' pods, with commas between them: 10.1.0.0/16, 10.2.0.0/16 and so on if none are given
    #[arg(long, value_delimiter = ',')]
    pod_ranges: Vec<Ipv4Net>,
    /// Where Kubernetes keeps its objects: a real etcd, or embedded, which is `tombolo store`
    #[arg(long, value_enum)]
    store: Option<Objects>,
    /// End when the nodes are registered, and leave the network to others
    #[arg(long)]
    no_install: bool,
    #[command(flatten)]
    missing: Missing,
    /// Nodes and pods as plain namespaces, without Kubernetes
    #[arg(long)]
    bare: bool,
    #[command(flatten)]
    bare_words: Bare,
}

/// What only bare labs can be.
#[derive(Debug, Args)]
struct Bare {
    /// Bare: pods of each node [default: 2]
    #[arg(long)]
    pods: Option<u8>,
    /// Bare: how packets reach other nodes: tunnel, as if none is given, or native
    #[arg(long, value_parser = parse_routing)]
    routing_mode: Option<RoutingMode>,
    /// Bare: addresses of the nodes: ipv4 (and IPv6 beside it), as if none is given, or ipv6 alone
    #[arg(long, value_enum)]
    underlay: Option<Underlay>,
    /// Bare: what joins the nodes: router, as if none is given, or direct, one wire between two nodes, for benchmarks
    #[arg(long, value_enum)]
    fabric: Option<Fabric>,
    /// Bare: how agents learn of other nodes and their pods; kvstoremesh where there are several clusters, unless joined by
    /// one wire
    #[arg(long, value_enum)]
    mesh: Option<Mesh>,
    /// Bare: let pods speak to the world with their own addresses
    #[arg(long)]
    no_masquerade: bool,
}

impl Up {
    pub fn run(self) -> Result<()> {
        if self.bare {
            return self.run_bare();
        }
        if let Some(option) = self.bare_words.first() {
            return Err(PlanError::OnlyBare { option }.into());
        }
        check_name(&self.lab.name)?;
        let shape = Shape {
            kubernetes: Some(self.store.unwrap_or_default()),
            pods_per_node: 0,
            mesh: Mesh::Facts,
            ..self.shape()
        };
        let clusters = clusters(self.clusters, &self.names, &self.pod_ranges)?;
        let (maker, install) = (self.missing.maker(), !self.no_install);
        let lab = kubernetes::up(&self.lab.name, shape, clusters, &maker, install)?;
        let path = kubernetes::kubeconfig(&lab.name);
        answer(&format!("export KUBECONFIG={}\n", path.display()))
    }

    fn run_bare(self) -> Result<()> {
        if let Some(option) = self.first_of_kubernetes() {
            return Err(PlanError::NotBare { option }.into());
        }
        up::up(&self.lab.name, self.shape())?;
        Ok(())
    }

    fn shape(&self) -> Shape {
        let bare = &self.bare_words;
        let fabric = bare.fabric.unwrap_or_default();
        let usual_mesh = match fabric {
            Fabric::Router if self.clusters > 1 => Mesh::Kvstoremesh,
            Fabric::Router | Fabric::Direct => Mesh::Facts,
        };
        Shape {
            clusters: self.clusters,
            nodes_per_cluster: self.nodes,
            pods_per_node: bare.pods.unwrap_or(PODS),
            routing: bare.routing_mode.unwrap_or(RoutingMode::Tunnel),
            underlay: bare.underlay.unwrap_or_default(),
            fabric,
            mesh: bare.mesh.unwrap_or(usual_mesh),
            masquerade: !bare.no_masquerade,
            kubernetes: None,
        }
    }

    fn first_of_kubernetes(&self) -> Option<&'static str> {
        let given = [
            (!self.names.is_empty(), "--names"),
            (!self.pod_ranges.is_empty(), "--pod-ranges"),
            (self.store.is_some(), "--store"),
            (self.no_install, "--no-install"),
        ];
        first(&given)
    }
}

impl Bare {
    fn first(&self) -> Option<&'static str> {
        let given = [
            (self.pods.is_some(), "--pods"),
            (self.routing_mode.is_some(), "--routing-mode"),
            (self.underlay.is_some(), "--underlay"),
            (self.fabric.is_some(), "--fabric"),
            (self.mesh.is_some(), "--mesh"),
            (self.no_masquerade, "--no-masquerade"),
        ];
        first(&given)
    }
}

fn first(given: &[(bool, &'static str)]) -> Option<&'static str> {
    let first = given.iter().find(|(given, _)| *given);
    first.map(|(_, option)| *option)
}
