//! The verbs for nodes of clusters of Kubernetes.

use super::{
    Name, Output, OutputFormat, Wait,
    run::{answer, json},
};
use crate::{error::Result, kubernetes, plan::NodeId, state::Lab};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum NodeVerb {
    /// Add a node to a cluster, and wait until it is ready
    Add {
        #[command(flatten)]
        lab: Name,
        /// Its name or its number: cluster1 or c1
        cluster: String,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        output: Output,
    },
    /// Take a node away, as if its machine were gone: `kubectl drain` it before, and `kubectl delete node` it after
    Delete {
        #[command(flatten)]
        lab: Name,
        /// Such as c1-n2
        node: NodeId,
    },
}

pub fn run(verb: NodeVerb) -> Result<()> {
    match verb {
        NodeVerb::Add {
            lab,
            cluster,
            wait,
            output,
        } => {
            let mut lab = Lab::open_to_change(&lab.name)?;
            kubernetes::of(&lab)?;
            let cluster = lab.find_cluster(&cluster)?;
            let node = kubernetes::add_node(&mut lab, cluster, !wait.no_wait)?;
            let addresses = lab.shape.node_addresses(node);
            let addresses: Vec<_> = addresses.iter().map(ipnet::IpNet::addr).collect();
            answer(&match output.output {
                OutputFormat::Text => format!("{node}\n"),
                OutputFormat::Json => json(&serde_json::json!({
                    "name": node,
                    "cluster": lab.cluster_name(cluster),
                    "addresses": addresses,
                })),
            })
        }
        NodeVerb::Delete { lab, node } => {
            let mut lab = Lab::open_to_change(&lab.name)?;
            let known = match kubernetes::delete_node(&mut lab, node)? {
                true => "gone",
                false => "not there",
            };
            answer(&format!("{node} is {known}\n"))
        }
    }
}
