//! Another number for a cluster: its programs and agents start anew with it, its pods are made anew in its range.

use crate::{
    Error,
    error::Result,
    learn, machine, mesh,
    plan::PodId,
    pod,
    state::{Lab, Role},
};

/// The largest that a mesh of the usual size has.
const CLUSTER_ID_MAX: u32 = 255;
/// Agents go last: what they ask then knows the number already.
const ROLES: [Role; 3] = [Role::Apiserver, Role::Kvstoremesh, Role::Agent];

pub fn renumber(lab: &mut Lab, cluster: u8, number: u8) -> Result<()> {
    mesh::check_meshed(lab, "another number for a cluster")?;
    lab.check_cluster(cluster)?;
    if number == 0 {
        return Err(Error::OutOfRange {
            what: "number of a cluster",
            value: number.to_string(),
            low: 1,
            high: CLUSTER_ID_MAX,
        });
    }
    let pods: Vec<PodId> = lab
        .pods
        .keys()
        .copied()
        .filter(|pod| pod.node.cluster == cluster)
        .collect();
    for pod in &pods {
        pod::detach(lab, *pod)?;
    }
    let programs = machine::programs(lab, |machine, role| {
        machine.cluster() == cluster && ROLES.contains(&role)
    });
    for (machine, role) in programs.iter().rev() {
        machine::stop(lab, *machine, *role)?;
    }
    lab.state.numbers.insert(cluster, number);
    lab.save()?;
    learn::tell_all(lab)?;
    for (machine, role) in &programs {
        machine::start(lab, *machine, *role)?;
    }
    for (machine, role) in programs {
        machine::wait_until_ready(lab, machine, role)?;
    }
    for pod in pods {
        pod::attach(lab, pod.node, None)?;
    }
    learn::tell_all(lab)
}
