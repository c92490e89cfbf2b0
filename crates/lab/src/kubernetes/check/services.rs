//! A Service of the same name in every cluster, annotated as global: a pod calls its address there, and all clusters answer.

use super::{
    Report,
    pods::{NAME, Pod},
};
use crate::{
    ask::Asked,
    error::Result,
    kubernetes::{api::Api, at_once::at_once, kubectl::Kubectl},
    state::State,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

const CALLS: usize = 100;
const PORT: u16 = 80;
/// Until the agents of all clusters know what the others offer.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// What came of calling a cluster's address of the service.
#[derive(Debug, Serialize)]
pub struct Calls {
    pub from: String,
    pub address: String,
    pub calls: usize,
    /// By cluster.
    pub answered: BTreeMap<String, usize>,
}

/// With pods that answer already: each cluster's first one calls.
pub fn check(state: &State, pods: &[Pod], report: &mut Report) -> Result<()> {
    let clusters: BTreeSet<&str> = pods.iter().map(|pod| pod.cluster.as_str()).collect();
    let mut callers: Vec<&Pod> = pods.iter().collect();
    callers.sort_by_key(|pod| pod.number);
    callers.dedup_by_key(|pod| pod.number);
    let start = Instant::now();
    let called = at_once(&callers, |pod| {
        Kubectl::of(state, pod.number).apply(&service())?;
        Ok((*pod, address(&Api::of(state, pod.number)?)?))
    })?;
    let known = at_once(&called, |(pod, address)| {
        wait_for_all(state, pod, address, &clusters)
    })?;
    if known.into_iter().all(|all| all) {
        report.seen.push(format!(
            "Service {NAME} was answered by all clusters {:.1} s after it was asked for in each",
            start.elapsed().as_secs_f32()
        ));
    }
    for (pod, address) in called {
        let asked = call(state, pod, &address, CALLS)?;
        judge(pod, address, &asked, &clusters, report);
    }
    Ok(())
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": "default",
            "annotations": {"service.cilium.io/global": "true"},
        },
        "spec": {
            "selector": {"app": NAME},
            "ports": [{"name": "http", "port": PORT, "targetPort": 8080}],
        },
    })
}

fn address(api: &Api) -> Result<String> {
    let found = api.get(&format!("/api/v1/namespaces/default/services/{NAME}"))?;
    let address = found["spec"]["clusterIP"].as_str();
    Ok(address.unwrap_or_default().to_owned())
}

/// Whether all have answered before patience ends. That they have not is told by the calls after.
fn wait_for_all(
    state: &State,
    from: &Pod,
    address: &str,
    clusters: &BTreeSet<&str>,
) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = call(state, from, address, clusters.len() * 8)?;
        let answered = tally(&asked);
        if clusters
            .iter()
            .all(|cluster| answered.contains_key(*cluster))
        {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
}

/// Each time by a new connection.
fn call(state: &State, from: &Pod, address: &str, times: usize) -> Result<Vec<Asked>> {
    let url = format!("http://{address}:{PORT}");
    from.ask(state, &["--times".to_owned(), times.to_string(), url])
}

fn tally(asked: &[Asked]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    let clusters = asked
        .iter()
        .filter_map(|asked| asked.answer["cluster"].as_str());
    for cluster in clusters {
        *tally.entry(cluster.to_owned()).or_default() += 1;
    }
    tally
}

pub fn judge(
    from: &Pod,
    address: String,
    asked: &[Asked],
    clusters: &BTreeSet<&str>,
    report: &mut Report,
) {
    let answered = tally(asked);
    let shares: Vec<String> = answered
        .iter()
        .map(|(cluster, calls)| format!("{cluster} {} %", calls * 100 / asked.len().max(1)))
        .collect();
    report.seen.push(format!(
        "{} calls of Service {NAME} at {address} in {} were answered by {}",
        asked.len(),
        from.cluster,
        match shares.is_empty() {
            true => "nobody".to_owned(),
            false => shares.join(", "),
        }
    ));
    let errors = asked.iter().filter_map(|asked| asked.error.as_ref());
    let errors: BTreeSet<&String> = errors.collect();
    let silent = clusters
        .iter()
        .filter(|cluster| !answered.contains_key(**cluster));
    report.failures.extend(errors.into_iter().map(|error| {
        format!(
            "{} ({}) → Service {NAME} at {address}: {error}",
            from.name, from.node
        )
    }));
    report.failures.extend(silent.map(|cluster| {
        format!(
            "{} ({}) → Service {NAME} at {address}: {cluster} never answers; see `tombolo lab exec {} -- tombolo service explain default/{NAME}`",
            from.name, from.node, from.node
        )
    }));
    report.services.push(Calls {
        from: from.cluster.clone(),
        address,
        calls: asked.len(),
        answered,
    });
}
