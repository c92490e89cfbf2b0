//! kubectl, with the rights of the control plane's administrator.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::plane::kept;

pub struct Kubectl {
    program: PathBuf,
    options: Vec<String>,
}

impl Kubectl {
    pub fn new(certificates: &Path, name: &str, port: u16) -> Result<Kubectl> {
        let file = |name: &str| certificates.join(name).display().to_string();
        Ok(Kubectl {
            program: kept("kubectl")?,
            options: vec![
                format!("--server=https://127.0.0.1:{port}"),
                "--namespace=default".to_owned(),
                format!("--cache-dir={}", file(&format!("{name}-cache"))),
                format!("--certificate-authority={}", file("ca.crt")),
                format!("--client-certificate={}", file("admin.crt")),
                format!("--client-key={}", file("admin.key")),
            ],
        })
    }

    pub fn is_ready(&self) -> bool {
        self.run(&["get", "--raw", "/readyz"]).is_ok()
    }

    /// What it prints; it must succeed.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let output = self.try_run(words)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", words.join(" "), said.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    pub fn try_run(&self, words: &[&str]) -> Result<Output> {
        self.command(words).output().context("cannot start kubectl")
    }

    /// What the server answers under this path.
    pub fn value(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["get", "--raw", path])?)?)
    }

    /// Starts what does not end soon; its output goes into the file.
    pub fn start(&self, words: &[&str], file: &Path) -> Result<Child> {
        let mut command = self.command(words);
        command.stdout(File::create(file)?).stderr(Stdio::null());
        command.spawn().context("cannot start kubectl")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).args(&self.options).stdin(Stdio::null());
        command
    }
}
