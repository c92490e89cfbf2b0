//! `tombolo node`.

use crate::{client, output::Output, table};
use anyhow::Result;
use clap::Subcommand;
use std::path::Path;
use tombolo_model::local::{NodeView, Reply, Request};

#[derive(Subcommand)]
pub enum Node {
    /// List the nodes of all clusters
    #[command(visible_alias = "ls")]
    List(Output),
}

impl Node {
    pub fn run(self, socket: &Path) -> Result<()> {
        let Node::List(output) = self;
        match client::ask(socket, &Request::NodeList)? {
            Reply::Nodes { nodes } => output.write(&nodes, |nodes| render(nodes)),
            other => Err(client::unexpected(&other)),
        }
    }
}

fn render(nodes: &[NodeView]) -> String {
    table::render(
        [
            "CLUSTER",
            "ID",
            "NODE",
            "ADDRESSES",
            "POD RANGES",
            "REACHED BY",
            "SOURCE",
        ],
        nodes.iter().map(|node| {
            [
                node.cluster.clone(),
                node.cluster_id.to_string(),
                node.name.clone(),
                table::list(&node.addresses),
                table::list(&node.pod_ranges),
                node.tunnel
                    .map(|address| address.to_string())
                    .unwrap_or_default(),
                node.source.clone(),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing;

    #[test]
    fn nodes_are_a_table() {
        assert_eq!(
            render(&testing::nodes()),
            "\
CLUSTER   ID  NODE  ADDRESSES                 POD RANGES   REACHED BY   SOURCE
cluster1  1   n1    172.30.1.11, fd00:30::11  10.1.1.0/24  -            self
cluster2  2   n1    172.30.2.11               10.2.1.0/24  172.30.2.11  file
"
        );
    }
}
