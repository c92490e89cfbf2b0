//! What goes wrong between a client and its API server, said so that who reads it knows what to do.

use std::fmt;

use kube::core::{Status, response::StatusCause};

use super::{Api, Client, ObjectName};
use crate::object::shorten;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{file} can't be used as a kubeconfig: {reason}")]
    Kubeconfig { file: String, reason: String },
    #[error(
        "{file} has no current context: choose one with --context, there are {}",
        list(known)
    )]
    NoContext { file: String, known: Vec<String> },
    #[error(
        "{file} has no context `{context}`: choose one with --context, there are {}",
        list(known)
    )]
    Context {
        context: String,
        file: String,
        known: Vec<String>,
    },
    #[error(
        "it is not known which cluster is meant: give --kubeconfig FILE, or run in a pod that has a service account ({reason})"
    )]
    Nowhere { reason: String },
    #[error(
        "the API server {server} of {whom} does not answer: {reason}; is the cluster up, and reachable from here?"
    )]
    Unreachable {
        server: String,
        whom: String,
        reason: String,
    },
    #[error(
        "the API server {server} does not know us by {whom}: {reason}; have the credentials expired, or are they another cluster's?"
    )]
    Credentials {
        server: String,
        whom: String,
        reason: String,
    },
    #[error(
        "{whom} may not {} {}: a role must allow the verb {} on {}, as the chart's roles do (the server says: {message})",
        subject.verb, subject.object(), subject.verb, subject.api
    )]
    Forbidden {
        whom: String,
        subject: Box<Subject>,
        message: String,
    },
    /// The server has no such kind of object.
    #[error("the cluster knows no {}: {hint}", subject.api)]
    NoKind {
        subject: Box<Subject>,
        hint: &'static str,
    },
    #[error("there is no {}", subject.object())]
    NotFound { subject: Box<Subject> },
    #[error("there is a {} already", subject.object())]
    Exists { subject: Box<Subject> },
    #[error("somebody else has changed {} meanwhile: {message}", subject.object())]
    Conflict {
        subject: Box<Subject>,
        message: String,
    },
    #[error("{} is refused: {}", subject.object(), causes(found))]
    Invalid {
        subject: Box<Subject>,
        /// Paths and what is wrong there.
        found: Vec<(String, String)>,
    },
    /// What a list or a watch was to go on from is too old: whoever asks begins anew.
    #[error("the version of {} to go on from is too old", subject.api)]
    Gone { subject: Box<Subject> },
    #[error("the API server can't {} {}: {code}, {message}", subject.verb, subject.object())]
    Server {
        subject: Box<Subject>,
        code: u16,
        message: String,
    },
    #[error("the API server's answer can't be read, of {} {}: {reason}", subject.verb, subject.object())]
    Answer {
        subject: Box<Subject>,
        reason: String,
    },
}

/// What was being done to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub verb: Verb,
    pub api: Api,
    /// Without a name: all there are, in this namespace or everywhere.
    pub name: ObjectName,
}

/// As roles name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

impl Verb {
    pub fn word(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Subject {
    fn object(&self) -> String {
        let Subject { api, name, .. } = self;
        match (name.name.as_str(), name.namespace.as_str()) {
            ("", "") => api.to_string(),
            ("", namespace) => format!("{api} in the namespace {namespace}"),
            _ => format!("{} {name}", api.kind),
        }
    }
}

impl Error {
    /// Whether waiting may mend it without anybody's doing.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Conflict { .. } | Error::Gone { .. } => true,
            Error::Server { code, .. } => *code == 429 || *code >= 500,
            _ => false,
        }
    }

    pub(super) fn new(client: &Client, subject: &Subject, error: kube::Error) -> Error {
        let subject = Box::new(subject.clone());
        let unreachable = |reason: String| Error::Unreachable {
            server: client.server().to_owned(),
            whom: client.whom().to_owned(),
            reason,
        };
        match error {
            kube::Error::Api(status) => Error::of_status(client, subject, *status),
            kube::Error::Auth(error) => Error::Credentials {
                server: client.server().to_owned(),
                whom: client.whom().to_owned(),
                reason: said(&error),
            },
            kube::Error::HyperError(error) => unreachable(said(&error)),
            kube::Error::Service(error) => match error.downcast::<kube::client::AuthError>() {
                Ok(error) => Error::Credentials {
                    server: client.server().to_owned(),
                    whom: client.whom().to_owned(),
                    reason: said(&*error),
                },
                Err(error) => unreachable(said(&*error)),
            },
            other => Error::Answer {
                subject,
                reason: said(&other),
            },
        }
    }

    fn of_status(client: &Client, subject: Box<Subject>, status: Status) -> Error {
        let message = shorten(&status.message);
        let about_object = status.details.is_some();
        match status.code {
            401 => Error::Credentials {
                server: client.server().to_owned(),
                whom: client.whom().to_owned(),
                reason: message,
            },
            403 => Error::Forbidden {
                whom: client.whom().to_owned(),
                subject,
                message,
            },
            404 if about_object => Error::NotFound { subject },
            404 => Error::NoKind {
                hint: hint(subject.api),
                subject,
            },
            409 if status.reason == "AlreadyExists" => Error::Exists { subject },
            409 => Error::Conflict { subject, message },
            410 => Error::Gone { subject },
            422 => Error::Invalid {
                found: found(status.details.map(|it| it.causes), message),
                subject,
            },
            code => Error::Server {
                subject,
                code,
                message,
            },
        }
    }
}

fn hint(api: Api) -> &'static str {
    match api.group {
        "cilium.io" => "Tombolo is not installed there, or its operator has not run yet",
        "multicluster.x-k8s.io" => {
            "install the definitions of the multi-cluster services API, or turn it off"
        }
        _ => "it may be too old for Tombolo",
    }
}

fn found(causes: Option<Vec<StatusCause>>, message: String) -> Vec<(String, String)> {
    let causes = causes.unwrap_or_default().into_iter();
    let mut found: Vec<_> = causes
        .map(|cause| (shorten(&cause.field), shorten(&cause.message)))
        .collect();
    if found.is_empty() {
        found.push((String::new(), message));
    }
    found
}

fn causes(found: &[(String, String)]) -> String {
    let each = found.iter().map(|(path, what)| match path.as_str() {
        "" => what.clone(),
        path => format!("{path}: {what}"),
    });
    each.collect::<Vec<_>>().join("; ")
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => names.join(", "),
    }
}

/// An error and its causes, of which some repeat the one below.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        below = cause.source();
    }
    shorten(&text)
}
