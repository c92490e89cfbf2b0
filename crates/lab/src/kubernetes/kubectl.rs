//! The real kubectl, for what is done as a user would do it.

use super::kubeconfig;
use crate::{Error, error::Result, state::State};
use serde_json::Value;
use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

/// For one cluster.
pub struct Kubectl<'a> {
    state: &'a State,
    cluster: u8,
}

impl Kubectl<'_> {
    pub fn of(state: &State, cluster: u8) -> Kubectl<'_> {
        Kubectl { state, cluster }
    }

    pub fn apply(&self, object: &Value) -> Result<()> {
        let mut apply = self.command();
        let started = apply
            // To look at the schemas takes longer than all else, and the objects are our own.
            .args(["apply", "--validate=false", "--filename", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let fail = || Error::file("start", "kubectl");
        let mut child = started.map_err(fail())?;
        let mut input = child.stdin.take().expect("it is piped");
        // Who does not read says why.
        let _ = input.write_all(object.to_string().as_bytes());
        drop(input);
        let output = child.wait_with_output().map_err(fail())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(failed("kubectl apply", &output)),
        }
    }

    /// What a program printed in the first container of a pod, whatever became of it.
    pub fn exec(&self, pod: &str, words: &[String]) -> Result<String> {
        let mut exec = self.command();
        exec.args(["exec", pod, "--"]).args(words);
        let output = exec.output().map_err(Error::file("start", "kubectl"))?;
        if output.stdout.is_empty() && !output.status.success() {
            return Err(failed(&format!("kubectl exec {pod}"), &output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self) -> Command {
        let program = self.state.kubernetes.binaries.get("kubectl");
        let mut command = Command::new(program.expect("a lab remembers its programs"));
        command
            .arg("--kubeconfig")
            .arg(kubeconfig::path(&self.state.name))
            .args(["--context", &self.state.cluster_name(self.cluster)])
            .stdin(Stdio::null());
        command
    }
}

fn failed(what: &str, output: &Output) -> Error {
    Error::Tool {
        tool: what.to_owned(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    }
}
