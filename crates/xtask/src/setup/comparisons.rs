//! Programs of others that tests compare ours with and make clusters of, had by the verb that users have them by.

use std::process::Command;

use anyhow::Result;

use super::say;
use crate::process::{binaries, cargo, run};

const PROGRAMS: [&str; 9] = [
    "etcd",
    "etcdctl",
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "helm",
    "coredns",
];

/// Of exactly the versions that results were written down for, in the user's cache.
pub fn comparisons() -> Result<()> {
    // All of it, as tests are built: a part alone would compile its dependencies with other features.
    run(&mut cargo(&["build", "--locked", "--all-targets"]))?;
    say(
        "a real etcd and a real Kubernetes, which labs are made of and tests compare with; built once by Go where they \
         are missing, about eleven minutes in all",
    );
    let mut have = Command::new(binaries("debug").join("tombolo"));
    run(have.args(["lab", "binaries", "--exact"]).args(PROGRAMS))
}
