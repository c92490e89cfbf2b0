//! From nothing to a lab that answers; what fails on the way is taken down again.

use crate::{
    Error, down,
    error::Result,
    fabric, node,
    plan::{NodeId, Shape, check_name},
    pod::{self, PLUGIN},
    process::beside_own_program,
    progress::Progress,
    state::{self, Lab},
};
use std::{collections::BTreeSet, fs};
use tombolo_linux::privilege::missing_capabilities;

pub fn up(name: &str, shape: Shape) -> Result<Lab> {
    check_name(name)?;
    shape.check()?;
    beside_own_program(PLUGIN)?;
    let missing = missing_capabilities();
    if !missing.is_empty() {
        return Err(Error::Rights { missing });
    }
    refuse_second(name)?;
    let progress = Progress::start();
    let mut lab = Lab::create(name, shape)?;
    if let Err(error) = build(&mut lab, &progress) {
        drop(lab);
        // The cause is what the user must see; `down` says again what is left, if anything is.
        let _ = progress.step("take down what was made", || down::down(name));
        return Err(error);
    }
    progress.done(&format!("lab {name} is up"));
    Ok(lab)
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
    let nodes: Vec<NodeId> = shape.nodes().collect();
    let count = nodes.len();
    progress.step(&format!("lay the {} fabric", shape.fabric), || {
        fabric::make(&lab.name, &shape)
    })?;
    let hold = down::hold(&lab.name);
    progress.step(&format!("start {count} nodes"), || {
        fs::create_dir_all(&hold).map_err(Error::file("create", &hold))?;
        for node in &nodes {
            node::start_init(lab, *node)?;
        }
        nodes
            .iter()
            .try_for_each(|node| node::wait_for_init(lab, *node))
    })?;
    progress.step(&format!("start {count} agents ({})", shape.routing), || {
        for node in &nodes {
            node::start_agent(lab, *node)?;
        }
        nodes
            .iter()
            .try_for_each(|node| node::wait_for_agent(lab, *node))
    })?;
    let pods = count * usize::from(shape.pods_per_node);
    progress.step(&format!("attach {pods} pods"), || {
        for node in &nodes {
            for _ in 0..shape.pods_per_node {
                pod::attach(lab, *node, None)?;
            }
        }
        Ok(())
    })?;
    progress.step("tell every agent of all pods", || {
        node::spread_facts(lab, &BTreeSet::new())
    })?;
    lab.state.made = true;
    lab.save()
}
