//! `tombolo cni`: plugin and configuration in a node's folders, as the agent's pod puts and takes them.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::{fs::OpenOptionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use tombolo_k8s::{
    Client,
    client::{Api, Connect, Error},
};

use tombolo_model::local::Request;

use crate::{client, cluster::block_on};

const PLUGIN: &str = "tombolo-cni";
const CONFLIST: &str = "05-tombolo.conflist";
/// What other plugins' configurations are called while they are put aside.
const ASIDE: &str = "tombolo_bak";
const CONFIGURATION: &str = r#"{
  "cniVersion": "1.0.0",
  "name": "tombolo",
  "plugins": [{"type": "tombolo-cni"}]
}
"#;

#[derive(Subcommand, Debug)]
pub enum Cni {
    /// Put the plugin into the node's folder of plugins
    Install(Install),
    /// Write the configuration, which makes the node ready, as soon as the agent serves pods
    Enable(Enable),
    /// Take configuration and plugin away again
    Remove(Remove),
}

#[derive(Args, Debug)]
pub struct Install {
    /// Folder of plugins
    #[arg(long, value_name = "DIRECTORY", default_value = "/opt/cni/bin")]
    bin_dir: PathBuf,
    /// The plugin; the one beside this program unless told
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Enable {
    /// Folder of configurations
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/cni/net.d")]
    conf_dir: PathBuf,
    /// Put other plugins' configurations aside
    #[arg(long)]
    exclusive: bool,
    /// How long the agent may take until it serves pods
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

#[derive(Args, Debug)]
pub struct Remove {
    /// Folder of plugins
    #[arg(long, value_name = "DIRECTORY", default_value = "/opt/cni/bin")]
    bin_dir: PathBuf,
    /// Folder of configurations
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/cni/net.d")]
    conf_dir: PathBuf,
    /// Leave all as it is while this DaemonSet is there: then the agent is only restarted
    #[arg(long, value_name = "NAMESPACE/NAME")]
    unless_daemonset: Option<String>,
}

impl Cni {
    pub fn run(self, socket: &Path) -> Result<()> {
        match self {
            Cni::Install(install) => install.run(),
            Cni::Enable(enable) => enable.run(socket),
            Cni::Remove(remove) => remove.run(),
        }
    }
}

impl Install {
    fn run(self) -> Result<()> {
        let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name(PLUGIN));
        let plugin = self.plugin.map_or_else(beside, Ok)?;
        let bytes = fs::read(&plugin)
            .with_context(|| format!("{}: the plugin can't be read", plugin.display()))?;
        replace(&self.bin_dir.join(PLUGIN), &bytes, 0o755)
    }
}

impl Enable {
    fn run(self, socket: &Path) -> Result<()> {
        let configuration = self.conf_dir.join(CONFLIST);
        let end = Instant::now() + Duration::from_secs(self.patience);
        while let Err(error) = is_served(socket, &configuration) {
            if Instant::now() > end {
                bail!(
                    "the agent serves no pods after {} s ({error:#}): the node stays without a network; see the agent's log",
                    self.patience
                );
            }
            sleep(Duration::from_millis(100));
        }
        replace(&configuration, CONFIGURATION.as_bytes(), 0o644)?;
        if self.exclusive {
            put_others_aside(&self.conf_dir)?;
        }
        Ok(())
    }
}

/// Whether pods that come now get a network: an agent without its node's ranges would refuse them all.
fn is_served(socket: &Path, configuration: &Path) -> Result<()> {
    if configuration.exists() {
        // The node has had its network before, and keeps it while the agent learns all anew.
        return Ok(UnixStream::connect(socket).map(drop)?);
    }
    client::ask(socket, &Request::Status).map(drop)
}

impl Remove {
    fn run(self) -> Result<()> {
        if let Some(name) = &self.unless_daemonset
            && is_there(name)?
        {
            return Ok(());
        }
        // The configuration first: with it gone, nobody calls the plugin.
        let mut failed = Vec::new();
        for file in [self.conf_dir.join(CONFLIST), self.bin_dir.join(PLUGIN)] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    failed.push(format!("{}: {error}", file.display()));
                }
                _ => {}
            }
        }
        if let Err(error) = put_others_back(&self.conf_dir) {
            failed.push(format!("{error:#}"));
        }
        if failed.is_empty() {
            return Ok(());
        }
        bail!("not all could be taken away: {}", failed.join("; "))
    }
}

/// Who is not known any more, or may not ask any more, has been uninstalled: its rights go with the DaemonSet.
fn is_there(name: &str) -> Result<bool> {
    let Some((namespace, name)) = name.split_once('/') else {
        bail!("--unless-daemonset {name}: write it as NAMESPACE/NAME");
    };
    block_on(async {
        let client = Client::connect(&Connect::default()).await?;
        let found = client
            .get(Api::DAEMON_SETS, &Api::DAEMON_SETS.name(namespace, name))
            .await;
        Ok(match found {
            Ok(Some(item)) => {
                let object: serde_json::Value = item.read()?;
                object["metadata"]["deletionTimestamp"].is_null()
            }
            Ok(None) | Err(Error::Forbidden { .. } | Error::Credentials { .. }) => false,
            // Without an answer, a node without a network would be the greater harm.
            Err(_) => true,
        })
    })
}

/// What others may read at any moment is the old or the new one, whole.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    // Runtimes pass over files with other endings.
    let draft = path.with_extension("tombolo-draft");
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&draft);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("{} can't be read", folder.display()))?;
    Ok(entries.into_iter().map(|entry| entry.path()).collect())
}

fn put_others_aside(folder: &Path) -> Result<()> {
    for path in entries(folder)? {
        let is_configuration = path
            .extension()
            .is_some_and(|ending| ending == "conf" || ending == "conflist" || ending == "json");
        if is_configuration && path.file_name().is_some_and(|name| name != CONFLIST) {
            let mut aside = path.clone().into_os_string();
            aside.push(format!(".{ASIDE}"));
            fs::rename(&path, aside)
                .with_context(|| format!("cannot put {} aside", path.display()))?;
        }
    }
    Ok(())
}

fn put_others_back(folder: &Path) -> Result<()> {
    for path in entries(folder)? {
        if path.extension().is_some_and(|ending| ending == ASIDE) {
            let name = path.with_extension("");
            if !name.exists() {
                fs::rename(&path, &name)
                    .with_context(|| format!("cannot put {} back", name.display()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
