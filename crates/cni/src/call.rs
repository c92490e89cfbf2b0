//! What the runtime asks: the command and its parameters, all from environment variables.
//!
//! Deliberately without the network configuration, which comes by the standard input: see `config`.

use crate::{error::Error, spec::Version};
use std::{env, fmt, path::PathBuf};
use tombolo_model::{
    id::Identity,
    local::{Attachment, PodName},
};

#[cfg(test)]
mod tests;

/// What the kernel gives a device's name, without the closing zero.
const INTERFACE_BYTES_MAX: usize = 15;
/// Well above the 64 digits of every known runtime, and short enough for a file's name and a device's alias.
const CONTAINER_BYTES_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Add,
    Delete,
    Check,
    Collect,
    Status,
    Version,
}

/// One call of the plugin.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub command: Command,
    /// Empty for commands that are not about one container.
    pub attachment: Attachment,
    /// Empty where the specification lets it be.
    pub netns: PathBuf,
    pub args: Args,
}

/// The runtime's word on the pod, from `CNI_ARGS`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Args {
    pub pod: PodName,
    pub identity: Option<Identity>,
}

impl Command {
    pub fn from_env() -> Result<Command, Error> {
        Command::parse(&variable("CNI_COMMAND")?)
    }

    fn parse(name: &str) -> Result<Command, Error> {
        Ok(match name {
            "ADD" => Command::Add,
            "DEL" => Command::Delete,
            "CHECK" => Command::Check,
            "GC" => Command::Collect,
            "STATUS" => Command::Status,
            "VERSION" => Command::Version,
            "" => {
                return Err(bad(
                    "CNI_COMMAND",
                    "it is not set; this is a CNI plugin, which a container runtime calls",
                ));
            }
            other => {
                return Err(bad(
                    "CNI_COMMAND",
                    format!("{other:?} is none of ADD, DEL, CHECK, GC, STATUS, VERSION"),
                ));
            }
        })
    }

    /// Whether a configuration of this version may ask for the command.
    pub fn check_version(self, version: Version) -> Result<(), Error> {
        let since = match self {
            Command::Add | Command::Delete | Command::Version => return Ok(()),
            Command::Check => Version::V0_4_0,
            Command::Collect | Command::Status => Version::V1_1_0,
        };
        if version >= since {
            return Ok(());
        }
        Err(Error::CommandTooNew {
            command: self,
            since,
            version,
        })
    }

    fn has_attachment(self) -> bool {
        matches!(self, Command::Add | Command::Delete | Command::Check)
    }

    fn needs_netns(self) -> bool {
        matches!(self, Command::Add | Command::Check)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::Add => "ADD",
            Command::Delete => "DEL",
            Command::Check => "CHECK",
            Command::Collect => "GC",
            Command::Status => "STATUS",
            Command::Version => "VERSION",
        })
    }
}

impl Call {
    pub fn from_env(command: Command) -> Result<Call, Error> {
        Call::parse(command, variable)
    }

    fn parse(
        command: Command,
        variable: impl Fn(&'static str) -> Result<String, Error>,
    ) -> Result<Call, Error> {
        let mut call = Call {
            command,
            attachment: Attachment {
                container: String::new(),
                interface: String::new(),
            },
            netns: PathBuf::new(),
            args: Args::default(),
        };
        if command.has_attachment() {
            call.attachment.container = variable("CNI_CONTAINERID")?;
            check_container(&call.attachment.container)?;
            call.attachment.interface = variable("CNI_IFNAME")?;
            check_interface(&call.attachment.interface)?;
        }
        if command.needs_netns() {
            call.netns = variable("CNI_NETNS")?.into();
            if call.netns.as_os_str().is_empty() {
                return Err(bad("CNI_NETNS", "it is not set"));
            }
        }
        // A deletion needs no arguments, and must not fail for bad ones.
        if command == Command::Add {
            call.args = Args::parse(&variable("CNI_ARGS")?)?;
        }
        Ok(call)
    }
}

impl Args {
    /// Pairs of the form `KEY=VALUE;KEY=VALUE`.
    fn parse(text: &str) -> Result<Args, Error> {
        let mut args = Args::default();
        let mut unknown = Vec::new();
        let mut ignore_unknown = false;
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(bad("CNI_ARGS", format!("{pair:?} is no KEY=VALUE")));
            };
            match key {
                "IgnoreUnknown" => ignore_unknown = parse_bool(value)?,
                "K8S_POD_NAMESPACE" => args.pod.namespace = value.to_owned(),
                "K8S_POD_NAME" => args.pod.name = value.to_owned(),
                "K8S_POD_INFRA_CONTAINER_ID" | "K8S_POD_UID" => {}
                "TOMBOLO_IDENTITY" => args.identity = Some(parse_identity(value)?),
                _ => unknown.push(key),
            }
        }
        if !unknown.is_empty() && !ignore_unknown {
            let unknown = unknown.join(", ");
            return Err(bad(
                "CNI_ARGS",
                format!("unknown {unknown}; add IgnoreUnknown=1 to have it ignored"),
            ));
        }
        Ok(args)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a plugin's parameters are environment variables"
)]
fn variable(name: &'static str) -> Result<String, Error> {
    match env::var(name) {
        Ok(value) => Ok(value),
        Err(env::VarError::NotPresent) => Ok(String::new()),
        Err(env::VarError::NotUnicode(_)) => Err(bad(name, "it is not UTF-8")),
    }
}

/// The specification's form of a container's identifier.
pub fn check_container(id: &str) -> Result<(), Error> {
    let problem = if id.is_empty() {
        "it is not set".to_owned()
    } else if id.len() > CONTAINER_BYTES_MAX {
        format!("it is longer than {CONTAINER_BYTES_MAX} characters")
    } else if !is_name(id) {
        format!("{id:?} must start with a letter or digit and go on with those, '_', '.' or '-'")
    } else {
        return Ok(());
    };
    Err(bad("CNI_CONTAINERID", problem))
}

fn check_interface(name: &str) -> Result<(), Error> {
    let problem = if name.is_empty() {
        "it is not set".to_owned()
    } else if name.len() > INTERFACE_BYTES_MAX {
        format!("{name:?} is longer than {INTERFACE_BYTES_MAX} characters")
    } else if name == "." || name == ".." {
        format!("{name:?} can't name an interface")
    } else if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        format!("{name:?} must not contain '/', ':' or white space")
    } else {
        return Ok(());
    };
    Err(bad("CNI_IFNAME", problem))
}

/// The specification's form of names of networks and identifiers of containers.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn parse_bool(value: &str) -> Result<bool, Error> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(bad(
            "CNI_ARGS",
            format!("IgnoreUnknown={value} is neither true nor false"),
        )),
    }
}

/// Identities travel in 24 bits, and 0 stands for nobody.
fn parse_identity(value: &str) -> Result<Identity, Error> {
    match value.parse() {
        Ok(number @ 1..=0xff_ffff) => Ok(Identity(number)),
        _ => Err(bad(
            "CNI_ARGS",
            format!("TOMBOLO_IDENTITY={value} is no number from 1 to 16777215"),
        )),
    }
}

fn bad(name: &'static str, problem: impl Into<String>) -> Error {
    Error::Environment {
        name,
        problem: problem.into(),
    }
}
