//! What a ClusterMesh says of how its clusters stand, in Kubernetes' form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::trust::{Mistake, Peer, Scene, SecretName};

const READY: &str = "Ready";

/// What is read of a ClusterMesh.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mesh {
    pub metadata: Meta,
    pub spec: Spec,
    pub status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    pub generation: u64,
    pub uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    pub clusters: Vec<Listed>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Listed {
    pub name: String,
    pub secret: Named,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Named {
    pub name: String,
    pub namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    pub observed_generation: u64,
    pub clusters: Vec<ClusterStatus>,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct ClusterStatus {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u16>,
    pub endpoints: Vec<String>,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    pub r#type: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub last_transition_time: String,
}

impl Listed {
    pub fn secret(&self) -> SecretName {
        SecretName {
            namespace: self.secret.namespace.clone(),
            name: self.secret.name.clone(),
        }
    }
}

impl ClusterStatus {
    /// How it stands, if that is another thing than before.
    pub fn news(&self, before: &Status) -> Option<&Condition> {
        let now = self.conditions.first()?;
        let before = before
            .clusters
            .iter()
            .find(|before| before.name == self.name);
        let before = before.and_then(|before| before.conditions.first());
        before
            .is_none_or(|before| before.reason != now.reason || before.status != now.status)
            .then_some(now)
    }
}

/// What the status of a ClusterMesh is made from.
pub struct Known<'a> {
    /// This cluster.
    pub own: &'a str,
    pub met: &'a BTreeMap<String, Result<Peer, Mistake>>,
    /// What is to be said of clusters whose pods have addresses of ours.
    pub overlaps: &'a BTreeMap<String, String>,
}

/// The status that a ClusterMesh should have. `now` stands where something has become another thing.
pub fn status(known: &Known<'_>, mesh: &Mesh, now: &str) -> Status {
    let mut clusters = Vec::new();
    let mut wrong = Vec::new();
    for listed in &mesh.spec.clusters {
        let before = mesh
            .status
            .clusters
            .iter()
            .find(|cluster| cluster.name == listed.name);
        let before = before.map_or(&[][..], |cluster| &cluster.conditions);
        let mut status = ClusterStatus {
            name: listed.name.clone(),
            ..ClusterStatus::default()
        };
        let condition = match known.met.get(&listed.name) {
            Some(Ok(peer)) => {
                status.id = Some(peer.introduction.id.0);
                status.endpoints.clone_from(&peer.introduction.endpoints);
                match known.overlaps.get(&listed.name) {
                    // They are connected all the same: to part them is for people.
                    Some(overlap) => {
                        wrong.push(listed.name.clone());
                        condition(false, "PodRangesOverlap", overlap.clone())
                    }
                    None => {
                        let message = format!("{} and this cluster trust each other", listed.name);
                        condition(true, "Trusted", message)
                    }
                }
            }
            Some(Err(mistake)) => {
                wrong.push(listed.name.clone());
                let message = explain(known.own, listed, mistake);
                condition(false, mistake.reason(), message)
            }
            None => condition(false, "Waiting", "it has not been looked at yet".into()),
        };
        status.conditions.push(since(condition, before, now));
        clusters.push(status);
    }
    let all = if wrong.is_empty() {
        condition(true, "Trusted", format!("{} clusters", clusters.len()))
    } else {
        let first = clusters
            .iter()
            .find(|cluster| wrong.contains(&cluster.name));
        let first = first.and_then(|cluster| cluster.conditions.first());
        let (reason, message) =
            first.map_or(("Waiting", ""), |first| (&first.reason, &first.message));
        let message = format!("{}: {message}", wrong.join(", "));
        condition(false, reason, message)
    };
    Status {
        observed_generation: mesh.metadata.generation,
        clusters,
        conditions: vec![since(all, &mesh.status.conditions, now)],
    }
}

/// What is wrong, and the commands that put it right.
pub fn explain(own: &str, listed: &Listed, mistake: &Mistake) -> String {
    let secret = listed.secret();
    let scene = Scene {
        own,
        peer: &listed.name,
        secret: &secret,
    };
    let commands = mistake.commands(scene).join("\n");
    format!("{}. To put it right:\n{commands}", mistake.message(scene))
}

fn condition(holds: bool, reason: &str, message: String) -> Condition {
    Condition {
        r#type: READY.into(),
        status: if holds { "True" } else { "False" }.into(),
        reason: reason.into(),
        message,
        last_transition_time: String::new(),
    }
}

/// The time stays for as long as the status is the same.
fn since(mut condition: Condition, before: &[Condition], now: &str) -> Condition {
    let before = before
        .iter()
        .find(|before| before.r#type == condition.r#type && before.status == condition.status);
    let time = before.map_or(now, |before| &before.last_transition_time);
    time.clone_into(&mut condition.last_transition_time);
    condition
}
