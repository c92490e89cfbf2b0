//! `connect` and `disconnect`: what people can do by hand with Secrets and ClusterMesh resources, on all sides.
//!
//! All sides are looked at before anything is changed on any of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use tokio::time::sleep;
use tombolo_control::trust::Own;

use super::{
    mesh::{self, Given},
    status,
};
use crate::{
    cluster::{Cluster, Extent, Where, block_on, data},
    failure, output,
};
use tombolo_control::trust::{ClientPair, Data, ID_KEY};
use tombolo_k8s::client::{Api, ObjectName};

#[derive(Args, Debug)]
pub struct Connect {
    #[command(flatten)]
    at: Where,
    /// Contexts of the clusters to connect with
    #[arg(long, value_name = "NAME", value_delimiter = ',', required = true)]
    destination_context: Vec<String>,
    /// Which clusters are connected with which
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Mode::Bidirectional)]
    connection_mode: Mode,
    /// Return when all of them are connected
    #[arg(long)]
    wait: bool,
    /// How many seconds to wait; a cluster that was parted a moment ago takes three minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait_duration: u64,
    /// Look at everything and say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
pub struct Disconnect {
    #[command(flatten)]
    at: Where,
    /// Contexts of the clusters to part from
    #[arg(long, value_name = "NAME", value_delimiter = ',', required = true)]
    destination_context: Vec<String>,
    /// Which clusters are parted from which
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Mode::Bidirectional)]
    connection_mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// This cluster with each of the others
    Bidirectional,
    /// Each with each
    Mesh,
    /// Not there: each side must let the other in, and so learns of it too
    Unicast,
}

/// A cluster as it stands before anything is changed.
struct Side {
    cluster: Cluster,
    own: Own,
    /// Its cluster.id, as it is.
    text: String,
    extent: Extent,
    /// The Secret of its etcd, where that has the place of its store.
    etcd: Option<(ObjectName, Data)>,
    /// Clusters that it is connected with, with their ids.
    peers: Vec<(String, Option<u16>)>,
}

impl Mode {
    fn check(self) -> Result<()> {
        if self == Mode::Unicast {
            return Err(failure(
                "clusters can't be connected in one direction alone: each side must let the other one in".into(),
                "use --connection-mode bidirectional or mesh; what peers learn is narrowed by clustermesh.cilium.io/global on namespaces",
            ));
        }
        Ok(())
    }

    /// By their places in the list, of which the first is this cluster.
    fn pairs(self, count: usize) -> Vec<(usize, usize)> {
        let of = |first: usize| (first + 1..count).map(move |second| (first, second));
        match self {
            Mode::Mesh => (0..count).flat_map(of).collect(),
            _ => of(0).collect(),
        }
    }
}

impl Connect {
    pub fn run(self) -> Result<()> {
        self.connection_mode.check()?;
        block_on(self.connect())
    }

    async fn connect(self) -> Result<()> {
        let mut sides = Vec::new();
        for at in places(&self.at, &self.destination_context) {
            sides.push(Side::open(&at).await?);
        }
        let pairs = self.connection_mode.pairs(sides.len());
        for (first, second) in &pairs {
            check(&sides[*first], &sides[*second])?;
        }
        for (first, second) in &pairs {
            let (first, second) = (&sides[*first], &sides[*second]);
            let names = (first.name(), second.name());
            if self.dry_run {
                output::write(&format!(
                    "{} would be given cluster.id and cluster.secret of {}, and {} those of {}\n",
                    names.0, names.1, names.1, names.0
                ))?;
                continue;
            }
            let there = mesh::add(&second.cluster, &first.given_to(second)?).await;
            there.with_context(|| {
                format!(
                    "{} has not been told of {}; nothing was changed on {}",
                    names.1, names.0, names.0
                )
            })?;
            let here = mesh::add(&first.cluster, &second.given_to(first)?).await;
            here.with_context(|| {
                format!(
                    "{} has been told of {}, but {} not of {}: try again",
                    names.1, names.0, names.0, names.1
                )
            })?;
            output::write(&format!("{} and {} trust each other\n", names.0, names.1))?;
        }
        if self.wait && !self.dry_run {
            let patience = Duration::from_secs(self.wait_duration);
            for side in &sides {
                wait_for(&side.cluster, patience).await?;
            }
        }
        Ok(())
    }
}

impl Disconnect {
    pub fn run(self) -> Result<()> {
        self.connection_mode.check()?;
        block_on(async {
            let mut clusters = Vec::new();
            for at in places(&self.at, &self.destination_context) {
                clusters.push(Cluster::open(&at).await?);
            }
            for (first, second) in self.connection_mode.pairs(clusters.len()) {
                let (first, second) = (&clusters[first], &clusters[second]);
                let names = (&first.settings.name, &second.settings.name);
                let here = mesh::remove(first, names.1).await?;
                let there = mesh::remove(second, names.0).await?;
                let text = match (here, there) {
                    (false, false) => format!("{} and {} were not connected\n", names.0, names.1),
                    _ => format!("{} and {} are parted\n", names.0, names.1),
                };
                output::write(&text)?;
            }
            Ok(())
        })
    }
}

fn places(at: &Where, contexts: &[String]) -> Vec<Where> {
    let others = contexts.iter().map(|context| at.other(context));
    std::iter::once(at.clone()).chain(others).collect()
}

impl Side {
    async fn open(at: &Where) -> Result<Side> {
        let cluster = Cluster::open(at).await?;
        let own = cluster.own().await?;
        if own.introduction.endpoints.is_empty() {
            return Err(failure(
                format!(
                    "{} has no mesh API server that others could reach",
                    own.introduction.name
                ),
                &format!(
                    "`tombolo clustermesh enable{}` runs one; `tombolo clustermesh status{} --wait` tells when it is reached",
                    cluster.option, cluster.option
                ),
            ));
        }
        let secret = cluster.secret();
        let found = cluster.client.get(Api::SECRETS, &secret).await?;
        let found = found.with_context(|| format!("Secret {secret} has just gone"))?;
        let text = data(&found)?.remove(ID_KEY).unwrap_or_default();
        let mut peers = Vec::new();
        for mesh in mesh::all(&cluster).await? {
            for listed in mesh.spec.clusters {
                let status = mesh
                    .status
                    .clusters
                    .iter()
                    .find(|status| status.name == listed.name);
                peers.push((listed.name, status.and_then(|status| status.id)));
            }
        }
        Ok(Side {
            extent: cluster.extent().await?,
            etcd: cluster.etcd().await?,
            text: String::from_utf8(text).context("cluster.id is no text")?,
            cluster,
            own,
            peers,
        })
    }

    fn name(&self) -> &str {
        &self.own.introduction.name
    }

    fn id(&self) -> u16 {
        self.own.introduction.id.0
    }

    /// What the other one must have of this one.
    fn given_to(&self, other: &Side) -> Result<Given<'_>> {
        Ok(Given {
            own: &self.own,
            text: &self.text,
            client: self.client_of(other.name())?,
        })
    }

    /// An etcd lets in only whom its own authority vouches for, and only its administrator has that one's key.
    fn client_of(&self, other: &str) -> Result<Option<ClientPair>> {
        let Some((secret, data)) = &self.etcd else {
            return Ok(None);
        };
        let user = format!("remote-{other}");
        let file = |end: &str| data.get(&format!("{user}.{end}")).cloned();
        let pair = file("crt").zip(file("key"));
        let (certificate, key) = pair.ok_or_else(|| {
            failure(
                format!(
                    "the mesh of {} is kept in an etcd, and Secret {secret} has no {user}.crt and {user}.key, with which {other} \
                     could read it",
                    self.name()
                ),
                &format!(
                    "`tombolo certificates issue {user}` beside the etcd's authority makes them; put both into that Secret, and \
                     give the etcd a user {user} of the role `remote` (docs/store.md)"
                ),
            )
        })?;
        Ok(Some(ClientPair { certificate, key }))
    }
}

fn check(first: &Side, second: &Side) -> Result<()> {
    let (ours, theirs) = (first.name(), second.name());
    if ours == theirs {
        bail!(
            "both clusters are called {ours}: is it the same one, by two contexts? else install one of them with another cluster.name"
        );
    }
    if first.id() == second.id() {
        bail!(
            "{ours} and {theirs} have the same id, {}: install one of them with another cluster.id",
            first.id()
        );
    }
    for (side, other) in [(first, second), (second, first)] {
        let taken = side
            .peers
            .iter()
            .find(|(name, id)| name != other.name() && *id == Some(other.id()));
        if let Some((name, _)) = taken {
            bail!(
                "{} has the id {}, and so has {name}, with which {} is connected: install one of them with another cluster.id",
                other.name(),
                other.id(),
                side.name()
            );
        }
    }
    let (here, there) = (&first.cluster.settings, &second.cluster.settings);
    if here.clusters_max != there.clusters_max {
        bail!(
            "clustermesh.maxConnectedClusters is {} in {ours} and {} in {theirs}: it must be the same in all clusters",
            here.clusters_max,
            there.clusters_max
        );
    }
    if here.routing != there.routing {
        bail!(
            "routingMode is {} in {ours} and {} in {theirs}: it must be the same in all clusters",
            here.routing,
            there.routing
        );
    }
    first.given_to(second)?;
    second.given_to(first)?;
    first.extent.clash(ours, &second.extent, theirs)
}

async fn wait_for(cluster: &Cluster, patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    loop {
        let status = status::look(cluster).await?;
        if status.success {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(failure(
                format!(
                    "{} is not connected after {} s: {}",
                    cluster.settings.name,
                    patience.as_secs(),
                    status
                        .errors
                        .first()
                        .map_or("not all is ready", |error| &error.sentence)
                ),
                &format!("`tombolo clustermesh status{}` shows why", cluster.option),
            ));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_say_who_is_connected_with_whom() {
        assert_eq!(Mode::Bidirectional.pairs(3), [(0, 1), (0, 2)]);
        assert_eq!(Mode::Mesh.pairs(3), [(0, 1), (0, 2), (1, 2)]);
        let error = Mode::Unicast.check().unwrap_err();
        assert!(error.to_string().contains("one direction"), "{error}");
    }
}
