//! `status`: the one screen about a cluster's part in the mesh.

mod render;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tombolo_control::{
    GIVEN_PEERS, given_names,
    trust::{ID_KEY, Introduction, SecretName},
};
use tombolo_k8s::client::{Api, ObjectName, Selection};
use tombolo_model::{local::PeerStatus, record::Resource};

use super::mesh;
use crate::{
    cluster::{Cluster, Where, block_on, data},
    output::{Colour, Output},
};

const API: &str = "clustermesh-apiserver";
/// Pods that are asked at once.
const AT_ONCE: usize = 16;
/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A certificate that ends sooner should have been renewed.
const CERTIFICATE_DAYS_MIN: i64 = 30;

#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    at: Where,
    /// Look again until all is well
    #[arg(long)]
    wait: bool,
    /// How many seconds to look
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    wait_duration: u64,
    #[command(flatten)]
    output: Output,
}

/// What is seen of a cluster's part in the mesh, judged.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    pub success: bool,
    pub access_information: Access,
    /// How the agents stand.
    pub connectivity: Connectivity,
    pub kvstoremesh: Mirror,
    pub errors: Vec<Problem>,
}

#[derive(Debug, Default, Serialize)]
pub struct Access {
    pub service_type: String,
    pub endpoints: Vec<String>,
    pub cluster_id: u16,
    pub cluster_name: String,
    pub max_connected_clusters: u16,
    /// The mesh API server's Deployment has all the replicas that it wants.
    pub ready: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Connectivity {
    /// Clusters that the nodes are connected with.
    pub connected: Spread,
    pub clusters: BTreeMap<String, Count>,
    pub total: usize,
    pub not_ready: usize,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    pub min: usize,
    pub avg: f64,
    pub max: usize,
}

/// How many know of a cluster, and how many are connected with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub configured: usize,
    pub connected: usize,
    /// For how long the last of them may have been out of date.
    pub seconds_behind: u64,
    /// Of the certificate that ends first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_days: Option<i64>,
    /// Services that the cluster shares, as far as these read of services.
    pub global_services: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Mirror {
    pub enabled: bool,
    pub total: usize,
    pub clusters: BTreeMap<String, Count>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub sentence: String,
    /// What to do about it; may have several lines.
    pub hint: String,
}

/// A pod that was asked.
#[derive(Clone, Debug)]
struct Asked {
    name: String,
    /// The node that it is on, if Kubernetes has not heard of that one for a while.
    silent_node: Option<String>,
    /// How its clusters stand, or why it did not say.
    peers: Result<Vec<PeerStatus>, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Node {
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    phase: String,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    state: ContainerState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    running: Option<serde_json::Value>,
    waiting: Option<Waiting>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: String,
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    ports: Vec<Port>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    container_port: u16,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    peers: Vec<PeerStatus>,
}

impl Options {
    pub fn run(self) -> Result<ExitCode> {
        let status = block_on(async {
            let cluster = Cluster::open(&self.at).await?;
            let end = Instant::now() + Duration::from_secs(self.wait_duration);
            loop {
                let status = look(&cluster).await?;
                if status.success || !self.wait || Instant::now() > end {
                    return Ok(status);
                }
                sleep(Duration::from_secs(1)).await;
            }
        })?;
        let colour = Colour::of_stdout();
        self.output
            .write(&status, |status| render::render(status, colour))?;
        Ok(match status.success {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

/// As it is now.
pub async fn look(cluster: &Cluster) -> Result<Status> {
    let mut status = Status::default();
    let access = &mut status.access_information;
    access.cluster_name.clone_from(&cluster.settings.name);
    access.cluster_id = cluster.settings.id;
    access.max_connected_clusters = cluster.settings.clusters_max.parse().unwrap_or(255);
    let meshes = mesh::all(cluster).await?;
    look_at_access(cluster, &mut status).await?;
    let given = Api::SECRETS.name(&cluster.at.namespace, GIVEN_PEERS);
    let given = match cluster.client.get(Api::SECRETS, &given).await? {
        Some(secret) => data(&secret)?,
        None => BTreeMap::new(),
    };
    let given = given_names(&given, &cluster.settings.name).map(str::to_owned);
    let wanted: BTreeSet<String> = meshes
        .iter()
        .flat_map(|mesh| &mesh.spec.clusters)
        .map(|listed| listed.name.clone())
        .filter(|name| *name != cluster.settings.name)
        .chain(given)
        .collect();
    look_at_trust(&meshes, &mut status);
    let agents = ask_all(cluster, "tombolo", "agent").await?;
    let mirrors = match status.access_information.service_type.is_empty() {
        true => Vec::new(),
        false => ask_all(cluster, API, "kvstoremesh").await?,
    };
    status.kvstoremesh.enabled = !mirrors.is_empty();
    status.kvstoremesh.total = mirrors.len();
    status.kvstoremesh.clusters = count(&wanted, &mirrors);
    // Nobody is told of a cluster that is not trusted, and why it is not has been said.
    let trusted = trusted(&wanted, &meshes);
    judge_agents(cluster, &wanted, &agents, &mut status);
    let namespace = &cluster.at.namespace;
    for (container, asked) in [("agent", &agents), ("kvstoremesh", &mirrors)] {
        judge(
            container,
            &cluster.option,
            namespace,
            &trusted,
            asked,
            &mut status.errors,
        );
    }
    status.success = status.errors.is_empty();
    Ok(status)
}

async fn look_at_access(cluster: &Cluster, status: &mut Status) -> Result<()> {
    let (client, namespace) = (&cluster.client, &cluster.at.namespace);
    let get = async |api: Api, name: &str| -> Result<Option<Value>> {
        let found = client.get(api, &api.name(namespace, name)).await?;
        Ok(found.map(|item| item.read()).transpose()?)
    };
    let option = &cluster.option;
    let Some(service) = get(Api::SERVICES, API).await? else {
        status.errors.push(problem(
            format!("there is no Service {API}: no other cluster can learn of this one"),
            format!("`tombolo clustermesh enable{option}` makes it"),
        ));
        return Ok(());
    };
    let access = &mut status.access_information;
    access.service_type = service["spec"]["type"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let deployment = get(Api::DEPLOYMENTS, API).await?.unwrap_or_default();
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
    access.ready = ready >= wanted;
    let secret = Api::SECRETS.name(namespace, SecretName::OWN);
    if let Some(item) = client.get(Api::SECRETS, &secret).await? {
        let text = data(&item)?.remove(ID_KEY).unwrap_or_default();
        if let Ok(introduction) = Introduction::peek(&text) {
            access.endpoints = introduction.endpoints;
        }
    }
    if access.endpoints.is_empty() {
        let hint = match access.service_type.as_str() {
            "LoadBalancer" => format!(
                "its Service has no address yet: see `kubectl{option} -n {namespace} describe service {API}`"
            ),
            _ => format!("see `kubectl{option} -n {namespace} logs deployment/tombolo-operator`"),
        };
        status.errors.push(problem(
            "it is not known where other clusters reach the mesh API".into(),
            hint,
        ));
    }
    if ready < wanted {
        status.errors.push(problem(
            format!("{ready} of {wanted} replicas of Deployment {API} are ready"),
            format!("see `kubectl{option} -n {namespace} describe deployment {API}` and the logs of its pods"),
        ));
    }
    Ok(())
}

fn look_at_trust(meshes: &[mesh::Mesh], status: &mut Status) {
    for mesh in meshes {
        for listed in &mesh.spec.clusters {
            let of = mesh
                .status
                .clusters
                .iter()
                .find(|status| status.name == listed.name);
            match of {
                None => status.errors.push(problem(
                    format!(
                        "the operator has not looked at {} of ClusterMesh {} yet",
                        listed.name, mesh.metadata.name
                    ),
                    "see the log of Deployment tombolo-operator if that stays".into(),
                )),
                Some(of) => {
                    if let Some(mistake) = of.mistake() {
                        let (sentence, hint) = mistake
                            .message
                            .split_once("\n")
                            .unwrap_or((&mistake.message, ""));
                        let sentence = sentence.trim_end_matches(" To put it right:");
                        status.errors.push(problem(
                            format!("{}: {sentence}", listed.name),
                            hint.to_owned(),
                        ));
                    }
                }
            }
        }
    }
}

/// The pods of this name, and what the container of theirs says.
async fn ask_all(cluster: &Cluster, name: &str, container: &str) -> Result<Vec<Asked>> {
    let selection = Selection::all(Api::PODS)
        .within(&cluster.at.namespace)
        .labels(&format!("app.kubernetes.io/name={name}"));
    let mut pods = cluster.client.list(&selection).await?.into_iter();
    let nodes = cluster.client.list(&Selection::all(Api::NODES)).await?;
    let nodes = nodes.iter().map(|item| {
        let node: Node = item.read()?;
        Ok((item.name().name.as_str(), node.is_silent()))
    });
    let nodes: BTreeMap<&str, bool> = nodes.collect::<Result<_>>()?;
    let (mut asking, mut all) = (JoinSet::new(), Vec::new());
    loop {
        while asking.len() < AT_ONCE
            && let Some(item) = pods.next()
        {
            let pod: Pod = item.read()?;
            // What ended stays listed for a while, and another one has its place; so does what was on a node that is gone.
            let has_ended = ["Failed", "Succeeded"].contains(&pod.status.phase.as_str());
            let node = pod.spec.node_name.as_str();
            if has_ended || !(node.is_empty() || nodes.contains_key(node)) {
                continue;
            }
            let client = cluster.client.clone();
            let (name, container) = (item.name().clone(), container.to_owned());
            let is_silent = nodes.get(node).copied().unwrap_or(false);
            let silent_node = is_silent.then(|| node.to_owned());
            asking.spawn(async move {
                let peers = ask(&client, &name, &container, &pod).await;
                let name = name.name;
                Asked {
                    name,
                    silent_node,
                    peers,
                }
            });
        }
        match asking.join_next().await {
            Some(asked) => all.push(asked?),
            None => break,
        }
    }
    all.sort_by(|a: &Asked, b: &Asked| a.name.cmp(&b.name));
    Ok(all)
}

async fn ask(
    client: &tombolo_k8s::Client,
    name: &ObjectName,
    container: &str,
    pod: &Pod,
) -> Result<Vec<PeerStatus>, String> {
    let port = pod.spec.containers.iter().find(|has| has.name == container);
    let port = port.and_then(|has| has.ports.first());
    let page = match (pod.trouble(container), port) {
        (Some(trouble), _) => Err(trouble),
        (None, None) => Err(format!("it has no container `{container}`")),
        (None, Some(port)) => {
            let page = client.pod_page(name, port.container_port, "/status");
            match timeout(PATIENCE, page).await {
                Ok(page) => page.map_err(|error| error.to_string()),
                Err(_) => Err(format!("nothing came for {} s", PATIENCE.as_secs())),
            }
        }
    };
    let page: Page = serde_json::from_str(&page?)
        .map_err(|error| format!("its answer is not understood: {error}"))?;
    Ok(page.peers)
}

impl Node {
    /// Its kubelet has not been heard of for so long that nobody knows how it is.
    fn is_silent(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|condition| condition.r#type == "Ready" && condition.status == "Unknown")
    }
}

impl Pod {
    /// Why the container can't be asked.
    fn trouble(&self, container: &str) -> Option<String> {
        let status = self.status.container_statuses.iter();
        let mut status = status.filter(|status| status.name == container);
        match status.next() {
            None => Some(format!("its pod is {}", self.status.phase.to_lowercase())),
            Some(status) if status.state.running.is_none() => {
                let waiting = status.state.waiting.as_ref();
                let reason = waiting.map_or("ended", |waiting| &waiting.reason);
                Some(format!("its container does not run ({reason})"))
            }
            Some(_) => None,
        }
    }
}

/// Of each cluster that is wanted or told of.
fn count(wanted: &BTreeSet<String>, asked: &[Asked]) -> BTreeMap<String, Count> {
    let mut counts: BTreeMap<String, Count> = wanted
        .iter()
        .map(|name| (name.clone(), Count::default()))
        .collect();
    for peer in asked
        .iter()
        .filter_map(|asked| asked.peers.as_ref().ok())
        .flatten()
    {
        let count = counts.entry(peer.cluster.clone()).or_default();
        count.configured += 1;
        count.connected += usize::from(peer.ready);
        count.seconds_behind = count.seconds_behind.max(peer.stale_seconds.unwrap_or(0));
        let services = peer.records.get(Resource::Services.word()).copied();
        count.global_services = count.global_services.max(services.unwrap_or(0));
        count.certificate_days = match (count.certificate_days, peer.certificate_days) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    counts
}

fn judge_agents(
    cluster: &Cluster,
    wanted: &BTreeSet<String>,
    agents: &[Asked],
    status: &mut Status,
) {
    let namespace = &cluster.at.namespace;
    let option = &cluster.option;
    let connected = |asked: &Asked| {
        let ready = asked.peers.iter().flatten().filter(|peer| peer.ready);
        ready.filter(|peer| wanted.contains(&peer.cluster)).count()
    };
    let counts: Vec<_> = agents.iter().map(connected).collect();
    status.connectivity = Connectivity {
        connected: Spread {
            min: counts.iter().copied().min().unwrap_or(0),
            avg: counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64,
            max: counts.iter().copied().max().unwrap_or(0),
        },
        clusters: count(wanted, agents),
        total: agents.len(),
        not_ready: counts.iter().filter(|count| **count < wanted.len()).count(),
    };
    if agents.is_empty() {
        status.errors.push(problem(
            "no node has an agent".into(),
            format!("see `kubectl{option} -n {namespace} describe daemonset tombolo`"),
        ));
    }
}

fn trusted(wanted: &BTreeSet<String>, meshes: &[mesh::Mesh]) -> BTreeSet<String> {
    let statuses = || meshes.iter().flat_map(|mesh| &mesh.status.clusters);
    let is_mistaken =
        |name: &String| statuses().any(|of| of.name == *name && of.mistake().is_some());
    let trusted = wanted.iter().filter(|name| !is_mistaken(name));
    trusted.cloned().collect()
}

fn judge(
    container: &str,
    option: &str,
    namespace: &str,
    wanted: &BTreeSet<String>,
    all: &[Asked],
    errors: &mut Vec<Problem>,
) {
    for Asked {
        name,
        silent_node,
        peers,
    } in all
    {
        if let (Some(node), Err(_)) = (silent_node, peers) {
            errors.push(problem(
                format!("node {node} is silent, and so is {name} on it"),
                format!(
                    "if that machine is gone, `kubectl{option} delete node {node}` has it forgotten"
                ),
            ));
            continue;
        }
        let log = format!("see `kubectl{option} -n {namespace} logs {name} -c {container}`");
        let peers = match peers {
            Ok(peers) => peers,
            Err(why) => {
                errors.push(problem(
                    format!("{name} does not say how it stands: {why}"),
                    log,
                ));
                continue;
            }
        };
        for cluster in wanted {
            let peer = peers.iter().find(|peer| peer.cluster == *cluster);
            let sentence = match peer {
                None => format!("{name} has not been told of {cluster} yet"),
                Some(peer) if !peer.ready => {
                    let why = peer.trouble.clone().unwrap_or_else(|| peer.phase.clone());
                    format!("{name} is not connected to {cluster}: {why}")
                }
                Some(peer)
                    if peer
                        .certificate_days
                        .is_some_and(|days| days < CERTIFICATE_DAYS_MIN) =>
                {
                    let days = peer.certificate_days.unwrap_or(0);
                    format!(
                        "the certificate of {name} for {cluster} ends in {days} days and was not renewed"
                    )
                }
                Some(_) => continue,
            };
            let hint = peer
                .map(|peer| peer.hint.clone())
                .filter(|hint| !hint.is_empty());
            errors.push(problem(
                sentence,
                hint.map_or(log.clone(), |hint| format!("{hint}; {log}")),
            ));
        }
    }
}

fn problem(sentence: String, hint: String) -> Problem {
    Problem { sentence, hint }
}
