//! What runs inside of a node: its first process, and the container runtime's part in a pod's life.
//!
//! What makes a node of Kubernetes of it is `node`'s.
//! Knows nothing of the lab around it; all it needs comes as arguments.

mod node;

pub use node::{GROUP, loopback};

use crate::{Error, error::Result};
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
};
use tombolo_linux::{mount, netns::Netns};

/// The lab's folder inside of a node.
pub const FOLDER: &str = "/run/lab";
/// There once the node can run programs.
pub const READY: &str = "/run/lab/ready";
/// Facts for the node's agent.
pub const FACTS: &str = "/run/lab/facts.json";
/// What the agent and the plugin keep over a restart, the node's own.
///
/// Every node mounts over this one folder of the machine. Removing it there would take the mounts away from all of
/// them, so each lab holds it by a folder of its own below.
pub const KEPT: &str = "/var/lib/tombolo";
/// Where this machine keeps networks by name.
const NETWORKS: &str = "/run/netns";
pub const POD_INTERFACE: &str = "eth0";

/// Furnishes the node's mounts and host name, then holds its namespaces until killed. With a folder for images it is made
/// ready for Kubernetes.
pub fn init(host_name: &str, images: Option<&Path>) -> Result<()> {
    let name_file = "/proc/sys/kernel/hostname";
    fs::write(name_file, host_name).map_err(Error::file("write", name_file))?;
    // Copies of their mounts would keep other machines' networks for as long as this machine lives.
    mount::unmount_all(NETWORKS)?;
    fs::create_dir_all(KEPT).map_err(Error::file("create", KEPT))?;
    mount::tmpfs(KEPT)?;
    mount::tmpfs("/run")?;
    // Volumes and namespaces that a runtime mounts here are to be seen by its containers too.
    mount::make_shared("/run")?;
    mount::bpffs("/sys/fs/bpf")?;
    fs::create_dir_all(FOLDER).map_err(Error::file("create", FOLDER))?;
    if let Some(images) = images {
        node::furnish(images)?;
    }
    fs::write(READY, "").map_err(Error::file("write", READY))?;
    loop {
        thread::park();
    }
}

/// Which pod, and what the plugin is told of it.
pub struct PodCall<'a> {
    pub pod: &'a str,
    pub container: &'a str,
    pub identity: u32,
    pub plugin: &'a Path,
}

impl PodCall<'_> {
    /// Makes the pod's namespace and has the plugin attach it; prints the plugin's result.
    pub fn add(&self) -> Result<()> {
        Netns::create(self.pod)?;
        match self.plugin("ADD") {
            Ok(result) => {
                let mut out = std::io::stdout();
                out.write_all(&result)
                    .map_err(Error::file("write", "the result"))
            }
            Err(error) => {
                // The specification wants a failed ADD followed by a DEL; the first error is the one to show.
                let _ = self.plugin("DEL");
                let _ = Netns::delete(self.pod);
                Err(error)
            }
        }
    }

    /// Detaches the pod and removes its namespace.
    pub fn delete(&self) -> Result<()> {
        self.plugin("DEL")?;
        Ok(Netns::delete(self.pod)?)
    }

    fn plugin(&self, verb: &str) -> Result<Vec<u8>> {
        let arguments = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={};TOMBOLO_IDENTITY={}",
            self.pod, self.identity
        );
        let folder = self.plugin.parent().unwrap_or(Path::new("/"));
        let mut child = Command::new(self.plugin)
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", self.container)
            .env("CNI_NETNS", Netns::path(self.pod))
            .env("CNI_IFNAME", POD_INTERFACE)
            .env("CNI_PATH", folder)
            .env("CNI_ARGS", arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::file("start", self.plugin))?;
        let configuration = br#"{"cniVersion":"1.1.0","name":"tombolo","type":"tombolo-cni"}"#;
        // A plugin that ends without reading says why on its output.
        let _ = child
            .stdin
            .take()
            .expect("it is piped")
            .write_all(configuration);
        let output = child
            .wait_with_output()
            .map_err(Error::file("wait for", self.plugin))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Error::Tool {
            tool: format!("tombolo-cni {verb} of {} ({})", self.pod, output.status),
            said: plugin_error(&output.stdout, &output.stderr),
        })
    }
}

/// The plugin's error object in one line; else all it said.
fn plugin_error(stdout: &[u8], stderr: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct PluginError {
        code: u32,
        msg: String,
        #[serde(default)]
        details: String,
    }
    match serde_json::from_slice::<PluginError>(stdout) {
        Ok(PluginError { code, msg, details }) if details.is_empty() => {
            format!("{msg} (code {code})")
        }
        Ok(PluginError { code, msg, details }) => format!("{msg}: {details} (code {code})"),
        Err(_) => {
            let said = [stdout, stderr].concat();
            String::from_utf8_lossy(&said).trim().to_owned()
        }
    }
}

/// Runs a hidden verb of ours inside of a node and gives back what it printed.
pub fn call(words: &[String]) -> Result<Vec<u8>> {
    let (program, arguments) = words.split_first().expect("a call names its program");
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::file("start", program))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    // Our own words already, but for the mark that the program puts before them.
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    Err(Error::Inside {
        said: said.strip_prefix("error: ").unwrap_or(said).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugin_errors_become_one_line() {
        let cases = [
            (
                r#"{"cniVersion":"1.1.0","code":11,"msg":"the agent is away","details":"start it"}"#,
                "the agent is away: start it (code 11)",
            ),
            (r#"{"code":7,"msg":"bad name"}"#, "bad name (code 7)"),
            ("panic", "panic on stderr"),
        ];
        for (stdout, expected) in cases {
            let stderr = b" on stderr\n";
            assert_eq!(plugin_error(stdout.as_bytes(), stderr), expected);
        }
    }
}
