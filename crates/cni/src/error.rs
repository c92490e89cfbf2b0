//! What can go wrong, and how the CNI specification numbers it.
//!
//! Deliberately without recovery: each command undoes its own work before it hands an error up.

use crate::{call::Command, spec::Version};
use serde_json::{Value, json};
use std::{io, path::PathBuf};
use tombolo_model::local::{Failure, FailureCode};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("incompatible CNI version {0:?}; this plugin speaks {list}", list = Version::list())]
    UnknownVersion(String),
    #[error(
        "incompatible CNI version: {command} came with {since}, and the configuration says {version}"
    )]
    CommandTooNew {
        command: Command,
        since: Version,
        version: Version,
    },
    #[error("unsupported field in the network configuration: {key} = {value}")]
    UnsupportedField { key: &'static str, value: Value },
    #[error("the container's network namespace {path} does not exist")]
    UnknownNetns { path: PathBuf },
    #[error("the agent knows no {interface} of container {container}")]
    UnknownAttachment {
        container: String,
        interface: String,
    },
    #[error("invalid environment variable {name}: {problem}")]
    Environment { name: &'static str, problem: String },
    #[error("reading the network configuration from the standard input")]
    Input(#[source] io::Error),
    #[error("{operation} {path}")]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{path} holds {limit} deletions already; start the agent of this node, which works them off"
    )]
    QueueFull { path: PathBuf, limit: usize },
    #[error("the network configuration is longer than 1 MiB")]
    InputTooLong,
    #[error("decoding {subject}")]
    Decode {
        subject: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("invalid network configuration: {key} {problem}")]
    Config { key: &'static str, problem: String },
    #[error(
        "no agent answers at {socket}: start it (`tombolo agent`, or the tombolo pod of this node) and try again"
    )]
    AgentAway {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The agent's own words.
    #[error("{0}")]
    Refused(Failure),
    #[error("the agent at {socket} is of another version: it answered {reply}")]
    UnknownReply { socket: PathBuf, reply: String },
    /// Names its operation and subject itself.
    #[error(transparent)]
    Kernel(#[from] tombolo_linux::Error),
    #[error("{0}")]
    Broken(String),
    #[error("new pods can't be attached: {problem}")]
    NotReady { problem: String, hint: String },
}

impl Error {
    /// Numbers below 100 are the specification's.
    pub fn code(&self) -> u32 {
        match self {
            Error::UnknownVersion(_) | Error::CommandTooNew { .. } => 1,
            Error::UnsupportedField { .. } => 2,
            Error::UnknownNetns { .. } | Error::UnknownAttachment { .. } => 3,
            Error::Environment { .. } => 4,
            Error::Input(_) | Error::File { .. } | Error::QueueFull { .. } => 5,
            Error::InputTooLong | Error::Decode { .. } => 6,
            Error::Config { .. } => 7,
            Error::AgentAway { .. } => 11,
            Error::NotReady { .. } => 50,
            Error::Kernel(_) => 100,
            Error::UnknownReply { .. } => 101,
            Error::Broken(_) => 105,
            Error::Refused(failure) => match failure.code {
                // A reservation is lost when the agent restarts in the midst of an ADD.
                FailureCode::NotFound | FailureCode::Unavailable => 11,
                FailureCode::Kernel => 100,
                FailureCode::BadRequest => 101,
                FailureCode::Exists => 102,
                FailureCode::Exhausted => 103,
            },
        }
    }

    /// The object that the specification wants on the standard output.
    pub fn render(&self, version: Version) -> Value {
        let mut error =
            json!({"cniVersion": version, "code": self.code(), "msg": self.to_string()});
        let details = self.details();
        if !details.is_empty() {
            error["details"] = details.into();
        }
        error
    }

    /// The causes and what to do, as far as the message has not told.
    fn details(&self) -> String {
        let message = self.to_string();
        let mut parts = Vec::new();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            parts.push(error.to_string());
            cause = error.source();
        }
        parts.retain(|part| !message.contains(part.as_str()));
        match self {
            Error::Refused(failure) => parts.push(failure.hint.clone()),
            Error::NotReady { hint, .. } => parts.push(hint.clone()),
            _ => {}
        }
        parts.retain(|part| !part.is_empty());
        parts.join(": ")
    }
}
