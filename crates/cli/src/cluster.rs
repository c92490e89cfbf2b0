//! Which Kubernetes cluster a command is about, and what it says of its part in a mesh.

use std::{collections::BTreeMap, future::Future, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tombolo_control::trust::{Data, Own, SecretName};
use tombolo_k8s::{
    Client,
    client::{Api, Connect, Item, ObjectName, Selection},
};

use crate::{failure, helm::RELEASE};

const OPERATOR: &str = "tombolo-operator";
/// How long an operator that has just begun may take until what it says of its cluster is written.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Clone, Debug, Default)]
pub struct Where {
    /// File that says how clusters are reached
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Which of its contexts; the current one unless told
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the release
    #[arg(long, short, value_name = "NAME", default_value = "kube-system")]
    pub namespace: String,
}

/// A cluster in which Tombolo is installed.
pub struct Cluster {
    pub client: Client,
    pub at: Where,
    /// How it is called in what people type, ` --context NAME` or nothing.
    pub option: String,
    pub settings: Settings,
    operator: Container,
}

/// What the release was installed with, as its agent is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    pub id: u16,
    pub clusters_max: String,
    pub routing: String,
    pub image: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Workload {
    spec: WorkloadSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WorkloadSpec {
    template: Template,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    image: String,
    args: Vec<String>,
    env: Vec<Variable>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Variable {
    name: String,
    value: String,
}

/// A node, as the operator and its agent have written it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CiliumNode {
    spec: CiliumNodeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CiliumNodeSpec {
    addresses: Vec<NodeAddress>,
    ipam: Ipam,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    r#type: String,
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ipam {
    #[serde(rename = "podCIDRs")]
    ranges: Vec<String>,
}

/// What clusters of a mesh must not have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Of these its operator cuts ranges for nodes.
    pub pools: Vec<IpNet>,
    /// Ranges of pods, with the node that has each.
    pub ranges: Vec<(IpNet, String)>,
    /// Addresses of nodes.
    pub addresses: Vec<(String, String)>,
}

/// Runs what is to be done with clusters to its end.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(future)
}

impl Where {
    pub fn other(&self, context: &str) -> Where {
        Where {
            context: Some(context.to_owned()),
            ..self.clone()
        }
    }

    pub fn option(&self) -> String {
        let context = self.context.as_ref();
        context.map_or(String::new(), |context| format!(" --context {context}"))
    }

    pub async fn client(&self) -> Result<Client> {
        let client = Client::connect(&Connect {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        })
        .await?;
        // A server that is not there is better known by this than by what is asked of it.
        client.version().await?;
        Ok(client)
    }
}

impl Cluster {
    /// Fails where Tombolo is not installed.
    pub async fn open(at: &Where) -> Result<Cluster> {
        let client = at.client().await?;
        let name = Api::DAEMON_SETS.name(&at.namespace, RELEASE);
        let Some(found) = client.get(Api::DAEMON_SETS, &name).await? else {
            return Err(failure(
                format!(
                    "Tombolo is not installed in {}: there is no DaemonSet {name}",
                    client.whom()
                ),
                &format!(
                    "`tombolo install{}` installs it; --namespace says where it is, if not in kube-system",
                    at.option()
                ),
            ));
        };
        let operator = Api::DEPLOYMENTS.name(&at.namespace, OPERATOR);
        let operator = client.get(Api::DEPLOYMENTS, &operator).await?;
        let operator: Option<Workload> = operator.map(|found| found.read()).transpose()?;
        Ok(Cluster {
            client,
            at: at.clone(),
            option: at.option(),
            settings: settings(found.read()?),
            operator: operator.unwrap_or_default().container(),
        })
    }

    /// Who it says that it is, and its secret, once its operator has written of what was installed last. Fails for one that
    /// is in no mesh.
    pub async fn own(&self) -> Result<Own> {
        let Settings { name, id, .. } = &self.settings;
        if *id == 0 {
            return Err(failure(
                format!(
                    "the cluster of {} has no id, so it can be in no mesh",
                    self.client.whom()
                ),
                &format!(
                    "`tombolo upgrade{} --set cluster.name=NAME --set cluster.id=NUMBER` gives it one",
                    self.option
                ),
            ));
        }
        let end = Instant::now() + OPERATOR_PATIENCE;
        loop {
            let missing = match self.written().await? {
                Some(own) => {
                    let told = (&own.introduction.name, own.introduction.id.0);
                    if told == (name, *id) {
                        return Ok(own);
                    }
                    format!(
                        "still says that the cluster is {} with the id {}",
                        told.0, told.1
                    )
                }
                None => "is not there yet".to_owned(),
            };
            if Instant::now() > end {
                let secret = self.secret();
                return Err(failure(
                    format!(
                        "{name} was installed with the id {id}, and its Secret {secret} {missing}"
                    ),
                    &format!(
                        "its operator writes it: see `kubectl{} -n {} logs deployment/{OPERATOR}`",
                        self.option, self.at.namespace
                    ),
                ));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Where that is written.
    pub fn secret(&self) -> ObjectName {
        Api::SECRETS.name(&self.at.namespace, SecretName::OWN)
    }

    /// What its operator has written of it.
    async fn written(&self) -> Result<Option<Own>> {
        let secret = self.secret();
        let Some(found) = self.client.get(Api::SECRETS, &secret).await? else {
            return Ok(None);
        };
        let own = Own::read(&data(&found)?);
        own.map(Some)
            .with_context(|| format!("Secret {secret} of {}", self.settings.name))
    }

    /// The Secret of the real etcd that has the place of the store, where there is one, and what is in it.
    pub async fn etcd(&self) -> Result<Option<(ObjectName, Data)>> {
        let name = self.operator.variable("TOMBOLO_MESH_ETCD_SECRET");
        if name.is_empty() {
            return Ok(None);
        }
        let name = Api::SECRETS.name(&self.at.namespace, &name);
        let found = self.client.get(Api::SECRETS, &name).await?;
        let found = found.with_context(|| {
            format!(
                "{}: Secret {name} of the etcd is not there",
                self.settings.name
            )
        })?;
        Ok(Some((name, data(&found)?)))
    }

    pub async fn extent(&self) -> Result<Extent> {
        let mut extent = Extent {
            pools: self.operator.pools()?,
            ..Extent::default()
        };
        for item in self.client.list(&Selection::all(Api::CILIUM_NODES)).await? {
            let node: CiliumNode = item.read()?;
            let name = &item.name().name;
            for range in node.spec.ipam.ranges {
                let range = range
                    .parse()
                    .with_context(|| format!("node {name}: range `{range}`"))?;
                extent.ranges.push((range, name.clone()));
            }
            let addresses = node.spec.addresses.into_iter();
            let internal = addresses.filter(|address| address.r#type == "InternalIP");
            extent
                .addresses
                .extend(internal.map(|address| (address.ip, name.clone())));
        }
        Ok(extent)
    }
}

impl Extent {
    /// What both have, with a name for each; the first that is found.
    pub fn clash(&self, ours: &str, other: &Extent, theirs: &str) -> Result<()> {
        for (range, node) in &self.ranges {
            for (another, there) in &other.ranges {
                if overlap(range, another) {
                    bail!(
                        "pods of {ours} and {theirs} have the same addresses: {range} of node {node} and {another} of node \
                         {there}; install one of them with another ipam.operator.clusterPoolIPv4PodCIDRList"
                    );
                }
            }
        }
        // What has not happened yet will, with the next nodes.
        let owned = |extent: &Extent| {
            let of_nodes = extent.ranges.iter();
            let of_nodes =
                of_nodes.map(|(range, node)| (*range, format!("{range} of node {node}")));
            let pools = extent
                .pools
                .iter()
                .map(|pool| (*pool, format!("its pool {pool}")));
            pools.chain(of_nodes).collect::<Vec<_>>()
        };
        for (range, what) in owned(self) {
            for (another, which) in owned(other) {
                if overlap(&range, &another) {
                    bail!(
                        "pods of {ours} and {theirs} may get the same addresses: {ours} has {what}, and {theirs} {which}; \
                         install one of them with another ipam.operator.clusterPoolIPv4PodCIDRList"
                    );
                }
            }
        }
        for (address, node) in &self.addresses {
            if let Some((_, there)) = other
                .addresses
                .iter()
                .find(|(another, _)| another == address)
            {
                bail!(
                    "nodes of {ours} and {theirs} have the same address: {address} is of {node} and of {there}"
                );
            }
        }
        Ok(())
    }
}

fn settings(workload: Workload) -> Settings {
    let agent = workload.container();
    Settings {
        name: agent.variable("TOMBOLO_CLUSTER_NAME"),
        id: agent.variable("TOMBOLO_CLUSTER_ID").parse().unwrap_or(0),
        clusters_max: agent.variable("TOMBOLO_MAX_CONNECTED_CLUSTERS"),
        routing: agent.option("--routing-mode="),
        image: agent.image,
    }
}

impl Workload {
    /// Its first one.
    fn container(self) -> Container {
        let mut containers = self.spec.template.spec.containers.into_iter();
        containers.next().unwrap_or_default()
    }
}

impl Container {
    fn variable(&self, name: &str) -> String {
        let found = self.env.iter().find(|variable| variable.name == name);
        found.map_or(String::new(), |variable| variable.value.clone())
    }

    fn option(&self, name: &str) -> String {
        let found = self.args.iter().find_map(|word| word.strip_prefix(name));
        found.unwrap_or_default().to_owned()
    }

    fn pools(&self) -> Result<Vec<IpNet>> {
        let lists = ["--cluster-pool-ipv4=", "--cluster-pool-ipv6="].map(|name| self.option(name));
        let words = lists.iter().flat_map(|list| list.split(','));
        let words = words.filter(|word| !word.is_empty());
        let pools = words.map(|word| {
            word.parse()
                .with_context(|| format!("the operator's pool `{word}`"))
        });
        pools.collect()
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// What is in a Secret.
pub fn data(item: &Item) -> Result<Data> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Secret {
        data: BTreeMap<String, String>,
    }
    let secret: Secret = item.read()?;
    let decode = |(key, text): (String, String)| Some((key, STANDARD.decode(text).ok()?));
    Ok(secret.data.into_iter().filter_map(decode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(ranges: &[&str], addresses: &[&str]) -> Extent {
        Extent {
            ranges: ranges
                .iter()
                .map(|range| (range.parse().unwrap(), "n1".into()))
                .collect(),
            addresses: addresses
                .iter()
                .map(|address| ((*address).into(), "n1".into()))
                .collect(),
            pools: Vec::new(),
        }
    }

    #[test]
    fn clusters_that_share_addresses_are_told_which() {
        let ours = extent(&["11.0.1.0/24", "fd00:1::/64"], &["172.30.1.11"]);
        let table = [
            (
                extent(&["12.0.1.0/24", "fd00:2::/64"], &["172.30.2.11"]),
                None,
            ),
            (
                extent(&["11.0.0.0/16"], &[]),
                Some("11.0.1.0/24 of node n1 and 11.0.0.0/16 of node n1"),
            ),
            (extent(&["11.0.1.128/25"], &[]), Some("11.0.1.128/25")),
            (
                extent(&[], &["172.30.1.11"]),
                Some("172.30.1.11 is of n1 and of n1"),
            ),
        ];
        for (theirs, expected) in table {
            let clash = ours
                .clash("a", &theirs, "b")
                .map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(clash, Ok(())),
                Some(part) => assert!(
                    clash.as_ref().is_err_and(|said| said.contains(part)),
                    "{clash:?}"
                ),
            }
        }
    }
}
