//! Ranges of pods: each node gets its own of the cluster's pools, as `spec.ipam.podCIDRs` of its CiliumNode.

pub mod pool;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Result;
use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{select, time::sleep};
use tombolo_k8s::client::{Api, Error, Item, MANAGER, ObjectName, Selection, WatchChange};
use tombolo_model::event::Event;

use super::Operator;
use crate::{
    Feed, Notice,
    stamp::{now, stamp},
};
use pool::{Family, Other, Ranges};

/// Between two attempts to write what could not be written.
const RETRY: Duration = Duration::from_secs(2);
const ABOUT: &str = "ranges of nodes";

#[derive(Args, Clone, Debug, Default)]
pub struct RangeOptions {
    /// Ranges that the nodes' IPv4 ranges are cut from
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_POOL_IPV4",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub cluster_pool_ipv4: Vec<IpNet>,
    /// Prefix length of a node's IPv4 range
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_POOL_IPV4_MASK_SIZE",
        value_name = "BITS",
        default_value_t = 24
    )]
    pub cluster_pool_ipv4_mask_size: u8,
    /// Ranges that the nodes' IPv6 ranges are cut from
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_POOL_IPV6",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub cluster_pool_ipv6: Vec<IpNet>,
    /// Prefix length of a node's IPv6 range
    #[arg(
        long,
        env = "TOMBOLO_CLUSTER_POOL_IPV6_MASK_SIZE",
        value_name = "BITS",
        default_value_t = 120
    )]
    pub cluster_pool_ipv6_mask_size: u8,
    /// Ranges of the cluster's services, where the API server does not tell them as ServiceCIDR
    #[arg(
        long,
        env = "TOMBOLO_SERVICE_RANGE",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub service_range: Vec<IpNet>,
}

impl RangeOptions {
    pub fn families(&self) -> Result<Vec<Family>> {
        let v4 = Family::new(
            "--cluster-pool-ipv4",
            &self.cluster_pool_ipv4,
            self.cluster_pool_ipv4_mask_size,
            false,
        )?;
        let v6 = Family::new(
            "--cluster-pool-ipv6",
            &self.cluster_pool_ipv6,
            self.cluster_pool_ipv6_mask_size,
            true,
        )?;
        Ok(v4.into_iter().chain(v6).collect())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeForm {
    spec: NodeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    ipam: Ipam,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    #[serde(rename = "podCIDRs")]
    pod_ranges: Vec<IpNet>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceForm {
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    cidrs: Vec<IpNet>,
}

/// What the cluster has, as far as it has been told.
struct Ledger {
    ranges: Ranges,
    /// Kubernetes' nodes, with their uid.
    nodes: BTreeMap<String, String>,
    /// Those that have a CiliumNode.
    described: BTreeSet<String>,
    services: BTreeMap<String, Vec<IpNet>>,
    service_option: Vec<IpNet>,
    synced: BTreeSet<&'static str>,
    /// Nodes that may lack something.
    todo: BTreeSet<String>,
    seen: BTreeMap<&'static str, BTreeSet<String>>,
    /// What each node's description says of its ranges, so that it is said once.
    told: BTreeMap<String, String>,
}

/// Gives for ever.
pub async fn run(operator: &Operator) {
    let families = operator.options.ranges.families().unwrap_or_default();
    let Ok(ranges) = Ranges::new(families) else {
        // Another one gives ranges: nothing to do here.
        return std::future::pending().await;
    };
    let feed = |api| Feed::new(&operator.client, Selection::all(api), &operator.troubles);
    let mut nodes = feed(Api::NODES);
    let mut described = feed(Api::CILIUM_NODES);
    let mut services = feed(Api::SERVICE_CIDRS);
    let mut others = operator.others.subscribe();
    others.mark_changed();
    let mut ledger = Ledger::new(ranges, &operator.options.ranges.service_range);
    let mut again = false;
    loop {
        select! {
            change = nodes.next() => ledger.node(change),
            change = described.next() => ledger.description(change),
            change = services.next() => ledger.service(change),
            Ok(()) = others.changed() => ledger.clusters(&others.borrow_and_update()),
            () = sleep(RETRY), if again => {}
        }
        // What is known of others counts before anything is given.
        if ledger.synced.len() == 3 {
            again = !ledger.settle(operator).await;
            operator.shown.lock().nodes = ledger.ranges.nodes();
        }
    }
}

impl Ledger {
    fn new(ranges: Ranges, service_option: &[IpNet]) -> Ledger {
        Ledger {
            ranges,
            nodes: BTreeMap::new(),
            described: BTreeSet::new(),
            services: BTreeMap::new(),
            service_option: service_option.to_vec(),
            synced: BTreeSet::new(),
            todo: BTreeSet::new(),
            seen: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    fn node(&mut self, change: WatchChange) {
        match self.framed("nodes", change) {
            Framed::Upsert(name, item) => {
                let uid = item.uid().to_owned();
                if self.nodes.insert(name.clone(), uid.clone()) != Some(uid) {
                    self.todo.insert(name);
                }
            }
            Framed::Gone(names) => {
                for name in names {
                    self.nodes.remove(&name);
                    self.todo.insert(name);
                }
            }
            Framed::Nothing => {}
        }
    }

    fn description(&mut self, change: WatchChange) {
        match self.framed("ciliumnodes", change) {
            Framed::Upsert(name, item) => {
                let form: NodeForm = item.read().unwrap_or_default();
                self.described.insert(name.clone());
                for (range, other) in self.ranges.has(&name, form.spec.ipam.pod_ranges) {
                    tracing::warn!(node = name, %range, other, "two nodes have this range");
                }
                self.todo.insert(name);
            }
            Framed::Gone(names) => {
                for name in names {
                    self.described.remove(&name);
                    self.told.remove(&name);
                    self.ranges.gone(&name);
                    self.todo.insert(name);
                }
            }
            Framed::Nothing => {}
        }
    }

    fn service(&mut self, change: WatchChange) {
        match self.framed("servicecidrs", change) {
            Framed::Upsert(name, item) => {
                let form: ServiceForm = item.read().unwrap_or_default();
                self.services.insert(name, form.spec.cidrs);
            }
            Framed::Gone(names) => names
                .iter()
                .for_each(|name| drop(self.services.remove(name))),
            Framed::Nothing => {}
        }
        let all = self.services.values().flatten().chain(&self.service_option);
        self.ranges.others(Other::Services, all.copied().collect());
        self.todo.extend(self.nodes.keys().cloned());
    }

    fn clusters(&mut self, clusters: &BTreeMap<String, Vec<IpNet>>) {
        self.ranges.only_clusters(clusters);
        self.todo.extend(self.nodes.keys().cloned());
    }

    /// Sweeps what a list did not repeat.
    fn framed(&mut self, what: &'static str, change: WatchChange) -> Framed {
        let seen = self.seen.entry(what).or_default();
        match change {
            Err(reject) => {
                tracing::warn!("an object is refused: {reject}");
                Framed::Nothing
            }
            Ok(Event::Restart) => {
                seen.clear();
                Framed::Nothing
            }
            Ok(Event::Upsert(name, item)) => {
                seen.insert(name.name.clone());
                Framed::Upsert(name.name, item)
            }
            Ok(Event::Delete(name)) => {
                seen.remove(&name.name);
                Framed::Gone(vec![name.name])
            }
            Ok(Event::Synced) => {
                let known: Vec<String> = match what {
                    "nodes" => self.nodes.keys().cloned().collect(),
                    "ciliumnodes" => self.described.iter().cloned().collect(),
                    _ => self.services.keys().cloned().collect(),
                };
                self.synced.insert(what);
                Framed::Gone(
                    known
                        .into_iter()
                        .filter(|name| !seen.contains(name))
                        .collect(),
                )
            }
        }
    }

    /// Gives each node what it lacks. False if some of it is to be tried again.
    async fn settle(&mut self, operator: &Operator) -> bool {
        let mut done = true;
        let mut refusals = BTreeSet::new();
        for node in std::mem::take(&mut self.todo) {
            let outcome = match self.nodes.contains_key(&node) {
                true => self.provide(operator, &node, &mut refusals).await,
                false => self.take_back(operator, &node).await,
            };
            if let Err(error) = outcome {
                operator.troubles.set(ABOUT, format!("{node}: {error}"));
                self.todo.insert(node);
                done = false;
            }
        }
        match refusals.into_iter().next() {
            Some(refusal) => operator.troubles.set(ABOUT, refusal),
            None if done => operator.troubles.clear(ABOUT),
            None => {}
        }
        done
    }

    async fn provide(
        &mut self,
        operator: &Operator,
        node: &str,
        refusals: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let name = Api::CILIUM_NODES.name("", node);
        let before = self.ranges.of(node);
        let (given, refusal) = match self.ranges.give(node) {
            Ok(given) => (given, None),
            Err(refusal) => (None, Some(refusal.to_string())),
        };
        if !self.described.contains(node) {
            let uid = self.nodes.get(node).cloned().unwrap_or_default();
            let object = description(node, &uid, given.as_deref().unwrap_or_default());
            let (client, writer) = (&operator.client, &operator.writer);
            match client.make(Api::CILIUM_NODES, &name, writer, &object).await {
                Ok(_) => drop(self.described.insert(node.to_owned())),
                Err(error) => {
                    self.ranges.has(node, before);
                    // What it is comes by the watch.
                    let exists = matches!(error, Error::Conflict { .. });
                    return if exists { Ok(()) } else { Err(error) };
                }
            }
        } else if let Some(given) = &given {
            let patch = json!({"spec": {"ipam": {"podCIDRs": given}}});
            let patched = operator
                .client
                .patch(Api::CILIUM_NODES, &name, &patch)
                .await;
            patched.inspect_err(|_| drop(self.ranges.has(node, before)))?;
        }
        match refusal {
            Some(reason) => {
                refusals.insert(reason.clone());
                self.tell(operator, &name, false, &reason).await?;
            }
            None if given.is_some() => {
                self.tell(operator, &name, true, "the node has ranges of its own")
                    .await?;
                tracing::info!(node, "the node has its ranges");
            }
            None => {}
        }
        Ok(())
    }

    /// For people: as a condition of its description, and as an event of the node.
    async fn tell(
        &mut self,
        operator: &Operator,
        name: &ObjectName,
        given: bool,
        message: &str,
    ) -> Result<(), Error> {
        if self
            .told
            .get(&name.name)
            .is_some_and(|told| told == message)
        {
            return Ok(());
        }
        let reason = if given { "Given" } else { "NoRange" };
        let status = json!({"conditions": [{
            "type": "RangesGiven",
            "status": if given { "True" } else { "False" },
            "reason": reason,
            "message": message,
            "lastTransitionTime": stamp(now()),
        }]});
        let client = &operator.client;
        match client
            .apply_status(Api::CILIUM_NODES, name, MANAGER, &status)
            .await
        {
            // It may be gone meanwhile.
            Err(Error::NotFound { .. }) => return Ok(()),
            told => drop(told?),
        }
        self.told.insert(name.name.clone(), message.to_owned());
        let notice = Notice {
            api: Api::NODES,
            name,
            uid: self.nodes.get(&name.name).map_or("", String::as_str),
            warning: !given,
            reason: if given {
                "PodRangesGiven"
            } else {
                "NoPodRange"
            },
            action: "GivePodRanges",
            note: message,
        };
        if let Err(error) = notice.tell(client, "operator").await {
            tracing::warn!(node = name.name, %error, "an event could not be told");
        }
        Ok(())
    }

    /// A node that is gone needs no description, and its ranges are free again.
    async fn take_back(&mut self, operator: &Operator, node: &str) -> Result<(), Error> {
        if self.described.contains(node) {
            let name = Api::CILIUM_NODES.name("", node);
            operator
                .client
                .delete(Api::CILIUM_NODES, &name, None)
                .await?;
            tracing::info!(node, "the node is gone, and its ranges are free");
        }
        Ok(())
    }
}

enum Framed {
    Upsert(String, Item),
    Gone(Vec<String>),
    Nothing,
}

/// It goes when its node goes.
fn description(node: &str, uid: &str, ranges: &[IpNet]) -> Value {
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {
            "name": node,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}],
        },
        "spec": {"ipam": {"podCIDRs": ranges}},
    })
}
