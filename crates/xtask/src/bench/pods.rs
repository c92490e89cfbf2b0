//! `cargo xtask bench pods`: hundreds of pods of real Kubernetes, made and deleted on both sides of a mesh.
//!
//! It is a test of the lab, which measures and asserts that nothing is left; here it is only built and called.

use anyhow::Result;

use crate::process::{cargo, run as execute};
use crate::{lab, setup};

pub fn run() -> Result<()> {
    setup::run(setup::Extent::Running)?;
    lab::build()?;
    let test = ["test", "--locked", "--release", "--package", "tombolo-lab"];
    let which = ["--test", "pods", "--", "--ignored", "--nocapture"];
    execute(cargo(&test).args(which))
}
