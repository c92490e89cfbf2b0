//! From nothing to a lab that answers; what fails on the way is taken down again.

use crate::{
    Error, down,
    error::Result,
    fabric, learn, machine, mesh,
    plan::{MachineId, Mesh, Shape, check_name},
    pod::{self, PLUGIN},
    process::beside_own_program,
    progress::Progress,
    state::{self, Kubernetes, Lab, Role},
};
use std::fs;
use tombolo_linux::privilege::missing_capabilities;

/// Makes a bare lab.
pub fn up(name: &str, shape: Shape) -> Result<Lab> {
    check_name(name)?;
    shape.check()?;
    beside_own_program(PLUGIN)?;
    let (lab, progress) = raise(name, shape, Kubernetes::default(), build)?;
    progress.done(&format!("lab {name} is up"));
    Ok(lab)
}

/// Has a lab built, of which nothing is there yet.
pub fn raise(
    name: &str,
    shape: Shape,
    kubernetes: Kubernetes,
    build: impl FnOnce(&mut Lab, &Progress) -> Result<()>,
) -> Result<(Lab, Progress)> {
    let missing = missing_capabilities();
    if !missing.is_empty() {
        return Err(Error::Rights { missing });
    }
    refuse_second(name)?;
    let progress = Progress::start();
    let mut lab = Lab::create(name, shape, kubernetes)?;
    if let Err(error) = build(&mut lab, &progress) {
        drop(lab);
        // The cause is what the user must see; `down` says again what is left, if anything is.
        let _ = progress.step("take down what was made", || down::down(name));
        return Err(error);
    }
    lab.state.made = true;
    lab.save()?;
    Ok((lab, progress))
}

fn refuse_second(name: &str) -> Result<()> {
    match state::load(name) {
        Ok(state) if state.made => return Err(Error::LabExists { lab: name.into() }),
        _ => {}
    }
    let remains = down::remains(name)?;
    if remains.is_empty() {
        return Ok(());
    }
    Err(Error::Remains {
        lab: name.into(),
        remains: remains.words(),
    })
}

fn build(lab: &mut Lab, progress: &Progress) -> Result<()> {
    let shape = lab.shape;
    let nodes = shape.nodes().count();
    progress.step(&format!("lay the {} fabric", shape.fabric), || {
        fabric::make(&lab.name, &shape)
    })?;
    furnish_machines(lab, progress)?;
    if shape.mesh != Mesh::Facts {
        let what = format!("start {} stores ({})", shape.clusters, shape.mesh);
        progress.step(&what, || start_meshing(lab))?;
    }
    progress.step(&format!("start {nodes} agents ({})", shape.routing), || {
        start(lab, &[Role::Agent])?;
        wait(lab, &[Role::Agent, Role::Apiserver, Role::Kvstoremesh])
    })?;
    let pods = nodes * usize::from(shape.pods_per_node);
    progress.step(&format!("attach {pods} pods"), || {
        for node in shape.nodes() {
            for _ in 0..shape.pods_per_node {
                pod::attach(lab, node, None)?;
            }
        }
        Ok(())
    })?;
    progress
        .step("have every agent learn of all pods", || {
            learn::tell_all(lab)?;
            learn::wait(lab, &lab.served_nodes(), learn::PATIENCE)
        })
        .map(drop)
}

/// Gives every machine its namespaces and its mounts.
pub fn furnish_machines(lab: &mut Lab, progress: &Progress) -> Result<()> {
    let machines: Vec<MachineId> = lab.shape.machines().collect();
    let hold = down::hold(&lab.name);
    progress.step(&format!("start {} machines", machines.len()), || {
        fs::create_dir_all(&hold).map_err(Error::file("create", &hold))?;
        for machine in &machines {
            machine::start_init(lab, *machine)?;
        }
        machines
            .iter()
            .try_for_each(|machine| machine::wait_for_init(lab, *machine))
    })
}

/// The programs of clusters, which need a store that answers before they are of use.
fn start_meshing(lab: &mut Lab) -> Result<()> {
    let clusters: Vec<u8> = lab.shape.clusters().collect();
    for cluster in &clusters {
        mesh::found(lab, *cluster)?;
    }
    start(lab, &[Role::Store])?;
    for (index, a) in clusters.iter().enumerate() {
        for b in &clusters[index + 1..] {
            mesh::write_files(lab, *a, *b)?;
        }
    }
    wait(lab, &[Role::Store])?;
    start(lab, &[Role::Apiserver, Role::Kvstoremesh])
}

fn start(lab: &mut Lab, roles: &[Role]) -> Result<()> {
    let programs = machine::programs(lab, |_, role| roles.contains(&role));
    programs
        .into_iter()
        .try_for_each(|(machine, role)| machine::start(lab, machine, role))
}

fn wait(lab: &Lab, roles: &[Role]) -> Result<()> {
    let programs = machine::programs(lab, |_, role| roles.contains(&role));
    programs
        .into_iter()
        .try_for_each(|(machine, role)| machine::wait_until_ready(lab, machine, role))
}
