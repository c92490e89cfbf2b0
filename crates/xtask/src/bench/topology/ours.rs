//! The sides with Tombolo: a bare lab of two clusters with one node and one pod each.
//!
//! Only what any user of `tombolo lab` sees is relied upon.

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{End, Ends, MTU, Side};
use crate::lab::tombolo;
use crate::process::{answer, quiet};

const CLIENT: &str = "c1-n1-p1";
const SERVER: &str = "c2-n1-p1";

/// A lab, taken down when dropped.
pub struct Lab {
    name: String,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = tombolo(&["lab", "down", "--name", &self.name]);
        if let Err(error) = down.and_then(|mut down| quiet(down.stdout(Stdio::null()))) {
            eprintln!("lab {} is left over: {error:#}", self.name);
        }
    }
}

pub fn build(side: Side) -> Result<(Ends, Lab)> {
    sweep()?;
    let mode = if side == Side::TomboloNative {
        "native"
    } else {
        "tunnel"
    };
    let lab = Lab {
        name: format!("bench-{}-{mode}", process::id()),
    };
    let mut up = tombolo(&[
        "lab",
        "up",
        "--name",
        &lab.name,
        "--bare",
        "--clusters",
        "2",
        "--nodes",
        "1",
    ])?;
    up.args(["--pods", "1", "--fabric", "direct", "--routing-mode", mode]);
    // The report has standard output to itself.
    quiet(up.stdout(Stdio::null()))?;
    let status = answer(&mut tombolo(&[
        "lab", "status", "--name", &lab.name, "--output", "json",
    ])?)
    .context("`tombolo lab status` failed, or the lab is not healthy")?;
    let status: Value = serde_json::from_str(&status).context("reading the lab's status")?;
    let client = lab.end(CLIENT, &status)?;
    let server = lab.end(SERVER, &status)?;
    Ok((Ends { client, server }, lab))
}

/// Takes away what a killed run left behind.
fn sweep() -> Result<()> {
    let names = answer(&mut tombolo(&["lab", "list"])?).unwrap_or_default();
    for name in names.lines() {
        let owner = name
            .strip_prefix("bench-")
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            drop(Lab {
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

impl Lab {
    fn end(&self, pod: &str, status: &Value) -> Result<End> {
        let address = address(pod, status)
            .with_context(|| format!("the lab's status has no IPv4 address of {pod}"))?;
        self.exec(pod, &["ip", "link", "set", "eth0", "mtu", &MTU.to_string()])?;
        self.borrow_namespace(pod, address)
    }

    /// Opens the namespace through a process that is in it.
    fn borrow_namespace(&self, pod: &str, address: Ipv4Addr) -> Result<End> {
        let mut inside = tombolo(&[
            "lab",
            "exec",
            "--name",
            &self.name,
            pod,
            "--",
            "sh",
            "-c",
            "echo in; read end",
        ])?;
        let mut inside = inside
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = inside.stdout.take().context("no pipe from the pod")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let end = End::open(
            &PathBuf::from(format!("/proc/{}/ns/net", inside.id())),
            address,
        );
        drop(inside.stdin.take());
        inside.wait()?;
        end.with_context(|| format!("looking into {pod}"))
    }

    fn exec(&self, pod: &str, words: &[&str]) -> Result<()> {
        quiet(tombolo(&["lab", "exec", "--name", &self.name, pod, "--"])?.args(words))
    }
}

fn address(pod: &str, status: &Value) -> Option<Ipv4Addr> {
    let pods = status.get("pods")?.as_array()?;
    let pod = pods
        .iter()
        .find(|known| known.get("name").and_then(Value::as_str) == Some(pod))?;
    let addresses = pod.get("addresses")?.as_array()?;
    addresses
        .iter()
        .find_map(|text| text.as_str()?.parse().ok())
}
