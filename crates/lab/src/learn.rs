//! Telling agents of the pods elsewhere, by whatever way this lab has, and waiting until they know.

use crate::{
    Error,
    error::Result,
    facts::{Facts, each},
    inside, mesh, objects,
    plan::{Mesh, NodeId, cluster_name, host_prefix},
    state::{Role, State},
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};
use tombolo_model::local::{AddressView, Reply, Request};

/// For verbs that end when all agents know.
pub const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);
/// Identities of pods begin here; below are those of hosts and the world.
const FIRST_OF_PODS: u32 = 256;

/// Where a prefix leads, as an agent shows it.
type Place = (IpNet, u32, String);

/// Tells of the pods of a node as they are now.
pub fn tell(state: &State, changed: NodeId) -> Result<()> {
    match state.shape.mesh {
        Mesh::Facts => tell_all(state),
        Mesh::Direct | Mesh::Kvstoremesh => objects::write_pods(state, changed),
    }
}

pub fn tell_all(state: &State) -> Result<()> {
    match state.shape.mesh {
        Mesh::Facts => {
            let nodes = state.shape.nodes();
            nodes
                .filter(|node| state.process(*node, Role::Init).is_ok())
                .try_for_each(|node| write_facts(state, node))
        }
        Mesh::Direct | Mesh::Kvstoremesh => {
            let mut clusters = state.shape.clusters();
            clusters.try_for_each(|cluster| objects::write_all(state, cluster))
        }
    }
}

pub fn write_facts(state: &State, node: NodeId) -> Result<()> {
    Facts::of(state, node).write(&state.path_in(node, inside::FACTS)?)
}

/// Waits until each of the agents knows all pods elsewhere and no others; gives back after how long each did.
pub fn wait(
    state: &State,
    nodes: &[NodeId],
    patience: Duration,
) -> Result<Vec<(NodeId, Duration)>> {
    let start = Instant::now();
    let mut waiting: BTreeMap<NodeId, BTreeSet<Place>> = nodes
        .iter()
        .map(|node| (*node, expected(state, *node)))
        .collect();
    let mut learnt = Vec::new();
    loop {
        let mut differences = Vec::new();
        for (node, expected) in waiting.clone() {
            let shown = shown(state, node)?;
            if shown == expected {
                waiting.remove(&node);
                learnt.push((node, start.elapsed()));
            } else {
                differences.push((node, difference(&expected, &shown)));
            }
        }
        if differences.is_empty() {
            return Ok(learnt);
        }
        if start.elapsed() > patience {
            let all = differences
                .iter()
                .map(|(node, difference)| format!("{node} {difference}"));
            return Err(Error::NotLearnt {
                seconds: patience.as_secs(),
                differences: all.collect::<Vec<_>>().join("; "),
            });
        }
        thread::sleep(POLL);
    }
}

fn expected(state: &State, node: NodeId) -> BTreeSet<Place> {
    let pods = state.pods.iter();
    let elsewhere = pods.filter(|(pod, _)| pod.node != node);
    let known =
        elsewhere.filter(|(pod, _)| mesh::acquainted(state, node.cluster, pod.node.cluster));
    let places = known.flat_map(|(id, pod)| {
        let place = format!("remote {}/{}", cluster_name(id.node.cluster), id.node);
        each(pod.addresses).map(move |address| (host_prefix(address), pod.identity, place.clone()))
    });
    places.collect()
}

fn shown(state: &State, node: NodeId) -> Result<BTreeSet<Place>> {
    // An agent that ends meanwhile is the caller's to find.
    let Ok(Reply::Addresses { addresses }) = state.api(node)?.ask(&Request::AddressList) else {
        return Ok(BTreeSet::new());
    };
    let of_pod =
        |view: &AddressView| view.place.starts_with("remote ") && view.identity.0 >= FIRST_OF_PODS;
    let pods = addresses.into_iter().filter(of_pod);
    Ok(pods
        .map(|view| (view.prefix, view.identity.0, view.place))
        .collect())
}

/// What an agent does not know, or should no longer know.
pub fn trouble(state: &State, node: NodeId) -> Result<Option<String>> {
    let (expected, shown) = (expected(state, node), shown(state, node)?);
    Ok((expected != shown).then(|| difference(&expected, &shown)))
}

fn difference(expected: &BTreeSet<Place>, shown: &BTreeSet<Place>) -> String {
    let first = |more: &BTreeSet<Place>, less: &BTreeSet<Place>| {
        more.difference(less)
            .next()
            .map(|(prefix, _, place)| format!("{prefix} at {place}"))
    };
    match (first(expected, shown), first(shown, expected)) {
        (Some(missing), _) => format!("does not know {missing}"),
        (None, Some(stale)) => format!("still knows {stale}"),
        (None, None) => "knows all".into(),
    }
}

/// Who knew after how long, the clusters in their order.
pub fn words(learnt: &[(NodeId, Duration)]) -> String {
    let mut learnt = learnt.to_vec();
    learnt.sort();
    let words = learnt
        .iter()
        .map(|(node, after)| format!("{node} after {} ms", after.as_millis()));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
