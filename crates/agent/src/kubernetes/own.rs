//! What the node is in Kubernetes: learnt before the start, told after it.

use std::{fs, io, net::IpAddr, path::Path, time::Duration};

use anyhow::{Result, bail};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{select, sync::mpsc, time::sleep};
use tombolo_control::{Feed, stamp, stamp_now};
use tombolo_k8s::client::{Api, Error, Item, Selection};
use tombolo_model::{
    config::Config,
    event::Event,
    fact::Fact,
    local::{Failure, FailureCode, Reply, Request},
};

use super::{Kubernetes, forms};
use crate::node::{Command, answer, ask};

/// How long a start waits for an API server, where an earlier one has left what it was told.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(2);
/// Whether pods are left on ranges that are no more the node's.
const RECHECK: Duration = Duration::from_secs(10);
/// In the words of server-side apply.
const MANAGER: &str = "tombolo-agent";
/// Keeps pods away until the agent runs.
const TAINT: &str = "node.cilium.io/agent-not-ready";
const RANGES: &str = "this node's ranges";
const TELLING: &str = "telling of this node";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    pub addresses: Vec<IpAddr>,
    pub pod_ranges: Vec<IpNet>,
    #[serde(default)]
    pub zone: Option<String>,
}

impl Own {
    fn is_known(&self) -> bool {
        !self.addresses.is_empty() && !self.pod_ranges.is_empty()
    }
}

fn feeds(kubernetes: &Kubernetes) -> (Feed, Feed) {
    let feed = |api| {
        let selection = Selection::one(api, "", &kubernetes.node);
        Feed::new(&kubernetes.client, selection, &kubernetes.troubles)
    };
    (feed(Api::NODES), feed(Api::CILIUM_NODES))
}

/// What is told by options counts; the rest is Kubernetes'.
pub async fn learn(kubernetes: &Kubernetes, told: &Own) -> Own {
    let remembered = load(&kubernetes.memory).filter(Own::is_known);
    let (mut nodes, mut described) = feeds(kubernetes);
    let mut own = told.clone();
    own.zone = remembered.as_ref().and_then(|own| own.zone.clone());
    // Whoever is heard counts more than what is remembered: the ranges may be another node's now.
    let mut heard = false;
    let patience = sleep(PATIENCE);
    tokio::pin!(patience);
    while !own.is_known() {
        select! {
            change = nodes.next() => if let Ok(Event::Upsert(_, item)) = change {
                let node: forms::Node = item.read().unwrap_or_default();
                own.zone = node.zone().map(str::to_owned);
                if told.addresses.is_empty() {
                    own.addresses = node.internal();
                }
            },
            change = described.next() => match change {
                Ok(Event::Upsert(_, item)) => {
                    heard = true;
                    let node: forms::CiliumNode = item.read().unwrap_or_default();
                    own.pod_ranges = first_of_each_family(&node.spec.ipam.pod_ranges);
                    if own.pod_ranges.is_empty() {
                        kubernetes.troubles.set(RANGES, no_ranges(&item));
                    }
                }
                Ok(Event::Synced) if own.pod_ranges.is_empty() => {
                    heard = true;
                    kubernetes.troubles.set(RANGES, "the operator has not given any yet: does it run? (`kubectl get ciliumnodes` shows what it has given)");
                }
                _ => {}
            },
            () = &mut patience, if remembered.is_some() && !heard => {
                let remembered = remembered.expect("asked for before");
                tracing::warn!("the API server is not heard: the node starts as what it was");
                return remembered;
            }
        }
    }
    kubernetes.troubles.clear(RANGES);
    remember(kubernetes, &own);
    own
}

fn remember(kubernetes: &Kubernetes, own: &Own) {
    if let Err(error) = save(&kubernetes.memory, own) {
        tracing::warn!(%error, "what the node is can't be remembered: a start without an API server will wait");
    }
}

/// Why, in the operator's words if it has any.
fn no_ranges(item: &Item) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Told {
        status: Status,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        conditions: Vec<Condition>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Condition {
        r#type: String,
        status: String,
        message: String,
    }
    let told: Told = item.read().unwrap_or_default();
    let refused = told
        .status
        .conditions
        .into_iter()
        .find(|condition| condition.r#type == "RangesGiven" && condition.status == "False");
    refused.map_or_else(
        || "the operator has not given any yet: does it run?".into(),
        |refused| refused.message,
    )
}

fn first_of_each_family(ranges: &[IpNet]) -> Vec<IpNet> {
    let mut found: Vec<IpNet> = Vec::new();
    for range in ranges {
        let family = range.addr().is_ipv4();
        if found.iter().all(|other| other.addr().is_ipv4() != family) {
            found.push(*range);
        }
    }
    found
}

fn load(file: &Path) -> Option<Own> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn save(file: &Path, own: &Own) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = file.with_extension("new");
    fs::write(&draft, serde_json::to_vec(own)?)?;
    fs::rename(draft, file)
}

/// Why nobody can be served yet. The runtime tries again.
pub fn refusal(kubernetes: &Kubernetes) -> Failure {
    let trouble = kubernetes.troubles.all().into_iter().next();
    Failure {
        code: FailureCode::Unavailable,
        message: "the agent does not know yet which addresses this node's pods may have".into(),
        hint: trouble.map_or_else(
            || "wait a moment, and try again".into(),
            |(about, trouble)| format!("{about}: {trouble}"),
        ),
    }
}

/// Tells of the node, and tells again what others undo. Ends only when a start anew would make the node what it has become.
pub async fn keep(
    kubernetes: &Kubernetes,
    config: &Config,
    commands: &mpsc::Sender<Command>,
    facts: &mpsc::Sender<Vec<Fact>>,
) -> Result<()> {
    // Ready is who answers.
    while answer(commands, Command::Alive).await.is_none() {
        sleep(RETRY).await;
    }
    let (mut nodes, mut described) = feeds(kubernetes);
    let (mut node, mut description) = (None, None);
    let mut again = false;
    let mut zone = config.zone.clone();
    loop {
        select! {
            change = nodes.next() => match change {
                Ok(Event::Upsert(_, item)) => {
                    let form: forms::Node = item.read().unwrap_or_default();
                    move_to(kubernetes, config, facts, form.zone(), &mut zone).await;
                    kubernetes.leaves.set(form.leaves());
                    node = Some(item);
                }
                Ok(Event::Delete(_)) => {
                    kubernetes.leaves.set(true);
                    node = None;
                }
                _ => continue,
            },
            change = described.next() => match change {
                Ok(Event::Upsert(_, item)) => description = Some(item),
                Ok(Event::Delete(_)) => description = None,
                _ => continue,
            },
            () = sleep(RETRY), if again => {}
            () = sleep(RECHECK) => {}
        }
        let mut told = Ok(());
        if let Some(item) = &description {
            check_ranges(kubernetes, config, commands, item).await?;
            told = describe(kubernetes, config, item).await;
        }
        if let (Ok(()), Some(item)) = (&told, &node) {
            told = make_ready(kubernetes, item).await;
        }
        again = told.is_err();
        match told {
            Ok(()) => kubernetes.troubles.clear(TELLING),
            Err(error) => kubernetes.troubles.set(TELLING, error.to_string()),
        }
    }
}

/// The node may have been put into another zone.
async fn move_to(
    kubernetes: &Kubernetes,
    config: &Config,
    facts: &mpsc::Sender<Vec<Fact>>,
    now: Option<&str>,
    zone: &mut Option<String>,
) {
    if zone.as_deref() == now {
        return;
    }
    tracing::info!(
        zone = now.unwrap_or_default(),
        "the node is in another zone"
    );
    *zone = now.map(str::to_owned);
    let own = Own {
        addresses: config.addresses.clone(),
        pod_ranges: config.pod_ranges.clone(),
        zone: zone.clone(),
    };
    remember(kubernetes, &own);
    // Who has ended needs no zone.
    let _ = facts.send(vec![Fact::Zone(own.zone)]).await;
}

/// A node that was taken out of the cluster and put in again may have been given other ranges. Without pods it starts anew
/// with them, by itself.
async fn check_ranges(
    kubernetes: &Kubernetes,
    config: &Config,
    commands: &mpsc::Sender<Command>,
    item: &Item,
) -> Result<()> {
    let node: forms::CiliumNode = item.read().unwrap_or_default();
    let given = first_of_each_family(&node.spec.ipam.pod_ranges);
    if given.is_empty() || given == config.pod_ranges {
        kubernetes.troubles.clear(RANGES);
        return Ok(());
    }
    let list = |ranges: &[IpNet]| {
        let texts: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
        texts.join(", ")
    };
    let (given, used) = (list(&given), list(&config.pod_ranges));
    let pods = ask(commands, Request::EndpointList).await;
    if matches!(pods, Some(Reply::Endpoints { endpoints }) if endpoints.is_empty()) {
        bail!(
            "the node has been given the ranges {given} in the place of {used}: the agent must start anew"
        );
    }
    let trouble = format!(
        "the node has been given {given} and works with {used}: drain it, and the agent starts anew with what was given"
    );
    kubernetes.troubles.set(RANGES, trouble);
    Ok(())
}

/// How others reach the node, and that it works.
async fn describe(kubernetes: &Kubernetes, config: &Config, item: &Item) -> Result<(), Error> {
    let mut addresses: Vec<Value> = config
        .addresses
        .iter()
        .map(|ip| json!({"type": "InternalIP", "ip": ip}))
        .collect();
    let routers = config.router();
    addresses.extend(
        routers
            .iter()
            .map(|ip| json!({"type": "CiliumInternalIP", "ip": ip})),
    );
    let now: Value = item.read().unwrap_or_default();
    if now["spec"]["addresses"] != json!(addresses) {
        let patch = json!({"spec": {"addresses": addresses}});
        kubernetes
            .client
            .patch(Api::CILIUM_NODES, item.name(), &patch)
            .await?;
    }
    let node: forms::CiliumNode = item.read().unwrap_or_default();
    let is_ready =
        |condition: &forms::Condition| condition.r#type == "Ready" && condition.status == "True";
    if !node.status.conditions.iter().any(is_ready) {
        let status = condition("Ready", "True", "AgentRuns", "the agent has pods attached");
        kubernetes
            .client
            .apply_status(Api::CILIUM_NODES, item.name(), MANAGER, &status)
            .await?;
    }
    Ok(())
}

/// Lets pods come to the node.
async fn make_ready(kubernetes: &Kubernetes, item: &Item) -> Result<(), Error> {
    let node: forms::Node = item.read().unwrap_or_default();
    let is_told = |condition: &forms::Condition| {
        condition.r#type == "NetworkUnavailable" && condition.status == "False"
    };
    if !node.status.conditions.iter().any(is_told) {
        let status = condition(
            "NetworkUnavailable",
            "False",
            "TomboloIsUp",
            "Tombolo is running on this node",
        );
        kubernetes
            .client
            .apply_status(Api::NODES, item.name(), MANAGER, &status)
            .await?;
    }
    let taints = node.spec.taints;
    let others: Vec<&Value> = taints
        .iter()
        .filter(|taint| taint["key"] != TAINT)
        .collect();
    if others.len() != taints.len() {
        // Of this very version: a taint that somebody adds meanwhile stays.
        let patch = json!({
            "metadata": {"resourceVersion": item.version()},
            "spec": {"taints": others},
        });
        let patched = kubernetes
            .client
            .patch(Api::NODES, item.name(), &patch)
            .await;
        match patched {
            // What it is now comes by the watch.
            Err(Error::Conflict { .. }) => {}
            patched => drop(patched?),
        }
        tracing::info!("the node's taint {TAINT} is taken off: pods may come");
    }
    Ok(())
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"conditions": [{
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp(stamp_now()),
    }]})
}
