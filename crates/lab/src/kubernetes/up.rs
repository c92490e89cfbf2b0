//! From nothing to clusters of Kubernetes whose nodes are ready.

use super::{
    api::Api,
    authority::{self, Authority},
    control, door, images, install, kubeconfig, names, node,
    room::Room,
};
use crate::{
    Error,
    binaries::{self, Demand, Maker},
    error::Result,
    fabric, machine,
    plan::{Cluster, NodeId, Shape},
    progress::Progress,
    state::{Kubernetes, Lab, Role, State},
    up::{furnish_machines, raise},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

const NODE_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Makes the lab, and gives it back when Tombolo is ready, or without it when all nodes are known to their clusters.
pub fn up(
    name: &str,
    shape: Shape,
    clusters: Vec<Cluster>,
    maker: &Maker,
    with_tombolo: bool,
) -> Result<Lab> {
    crate::plan::check_name(name)?;
    shape.check()?;
    Room::of(shape.clusters.into(), shape.nodes_per_cluster.into()).check()?;
    let mut kubernetes = Kubernetes {
        clusters: (1..).zip(clusters).collect(),
        ..Kubernetes::default()
    };
    kubernetes.binaries = programs(&shape, maker)?;
    kubernetes.doors = shape
        .clusters()
        .zip(door::free_ports(shape.clusters)?)
        .collect();
    let mut installed = Ok(());
    let (lab, progress) = raise(name, shape, kubernetes, |lab, progress| {
        installed = build(lab, progress, with_tombolo)?;
        Ok(())
    })?;
    // Clusters without it are clusters all the same, for those to look around in who want to know why.
    if with_tombolo {
        installed?;
        progress.step("wait until Tombolo is ready", || install::wait(&lab))?;
    }
    progress.done(&format!("lab {name} is up"));
    Ok(lab)
}

fn programs(shape: &Shape, maker: &Maker) -> Result<BTreeMap<String, PathBuf>> {
    let roles = shape
        .machines()
        .flat_map(|machine| Role::of(machine, shape));
    let names: BTreeSet<&str> = roles
        .map(|role| role.name())
        .chain(["kubectl", "helm", "coredns"])
        .collect();
    let wanted: Vec<_> = binaries::ALL
        .iter()
        .filter(|binary| names.contains(binary.name))
        .collect();
    let built = binaries::provide(&wanted, Demand::Series, maker)?;
    let built = built
        .into_iter()
        .map(|found| (found.name.to_owned(), found.path));
    let packaged = binaries::packaged()?;
    Ok(built.chain(packaged).collect())
}

/// The clusters; and what became of installing Tombolo in them.
fn build(lab: &mut Lab, progress: &Progress, with_tombolo: bool) -> Result<Result<()>> {
    let shape = lab.shape;
    progress.step(&format!("lay the {} fabric", shape.fabric), || {
        fabric::make(&lab.name, &shape)
    })?;
    furnish_machines(lab, progress)?;
    progress.step("issue certificates", || found(lab))?;
    let nodes: Vec<NodeId> = shape.nodes().collect();
    let count = nodes.len();
    let objects = shape.kubernetes.unwrap_or_default();
    let servers = [Role::Etcd, Role::Store, Role::KubeApiserver, Role::Door];
    // These are long in starting, and nodes have something to do meanwhile.
    start(lab, &servers)?;
    progress.step(
        &format!("start {count} runtimes with the lab's images"),
        || images::provide(lab, &nodes),
    )?;
    let what = format!("start {} API servers on {objects}", shape.clusters);
    progress.step(&what, || wait(lab, &servers))?;
    let install = if with_tombolo {
        ", install the chart"
    } else {
        ""
    };
    progress.step(&format!("register {count} nodes{install}"), || {
        let others = [
            Role::Kubelet,
            Role::KubeControllerManager,
            Role::KubeScheduler,
        ];
        start(lab, &others)?;
        let state = &lab.state;
        thread::scope(|scope| {
            // Its pod has a place as soon as there is one, and nobody waits for it.
            let naming = scope.spawn(|| names::give(state));
            let installing = with_tombolo.then(|| scope.spawn(|| install::install(state)));
            wait(state, &others)?;
            wait_for_nodes(state)?;
            let installed = installing.map(|install| {
                let installed = install.join();
                installed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            let named = naming.join();
            named.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok(installed.unwrap_or(Ok(())))
        })
    })
}

/// Each cluster is its own authority; the lab's user is an administrator of all of them.
fn found(lab: &Lab) -> Result<()> {
    let authorities: Vec<(u8, Authority)> = lab
        .shape
        .clusters()
        .map(|cluster| Ok((cluster, Authority::make(&lab.cluster_name(cluster))?)))
        .collect::<Result<_>>()?;
    let mut entries = Vec::new();
    for (cluster, authority) in &authorities {
        control::found(lab, *cluster, authority)?;
        for node in lab.shape.nodes().filter(|node| node.cluster == *cluster) {
            node::found(lab, node, authority)?;
        }
        entries.push(kubeconfig::Entry {
            context: lab.cluster_name(*cluster),
            server: format!("https://127.0.0.1:{}", lab.kubernetes.doors[cluster]),
            authority: &authority.certificate,
            pair: authority.issue(&control::ADMINISTRATOR)?,
        });
    }
    authority::write(&kubeconfig::path(&lab.name), &kubeconfig::text(&entries))
}

fn start(lab: &mut Lab, roles: &[Role]) -> Result<()> {
    let programs = machine::programs(lab, |_, role| roles.contains(&role));
    programs
        .into_iter()
        .try_for_each(|(machine, role)| machine::start(lab, machine, role))
}

fn wait(lab: &State, roles: &[Role]) -> Result<()> {
    let programs = machine::programs(lab, |_, role| roles.contains(&role));
    programs
        .into_iter()
        .try_for_each(|(machine, role)| machine::wait_until_ready(lab, machine, role))
}

/// Waits until each cluster knows all its nodes.
fn wait_for_nodes(lab: &State) -> Result<()> {
    let deadline = Instant::now() + NODE_PATIENCE;
    for cluster in lab.shape.clusters() {
        let api = Api::of(lab, cluster)?;
        loop {
            let known = api.get("/api/v1/nodes")?;
            let known = known["items"].as_array().into_iter().flatten();
            let known: BTreeSet<_> = known
                .filter_map(|node| node["metadata"]["name"].as_str())
                .collect();
            let mut missing = names(lab, cluster);
            missing.retain(|name| !known.contains(name.as_str()));
            if missing.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                return Err(Error::NoNodes {
                    cluster: lab.cluster_name(cluster),
                    nodes: missing.join(", "),
                    seconds: NODE_PATIENCE.as_secs(),
                });
            }
            thread::sleep(POLL);
        }
    }
    Ok(())
}

fn names(lab: &State, cluster: u8) -> Vec<String> {
    let nodes = lab.shape.nodes().filter(|node| node.cluster == cluster);
    nodes.map(|node| node.to_string()).collect()
}
