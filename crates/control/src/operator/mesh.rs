//! The cluster's part in its mesh: who it is, whom it trusts, and what its programs must know for that.
//!
//! ```text
//!  tombolo-ca, cluster-mesh-config ──┐                       ┌─► cluster-mesh-config: how we are reached now
//!  Secrets that are named ───────────┼─► meet, then desired ─┼─► tombolo-store, -kvstoremesh, -clustermesh
//!  ClusterMesh ──────────────────────┤                       └─► status of each ClusterMesh
//!  Service, Nodes ───────────────────┘
//! ```
//!
//! Whatever changes, all is worked out anew, and only what differs is written.

mod condition;
mod desired;
mod files;
mod given;
mod own;
mod reach;
mod seen;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{Args, builder::FalseyValueParser};
use ipnet::IpNet;
use serde_json::json;
use tokio::time::sleep;
use tombolo_k8s::client::{Api, ObjectName};

use super::{
    Operator,
    ranges::pool::{Family, overlap},
};
use crate::{
    Notice,
    stamp::{now, stamp},
    trust::{Data, Mistake, Own, Peer, SecretName, meet, refuse_same_ids},
};
use condition::{Condition, Known, Listed, Mesh, status};
use desired::{AGENTS, Etcd, Inputs, MIRROR, STORE, desired};
use given::given;
pub use given::{GIVEN, names as given_names};
use reach::Reach;
use seen::{Feeds, Seen, encode};

const ABOUT: &str = "the mesh";
/// Certificates are looked at as often, and Secrets of other namespaces.
const RECHECK: Duration = Duration::from_secs(30);
/// What comes at once is looked at once.
const SETTLE: Duration = Duration::from_millis(50);

#[derive(Args, Clone, Debug, Default)]
pub struct MeshApiOptions {
    /// This cluster has a mesh API server, by which others learn of it
    #[arg(long, env = "TOMBOLO_MESH_API")]
    pub mesh_api: bool,
    /// It has the addresses of the node that it runs on
    #[arg(long, env = "TOMBOLO_MESH_HOST_NETWORK")]
    pub mesh_host_network: bool,
    /// Where peers reach it, if not where its Service or its node says, like https://192.0.2.1:2379
    #[arg(
        long,
        env = "TOMBOLO_MESH_ENDPOINTS",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub mesh_endpoints: Vec<String>,
    /// Name or address that its certificate must be for, beside those that are found out
    #[arg(
        long,
        env = "TOMBOLO_MESH_SERVER_NAMES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub mesh_server_names: Vec<String>,
    /// A real etcd in the place of the store
    #[arg(
        long,
        env = "TOMBOLO_MESH_ETCD",
        value_name = "URL",
        value_delimiter = ',',
        requires = "mesh_etcd_secret"
    )]
    pub mesh_etcd: Vec<String>,
    /// Let peers in by the one name `remote` too, as Cilium's clusters do whose authMode is legacy; for those that were
    /// given in Secret cilium-kvstoremesh
    #[arg(long, env = "TOMBOLO_MESH_SHARED_USER", value_parser = FalseyValueParser::new())]
    pub mesh_shared_user: bool,
    /// Secret with the certificates for that etcd: ca.crt, admin.crt, admin.key, local.crt, local.key
    #[arg(long, env = "TOMBOLO_MESH_ETCD_SECRET", value_name = "NAME")]
    pub mesh_etcd_secret: Option<String>,
}

/// Until it is dropped.
pub async fn keep(operator: &Operator) {
    // A cluster without a number is in no mesh.
    if operator.options.cluster_id == 0 {
        return;
    }
    let (mut feeds, mut seen) = (Feeds::new(operator), Seen::default());
    let mut others = operator.others.subscribe();
    loop {
        if seen.is_whole() {
            match reconcile(operator, &seen).await {
                Ok(()) => operator.troubles.clear(ABOUT),
                Err(error) => operator.troubles.set(ABOUT, format!("{error:#}")),
            }
        }
        tokio::select! {
            () = feeds.change(&mut seen) => {}
            Ok(()) = others.changed() => {}
            () = sleep(RECHECK) => {}
        }
        let settled = sleep(SETTLE);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => break,
                () = feeds.change(&mut seen) => {}
            }
        }
    }
}

async fn reconcile(operator: &Operator, seen: &Seen) -> Result<()> {
    let options = &operator.options.mesh;
    let namespace = &operator.options.namespace;
    let mut reach = Reach::default();
    if options.mesh_api {
        reach = match options.mesh_host_network {
            true => Reach::on_nodes(seen.service.values().next(), seen.nodes.values()),
            false => Reach::by_service(seen.service.values().next(), seen.nodes.values()),
        };
        if !options.mesh_endpoints.is_empty() {
            reach.peers.clone_from(&options.mesh_endpoints);
        } else if !options.mesh_etcd.is_empty() {
            reach.peers.clone_from(&options.mesh_etcd);
        }
    }
    let authority = own::authority(operator, seen).await?;
    let known = known(operator, seen).await;
    let etcd = etcd(operator, &known)?;
    let authorities = match &etcd {
        // Of clients of ours, and of the server that clients of peers meet.
        Some(etcd) => format!(
            "{}\n{}",
            authority.certificate.trim_end(),
            etcd.authority()?
        ),
        None => authority.certificate.clone(),
    };
    let own = own::introduce(operator, seen, authorities, &reach.peers).await?;
    let met = meet_all(&own, seen, &known);
    let peers = met
        .iter()
        .filter_map(|(name, outcome)| Some((name.clone(), outcome.clone().ok()?)));
    let given = given(
        &own.introduction.name,
        seen.secrets.get(&in_namespace(namespace, GIVEN)),
        |name| met.contains_key(name),
    );
    let about = format!("Secret {namespace}/{GIVEN}");
    match given.refused.iter().next() {
        Some((name, why)) => operator.troubles.set(&about, format!("{name}: {why}")),
        None => operator.troubles.clear(&about),
    }
    let present = seen.present(namespace, &[STORE, MIRROR, AGENTS]);
    let wanted = desired(&Inputs {
        own: &own,
        authority: &authority,
        peers: &peers.collect(),
        given: &given,
        shared_user: options.mesh_shared_user,
        reach: &reach,
        server_names: &options.mesh_server_names,
        etcd: etcd.as_ref(),
        serves: options.mesh_api,
        present: &present,
    })?;
    for (name, data) in &wanted {
        if present.get(name) != Some(data) {
            write(operator, name, data).await?;
        }
    }
    tell(operator, seen, &met).await
}

/// The real etcd in the place of the store, where there is one.
fn etcd<'a>(
    operator: &'a Operator,
    known: &'a BTreeMap<SecretName, Data>,
) -> Result<Option<Etcd<'a>>> {
    let options = &operator.options.mesh;
    let Some(name) = &options.mesh_etcd_secret else {
        return Ok(None);
    };
    let name = in_namespace(&operator.options.namespace, name);
    let secret = known.get(&name);
    let secret = secret.with_context(|| format!("Secret {name} of the etcd is not there"))?;
    Ok(Some(Etcd {
        endpoints: &options.mesh_etcd,
        secret,
    }))
}

/// Each cluster that any ClusterMesh lists, met or mistaken.
fn meet_all(
    own: &Own,
    seen: &Seen,
    known: &BTreeMap<SecretName, Data>,
) -> BTreeMap<String, Result<Peer, Mistake>> {
    let mut met = BTreeMap::new();
    for listed in listed(seen) {
        let outcome = meet(own, &listed.name, &listed.secret(), known);
        // Listed twice, the one that makes sense counts.
        if !matches!(met.get(&listed.name), Some(Ok(_))) {
            met.insert(listed.name.clone(), outcome);
        }
    }
    refuse_same_ids(&mut met);
    met
}

fn listed(seen: &Seen) -> impl Iterator<Item = &Listed> {
    seen.meshes.values().flat_map(|mesh| &mesh.spec.clusters)
}

/// The Secrets of the release's namespace, which are watched, and of others those that are named.
async fn known(operator: &Operator, seen: &Seen) -> BTreeMap<SecretName, Data> {
    let mut known = seen.secrets.clone();
    let named: BTreeSet<_> = listed(seen).map(Listed::secret).collect();
    for name in named {
        if name.namespace == operator.options.namespace {
            continue;
        }
        let about = format!("reading Secret {name}");
        let object = ObjectName {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        };
        match operator.client.get(Api::SECRETS, &object).await {
            Ok(found) => {
                operator.troubles.clear(&about);
                if let Some(data) = found.and_then(|item| seen::data(&item)) {
                    known.insert(name, data);
                }
            }
            Err(error) => operator.troubles.set(
                &about,
                format!(
                    "{error}; keep it in {}, or install with clustermesh.secretNamespaces={{{}}}",
                    operator.options.namespace, name.namespace
                ),
            ),
        }
    }
    known
}

async fn write(operator: &Operator, name: &str, data: &Data) -> Result<()> {
    let namespace = &operator.options.namespace;
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "tombolo"},
        },
        "data": encode(data),
    });
    let name = Api::SECRETS.name(namespace, name);
    operator.client.apply(Api::SECRETS, &name, &object).await?;
    tracing::info!(secret = %name, files = data.len(), "written");
    Ok(())
}

async fn tell(
    operator: &Operator,
    seen: &Seen,
    met: &BTreeMap<String, Result<Peer, Mistake>>,
) -> Result<()> {
    let known = Known {
        own: &operator.options.cluster_name,
        met,
        overlaps: &overlaps(operator),
    };
    for (name, mesh) in &seen.meshes {
        let status = status(&known, mesh, &stamp(now()));
        if status == mesh.status {
            continue;
        }
        operator
            .client
            .patch_status(Api::CLUSTER_MESHES, name, &status)
            .await?;
        for cluster in &status.clusters {
            if let Some(condition) = cluster.news(&mesh.status) {
                notice(operator, name, mesh, (&cluster.name, condition)).await;
            }
        }
    }
    Ok(())
}

/// Whose pods have addresses of our own pools, and what is to be said of it.
fn overlaps(operator: &Operator) -> BTreeMap<String, String> {
    let families = operator.options.ranges.families().unwrap_or_default();
    let pools: Vec<IpNet> = families.iter().flat_map(Family::pools).copied().collect();
    let others = operator.others.borrow();
    let first = others.iter().filter_map(|(cluster, ranges)| {
        let pairs = pools.iter().flat_map(|pool| ranges.iter().map(move |range| (pool, range)));
        let (pool, range) = pairs.into_iter().find(|(pool, range)| overlap(pool, range))?;
        Some((cluster.clone(), format!(
            "{range}, which pods of {cluster} have, overlaps with {pool}, which is of this cluster's pods: what is sent there \
             can't reach both. Install one of the two anew with other ranges, or take them out of each other's mesh"
        )))
    });
    first.collect()
}

/// In the log, and as an event of the ClusterMesh.
async fn notice(
    operator: &Operator,
    name: &ObjectName,
    mesh: &Mesh,
    (cluster, condition): (&str, &Condition),
) {
    let reason = &condition.reason;
    tracing::info!(mesh = %name, cluster, reason, "how it stands has changed");
    let warning = condition.status != "True";
    let first = condition.message.lines().next().unwrap_or_default();
    let notice = Notice {
        api: Api::CLUSTER_MESHES,
        name,
        uid: &mesh.metadata.uid,
        warning,
        reason,
        action: "Connect",
        note: &format!("{cluster}: {}", first.trim_end_matches(" To put it right:")),
    };
    if let Err(error) = notice.tell(&operator.client, "operator").await {
        tracing::warn!(mesh = %name, %error, "an event could not be told");
    }
}

fn in_namespace(namespace: &str, name: &str) -> SecretName {
    SecretName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}
