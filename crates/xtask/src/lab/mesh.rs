//! Two clusters of Kubernetes, meshed by the commands that anyone types, and their pods asked by each other.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{build, steps::Steps};
use crate::process::binaries;
use crate::setup;

const CLUSTERS: [&str; 2] = ["cluster1", "cluster2"];
/// Seconds for which a status may become well.
const PATIENCE: &str = "120";

/// What `tombolo lab check` says, and whether all is as it should be.
type Checked = (String, bool);

pub fn run(keep: bool, as_json: bool) -> Result<()> {
    setup::run(setup::Extent::Running)?;
    build()?;
    let mut steps = Steps::start();
    let shown = show(&mut steps, as_json);
    if shown.is_err() {
        let program = binaries("release").join("tombolo");
        eprintln!(
            "What was made stays, to look into: `{0} lab status`; `{0} lab down` takes it away.",
            program.display()
        );
    } else if !keep {
        steps.tombolo(&["lab", "down"])?;
    }
    let (said, well) = shown?;
    steps.mark("all of it");
    if as_json {
        let check: Value = serde_json::from_str(&said).context("reading `tombolo lab check`")?;
        let answer = json!({"steps": steps.json(), "check": check, "well": well});
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        println!("\n{}\n{said}", steps.text());
        if keep {
            let file = steps.kubeconfig.unwrap_or_default();
            println!("The lab is still there: export KUBECONFIG={file}");
        }
    }
    if !well {
        bail!("not every pod was answered as it should be, see above");
    }
    Ok(())
}

/// From nothing to pods that answer each other.
fn show(steps: &mut Steps, as_json: bool) -> Result<Checked> {
    steps.tombolo(&["lab", "up", "--clusters", "2", "--nodes", "2"])?;
    let (file, _) = steps.judged(&["lab", "kubeconfig"])?;
    steps.kubeconfig = Some(file.trim().to_owned());
    steps.mark("two clusters");
    for cluster in CLUSTERS {
        steps.tombolo(&["clustermesh", "enable", "--context", cluster])?;
    }
    for cluster in CLUSTERS {
        wait_until_well(steps, cluster)?;
    }
    let [here, there] = CLUSTERS;
    let connect = ["clustermesh", "connect", "--context", here];
    steps.tombolo(&[&connect[..], &["--destination-context", there]].concat())?;
    for cluster in CLUSTERS {
        wait_until_well(steps, cluster)?;
    }
    steps.mark("two meshed clusters");
    let format = if as_json { "json" } else { "text" };
    steps.judged(&["lab", "check", "--output", format])
}

fn wait_until_well(steps: &mut Steps, cluster: &str) -> Result<()> {
    let status = ["clustermesh", "status", "--context", cluster];
    steps.tombolo(&[&status[..], &["--wait", "--wait-duration", PATIENCE]].concat())
}
