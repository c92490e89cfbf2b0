//! A node that joins a cluster which is there already, and one that leaves.
//!
//! What the cluster itself knows of a node, its Node object, is made by the node's kubelet and ended by people alone.

use super::{FOLDER, api::Api, authority::Authority, disk, images, install, node, of, room};
use crate::{
    Error, down,
    error::Result,
    fabric, fault, machine,
    plan::{MachineId, NODES_MAX, Namespace, NodeId},
    progress::Progress,
    state::{Lab, Role, State},
};
use serde_json::Value;
use std::{fs, io::ErrorKind, time::Duration};
use tombolo_linux::{cgroup, netns::Netns};

const PATIENCE: Duration = Duration::from_secs(90);

/// Adds a node to a cluster, by the lowest number that is free. What fails on the way is taken away again.
pub fn add(lab: &mut Lab, cluster: u8, wait: bool) -> Result<NodeId> {
    of(lab)?;
    room::NODE.check()?;
    let node = free(lab, cluster)?;
    let progress = Progress::start();
    if let Err(error) = make(lab, node, &progress) {
        // The cause is what the user must see; `node delete` says again what is left, if anything is.
        let _ = progress.step("take away what was made", || clear(lab, node));
        return Err(error);
    }
    if wait {
        progress.step(&format!("wait until {node} is ready"), || {
            wait_for(lab, node)
        })?;
    }
    progress.done(&format!("{node} is there"));
    Ok(node)
}

fn free(lab: &State, cluster: u8) -> Result<NodeId> {
    let mut all = (1..=NODES_MAX).map(|number| NodeId { cluster, number });
    let free = all.find(|node| !lab.machines.contains_key(&MachineId::Node(*node)));
    free.ok_or_else(|| Error::ClusterFull {
        cluster: lab.cluster_name(cluster),
    })
}

fn make(lab: &mut Lab, node: NodeId, progress: &Progress) -> Result<()> {
    let machine = MachineId::Node(node);
    progress.step(&format!("start the machine {node}"), || {
        fabric::add(&lab.name, &lab.shape, machine)?;
        machine::start_init(lab, machine)?;
        machine::wait_for_init(lab, machine)?;
        let control = lab.path_in(MachineId::Control(node.cluster), FOLDER)?;
        let authority = Authority::read(&control, &lab.cluster_name(node.cluster))?;
        node::found(lab, node, &authority)
    })?;
    progress.step("start its runtime with the lab's images", || {
        images::provide(lab, &[node])
    })?;
    progress.step("start its kubelet", || {
        machine::start(lab, machine, Role::Kubelet)?;
        machine::wait_until_ready(lab, machine, Role::Kubelet)
    })
}

/// Waits until the cluster knows the node, and until it is ready where Tombolo gives it a network.
fn wait_for(lab: &State, node: NodeId) -> Result<()> {
    let api = Api::of(lab, node.cluster)?;
    let must_be_ready = install::is_there(&api)?;
    let cluster = lab.cluster_name(node.cluster);
    machine::wait(lab, node.into(), Role::Kubelet, PATIENCE, || {
        let page = api.page(&format!("/api/v1/nodes/{node}"))?;
        let object: Option<Value> = serde_json::from_str(&page.body).ok();
        Ok(match object.filter(|_| page.well) {
            None => Some(format!("{cluster} does not know it")),
            Some(known) if must_be_ready && !install::is_ready(&known) => Some(format!(
                "it is not ready, see `kubectl --context {cluster} describe node {node}`"
            )),
            Some(_) => None,
        })
    })
}

/// Takes a node away with all that is its own, as if the machine were gone from one moment to the next. False if there is
/// none.
pub fn delete(lab: &mut Lab, node: NodeId) -> Result<bool> {
    of(lab)?;
    lab.check_cluster(node.cluster)?;
    if !is_there(lab, node)? {
        return Ok(false);
    }
    clear(lab, node)?;
    Ok(true)
}

/// Found by its names too, so that what is left of one half-made can be taken away.
fn is_there(lab: &State, node: NodeId) -> Result<bool> {
    let machine = MachineId::Node(node);
    let is_known = lab.machines.contains_key(&machine);
    let has_network = Netns::exists(&Namespace::Machine(machine).name(&lab.name));
    Ok(is_known || has_network || cgroup::names()?.contains(&machine.cgroup(&lab.name)))
}

/// Goes on after failures, and tells of them all.
fn clear(lab: &mut Lab, node: NodeId) -> Result<()> {
    let machine = MachineId::Node(node);
    let mut problems = Vec::new();
    let mut note = |result: Result<()>| {
        problems.extend(result.err().map(|error| down::chain(&error)));
    };
    if lab.machines.contains_key(&machine) {
        note(fault::forget(lab, machine));
    }
    note(cgroup::remove(&machine.cgroup(&lab.name)).map_err(Error::from));
    // Only then what never reached its cgroup.
    let known = lab.state.machines.get(&machine);
    for process in known.into_iter().flat_map(|known| known.processes.values()) {
        note(process.stop(Duration::ZERO));
    }
    note(fabric::remove(&lab.name, machine));
    for folder in [
        disk(&lab.name).join(machine.to_string()),
        lab.machine_folder(machine),
    ] {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                note(Err(Error::file("remove", folder)(error)));
            }
            _ => {}
        }
    }
    if !problems.is_empty() {
        return Err(Error::Remaining {
            what: node.to_string(),
            problems,
        });
    }
    lab.state.machines.remove(&machine);
    lab.save()
}
