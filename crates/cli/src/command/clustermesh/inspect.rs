//! `inspect`: who the cluster says that it is, and each cluster that it lists, with the commands that mend what is wrong.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::mesh;
use crate::{
    cluster::{Cluster, Where, block_on},
    output::Output,
};

#[derive(Args, Debug)]
pub struct Inspect {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Answer {
    name: String,
    id: u16,
    endpoints: Vec<String>,
    /// How many secrets are valid: two while one is replaced.
    secrets: usize,
    clusters: Vec<Peer>,
}

#[derive(Serialize)]
struct Peer {
    name: String,
    mesh: String,
    secret: String,
    id: Option<u16>,
    trusted: bool,
    reason: String,
    message: String,
}

impl Inspect {
    pub fn run(self) -> Result<()> {
        let answer = block_on(async {
            let cluster = Cluster::open(&self.at).await?;
            let own = cluster.own().await?;
            let mut clusters = Vec::new();
            for mesh in mesh::all(&cluster).await? {
                for listed in &mesh.spec.clusters {
                    let status = mesh
                        .status
                        .clusters
                        .iter()
                        .find(|status| status.name == listed.name);
                    let condition = status.and_then(|status| status.conditions.first());
                    clusters.push(Peer {
                        name: listed.name.clone(),
                        mesh: mesh.metadata.name.clone(),
                        secret: format!("{}/{}", listed.secret.namespace, listed.secret.name),
                        id: status.and_then(|status| status.id),
                        trusted: condition.is_some_and(|condition| condition.status == "True"),
                        reason: condition
                            .map_or("Waiting".into(), |condition| condition.reason.clone()),
                        message: condition
                            .map_or(String::new(), |condition| condition.message.clone()),
                    });
                }
            }
            Ok(Answer {
                name: own.introduction.name,
                id: own.introduction.id.0,
                endpoints: own.introduction.endpoints,
                secrets: own.secrets.len(),
                clusters,
            })
        })?;
        self.output.write(&answer, render)
    }
}

fn render(answer: &Answer) -> String {
    let Answer {
        name,
        id,
        endpoints,
        secrets,
        clusters,
    } = answer;
    let mut text = format!("{name}, id {id}\n");
    match endpoints.as_slice() {
        [] => text.push_str("  its mesh API is not reached yet\n"),
        endpoints => text.push_str(&format!("  reached at {}\n", endpoints.join(", "))),
    }
    if *secrets > 1 {
        text.push_str("  its secret is being replaced: the old one is valid too\n");
    }
    for peer in clusters {
        let id = peer.id.map_or(String::new(), |id| format!(", id {id}"));
        text.push_str(&format!(
            "{}{id}: {} (ClusterMesh {}, Secret {})\n",
            peer.name, peer.reason, peer.mesh, peer.secret
        ));
        if !peer.trusted {
            for line in peer.message.lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
    }
    text
}
