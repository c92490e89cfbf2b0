//! The ClusterMesh resources of a cluster, read and changed.

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tombolo_control::trust::{CLIENT_CERTIFICATE, CLIENT_KEY, ClientPair, ID_KEY, Own, SECRET_KEY};
use tombolo_k8s::client::{Api, Error, Selection};

use crate::cluster::Cluster;

/// The one that `connect` writes into, where no other lists the cluster already.
const NAME: &str = "tombolo";
const TRIES: u32 = 5;

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
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    pub clusters: Vec<Listed>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub secret: Named,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub clusters: Vec<ClusterStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClusterStatus {
    pub name: String,
    pub id: Option<u16>,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
}

impl ClusterStatus {
    /// Why it is not trusted.
    pub fn mistake(&self) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.status == "False")
    }
}

pub async fn all(cluster: &Cluster) -> Result<Vec<Mesh>> {
    let items = cluster
        .client
        .list(&Selection::all(Api::CLUSTER_MESHES))
        .await?;
    let read = items.iter().map(|item| Ok(item.read()?));
    read.collect()
}

/// What a cluster must have of a peer.
pub struct Given<'a> {
    pub own: &'a Own,
    /// Its cluster.id, as it is.
    pub text: &'a str,
    /// What its etcd lets the cluster in with, where it has one.
    pub client: Option<ClientPair>,
}

/// Gives `cluster` the files of `peer`, and lists it. What is right already stays as it is.
pub async fn add(cluster: &Cluster, peer: &Given<'_>) -> Result<()> {
    let name = &peer.own.introduction.name;
    let meshes = all(cluster).await?;
    let listing = meshes
        .iter()
        .find(|mesh| mesh.spec.clusters.iter().any(|listed| listed.name == *name));
    let secret = match listing.and_then(|mesh| {
        mesh.spec
            .clusters
            .iter()
            .find(|listed| listed.name == *name)
    }) {
        Some(listed) => listed.secret.clone(),
        None => Named {
            name: format!("{name}-secret"),
            namespace: cluster.at.namespace.clone(),
        },
    };
    write_secret(cluster, &secret, peer).await?;
    if listing.is_some() {
        return Ok(());
    }
    let entry = Listed {
        name: name.clone(),
        secret,
    };
    change(cluster, NAME, |clusters| clusters.push(entry.clone())).await
}

/// Lists `peer` no more, and takes its files away, if it was `connect` that brought them. Whether it was listed.
pub async fn remove(cluster: &Cluster, peer: &str) -> Result<bool> {
    let mut found = false;
    for mesh in all(cluster).await? {
        let Some(listed) = mesh.spec.clusters.iter().find(|listed| listed.name == peer) else {
            continue;
        };
        found = true;
        change(cluster, &mesh.metadata.name, |clusters| {
            clusters.retain(|listed| listed.name != peer)
        })
        .await?;
        let name = Api::SECRETS.name(&listed.secret.namespace, &listed.secret.name);
        if let Some(secret) = cluster.client.get(Api::SECRETS, &name).await? {
            let value: Value = secret.read()?;
            if value["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "tombolo-connect" {
                cluster
                    .client
                    .delete(Api::SECRETS, &name, Some(secret.uid()))
                    .await?;
            }
        }
    }
    Ok(found)
}

async fn write_secret(cluster: &Cluster, secret: &Named, peer: &Given<'_>) -> Result<()> {
    let name = Api::SECRETS.name(&secret.namespace, &secret.name);
    let newest = peer.own.secrets.first().context("a cluster has a secret")?;
    let mut data = json!({
        ID_KEY: STANDARD.encode(peer.text),
        SECRET_KEY: STANDARD.encode(newest.bytes()),
    });
    if let Some(ClientPair { certificate, key }) = &peer.client {
        data[CLIENT_CERTIFICATE] = STANDARD.encode(certificate).into();
        data[CLIENT_KEY] = STANDARD.encode(key).into();
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret.name,
            "namespace": secret.namespace,
            "labels": {
                "app.kubernetes.io/part-of": "tombolo",
                "app.kubernetes.io/managed-by": "tombolo-connect",
            },
        },
        "data": data,
    });
    cluster.client.apply(Api::SECRETS, &name, &object).await?;
    Ok(())
}

/// Changes the list of a ClusterMesh, and makes it where it is not there.
async fn change(cluster: &Cluster, name: &str, change: impl Fn(&mut Vec<Listed>)) -> Result<()> {
    let object_name = Api::CLUSTER_MESHES.name("", name);
    for _ in 0..TRIES {
        let present = cluster
            .client
            .get(Api::CLUSTER_MESHES, &object_name)
            .await?;
        let mut object: Value = match &present {
            Some(item) => item.read()?,
            None => json!({
                "apiVersion": "cilium.io/v2alpha1",
                "kind": "ClusterMesh",
                "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "tombolo"}},
                "spec": {"clusters": []},
            }),
        };
        let mut clusters: Vec<Listed> = serde_json::from_value(object["spec"]["clusters"].clone())
            .with_context(|| format!("ClusterMesh {name}: spec.clusters"))?;
        change(&mut clusters);
        object["spec"]["clusters"] = serde_json::to_value(clusters)?;
        let written = match present {
            Some(_) => {
                cluster
                    .client
                    .replace(Api::CLUSTER_MESHES, &object_name, &object)
                    .await
            }
            None => {
                cluster
                    .client
                    .create(Api::CLUSTER_MESHES, "", &object)
                    .await
            }
        };
        match written {
            Ok(_) => return Ok(()),
            Err(Error::Conflict { .. } | Error::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("somebody else keeps changing ClusterMesh {name}: try again")
}
