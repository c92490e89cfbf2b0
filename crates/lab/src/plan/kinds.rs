//! What kinds of labs there are, as people write them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How agents learn of what is not on their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mesh {
    /// Each cluster copies its peers into its own store; agents read that one.
    Kvstoremesh,
    /// Agents read the stores of all clusters themselves.
    Direct,
    /// The lab tells them by a file; no cluster has programs of its own.
    Facts,
}

/// Where Kubernetes keeps its objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Objects {
    /// The store that Kubernetes is made for.
    #[default]
    Etcd,
    /// `tombolo store`.
    Embedded,
}

/// The addresses of the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Underlay {
    /// IPv4 and IPv6; tunnels go over IPv4.
    #[default]
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

/// What joins the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fabric {
    /// A switch for each cluster, a gateway behind it, a router between the gateways, and a world behind the router.
    #[default]
    Router,
    /// One wire between exactly two nodes.
    Direct,
}

impl fmt::Display for Underlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Underlay::Ipv4 => "ipv4",
            Underlay::Ipv6 => "ipv6",
        })
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Objects::Etcd => "etcd",
            Objects::Embedded => "embedded",
        })
    }
}

impl fmt::Display for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mesh::Kvstoremesh => "kvstoremesh",
            Mesh::Direct => "direct",
            Mesh::Facts => "facts",
        })
    }
}

impl fmt::Display for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fabric::Router => "router",
            Fabric::Direct => "direct",
        })
    }
}
