//! Tombolo on the lab's clusters, by its own chart, as any user installs it.

use super::{API_PORT, api::Api, api_addresses, at_once::at_once, authority, images, kubeconfig};
use crate::{
    Error,
    error::Result,
    inside,
    plan::{NODE_MASK, NODE_MASK_V6},
    process::own_program,
    state::{State, folder},
};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
const NAMESPACE: &str = "kube-system";
/// Many nodes share one machine's memory.
const CONNECTIONS: u32 = 65_536;

/// Installs in all clusters at once, and waits for nothing.
pub fn install(state: &State) -> Result<()> {
    let clusters: Vec<u8> = state.shape.clusters().collect();
    at_once(&clusters, |cluster| install_one(state, *cluster)).map(drop)
}

fn install_one(state: &State, cluster: u8) -> Result<()> {
    let file = write_values(state, cluster)?;
    let name = state.cluster_name(cluster);
    let helm = state.kubernetes.binaries.get("helm");
    let output = Command::new(own_program()?)
        .args(["install", "--context", &name, "--kubeconfig"])
        .arg(kubeconfig::path(&state.name))
        .arg("--values")
        .arg(&file)
        .arg("--helm")
        .arg(helm.expect("a lab remembers its programs"))
        .stdin(Stdio::null())
        .output()
        .map_err(Error::file("start", "tombolo install"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Tool {
        tool: format!(
            "tombolo install --context {name} --values {}",
            file.display()
        ),
        said: said.trim().trim_start_matches("error: ").to_owned(),
    })
}

/// What the chart must be told of this cluster; also for those who upgrade later.
fn write_values(state: &State, cluster: u8) -> Result<PathBuf> {
    let known = &state.kubernetes.clusters[&cluster];
    let [v4, v6] = known.pods;
    let own = images::own();
    let (repository, tag) = own.split_once(':').expect("an image has a tag");
    let values = json!({
        "cluster": {"name": known.name, "id": cluster},
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        // No kube-proxy leads there.
        "k8sServiceHost": api_addresses(state, cluster)[0],
        "k8sServicePort": API_PORT.to_string(),
        "ipv6": {"enabled": true},
        "ipam": {"operator": {
            "clusterPoolIPv4PodCIDRList": [v4],
            "clusterPoolIPv4MaskSize": NODE_MASK,
            "clusterPoolIPv6PodCIDRList": [v6],
            "clusterPoolIPv6MaskSize": NODE_MASK_V6,
        }},
        // Two have no place on one node.
        "operator": {"replicas": state.shape.nodes_per_cluster.min(2)},
        "bpf": {"ctMax": CONNECTIONS},
        "cgroup": {"hostRoot": inside::GROUP},
        // Nor does anything else lead to the mesh's API, but for the addresses of the node that it runs on.
        "clustermesh": {"apiserver": {"hostNetwork": true}},
    });
    let file = folder(&state.name).join(format!("{}.values.json", known.name));
    let text = serde_json::to_string_pretty(&values).expect("values are plain data");
    authority::write(&file, &text)?;
    Ok(file)
}

/// Waits until all that the chart has brought is ready, and the nodes are.
pub fn wait(state: &State) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for cluster in state.shape.clusters() {
        let api = Api::of(state, cluster)?;
        while let Some(what) = trouble(&api)? {
            if Instant::now() > deadline {
                return Err(Error::NotInstalled {
                    cluster: state.cluster_name(cluster),
                    seconds: PATIENCE.as_secs(),
                    what,
                });
            }
            thread::sleep(POLL);
        }
    }
    Ok(())
}

/// What the chart has brought, of a kind.
fn brought(api: &Api, kind: &str) -> Result<Value> {
    let own = "labelSelector=app.kubernetes.io/part-of%3Dtombolo";
    api.get(&format!(
        "/apis/apps/v1/namespaces/{NAMESPACE}/{kind}?{own}"
    ))
}

pub fn is_there(api: &Api) -> Result<bool> {
    Ok(items(&brought(api, "daemonsets")?).next().is_some())
}

/// How many nodes there are, and how many of them are ready.
pub fn nodes(api: &Api) -> Result<(usize, usize)> {
    let nodes = api.get("/api/v1/nodes")?;
    let ready = items(&nodes).filter(|node| is_ready(node)).count();
    Ok((items(&nodes).count(), ready))
}

/// What is not ready yet, if anything is.
pub fn trouble(api: &Api) -> Result<Option<String>> {
    let sets = brought(api, "daemonsets")?;
    let deployments = brought(api, "deployments")?;
    let sets = unready(&sets, "desiredNumberScheduled", "numberReady");
    let deployments = unready(&deployments, "replicas", "readyReplicas");
    if let Some(name) = sets.chain(deployments).next() {
        return Ok(Some(explain(api, &name)?));
    }
    let nodes = api.get("/api/v1/nodes")?;
    let unready = items(&nodes).find(|node| !is_ready(node));
    Ok(unready.map(|node| format!("node {} is not ready", name(node))))
}

/// Names of what has not as many as it should.
fn unready(list: &Value, wanted: &str, ready: &str) -> impl Iterator<Item = String> {
    let unready = items(list).filter(|item| {
        let status = &item["status"];
        let is_seen = status["observedGeneration"] == item["metadata"]["generation"];
        let count = |field: &str| status[field].as_u64().unwrap_or(0);
        !is_seen || count(wanted) == 0 || count(ready) < count(wanted)
    });
    unready.map(name).collect::<Vec<_>>().into_iter()
}

/// Why its pods are not ready, as far as they tell.
fn explain(api: &Api, owner: &str) -> Result<String> {
    let own = format!("labelSelector=app.kubernetes.io/name%3D{owner}");
    let pods = api.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods?{own}"))?;
    Ok(format!("{owner}: {}", waits(&pods)))
}

/// What pods that are not ready wait for, as far as they tell.
pub fn waits(pods: &Value) -> String {
    let waits = items(pods).flat_map(|pod| {
        let status = &pod["status"];
        let kinds = ["initContainerStatuses", "containerStatuses"];
        let containers = kinds.into_iter().filter_map(|kind| status[kind].as_array());
        let waiting = containers
            .flatten()
            .map(|container| &container["state"]["waiting"]);
        // A pod that has no node has no containers either.
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let homeless =
            conditions.filter(|one| one["type"] == "PodScheduled" && one["status"] == "False");
        waiting.chain(homeless).filter_map(move |why| {
            let reason = why["reason"].as_str()?;
            let message = why["message"].as_str().unwrap_or_default();
            Some(format!("{} is in {reason} {message}", name(pod)))
        })
    });
    let why = waits.collect::<Vec<_>>().join("; ");
    match why.trim() {
        "" => "its pods are not ready".to_owned(),
        why => why.to_owned(),
    }
}

pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn name(item: &Value) -> String {
    item["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A node, or a pod.
pub fn is_ready(item: &Value) -> bool {
    let conditions = item["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
