//! The network configuration, which the runtime sends to the standard input.
//!
//! It says little: how pods are connected is the agent's to know, and the one place to configure it is there.

use crate::{
    call::is_name,
    error::Error,
    spec::{Dns, Outcome, Version},
};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;
use tombolo_model::local::{Attachment, DELETE_QUEUE_PATH, SOCKET_PATH};

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub struct Config {
    pub version: Version,
    /// What the plugins before us in the chain made, or what ADD answered.
    pub previous: Option<Outcome>,
    /// Handed to the runtime as it is.
    pub dns: Dns,
    /// Which attachments GC must keep.
    pub valid: Option<Vec<Attachment>>,
    pub socket: PathBuf,
    pub delete_queue: PathBuf,
    /// A file that gets a line for each call.
    pub log: Option<PathBuf>,
}

/// The configuration as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    cni_version: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    prev_result: Option<Value>,
    #[serde(default)]
    ipam: Option<Value>,
    #[serde(default)]
    dns: Dns,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    valid: Option<Vec<RawAttachment>>,
    #[serde(default)]
    socket: Option<PathBuf>,
    #[serde(default)]
    delete_queue: Option<PathBuf>,
    #[serde(default)]
    log: Option<PathBuf>,
}

#[derive(Deserialize)]
struct RawAttachment {
    #[serde(rename = "containerID")]
    container: String,
    #[serde(rename = "ifname")]
    interface: String,
}

impl Config {
    pub fn parse(input: &[u8]) -> Result<Config, Error> {
        let raw: Raw = serde_json::from_slice(input).map_err(|source| Error::Decode {
            subject: "the network configuration",
            source,
        })?;
        let Some(version) = raw.cni_version.as_deref() else {
            return Err(bad("cniVersion", "is missing"));
        };
        let version: Version = version.parse()?;
        check_name("name", &raw.name)?;
        if raw.kind.is_empty() {
            return Err(bad("type", "is missing"));
        }
        check_ipam(raw.ipam)?;
        Ok(Config {
            version,
            previous: raw.prev_result.map(Outcome::parse).transpose()?,
            dns: raw.dns,
            valid: raw
                .valid
                .map(|valid| valid.into_iter().map(Attachment::from).collect()),
            socket: absolute("socket", raw.socket)?.unwrap_or_else(|| SOCKET_PATH.into()),
            delete_queue: absolute("deleteQueue", raw.delete_queue)?
                .unwrap_or_else(|| DELETE_QUEUE_PATH.into()),
            log: absolute("log", raw.log)?,
        })
    }
}

impl From<RawAttachment> for Attachment {
    fn from(raw: RawAttachment) -> Attachment {
        Attachment {
            container: raw.container,
            interface: raw.interface,
        }
    }
}

fn check_name(key: &'static str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(bad(key, "is missing"));
    }
    if !is_name(name) {
        return Err(bad(
            key,
            format!(
                "{name:?} must start with a letter or digit and go on with those, '_', '.' or '-'"
            ),
        ));
    }
    Ok(())
}

/// Addresses are the agent's to give; silently passing over another source of them would surprise.
fn check_ipam(ipam: Option<Value>) -> Result<(), Error> {
    match ipam.as_ref().and_then(|ipam| ipam.get("type")) {
        None => Ok(()),
        Some(kind) => Err(Error::UnsupportedField {
            key: "ipam.type",
            value: kind.clone(),
        }),
    }
}

/// The plugin runs in whatever folder the runtime happens to be in.
fn absolute(key: &'static str, path: Option<PathBuf>) -> Result<Option<PathBuf>, Error> {
    match path {
        Some(path) if !path.is_absolute() => Err(bad(
            key,
            format!("{:?} must be an absolute path", path.display()),
        )),
        path => Ok(path),
    }
}

fn bad(key: &'static str, problem: impl Into<String>) -> Error {
    Error::Config {
        key,
        problem: problem.into(),
    }
}
