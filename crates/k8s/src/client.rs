//! The connection to a cluster's Kubernetes API: reading, watching and writing objects.
//!
//! Knows how to ask and what answers mean, and nothing of what is done with objects. Tries nothing again but watches:
//! whoever writes knows whether that still makes sense.

mod api;
mod connect;
mod error;
mod item;
mod pause;
mod pod;
mod request;
mod selection;
mod watch;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

pub use api::Api;
pub use connect::Connect;
pub use error::{Error, Subject, Verb};
pub use item::{Item, ObjectName};
pub use request::MANAGER;
pub use selection::Selection;
pub use watch::{Change as WatchChange, Watch};

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take, repetitions of a request that the server was too busy for included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: kube::Client,
    target: Arc<Target>,
}

/// Whom a client speaks to, and as whom, for people who read an error.
#[derive(Debug)]
struct Target {
    /// The URL of the API server.
    server: String,
    /// Like `the context cluster1 of /root/.kube/config`.
    whom: String,
    /// The namespace that is meant where none is said.
    namespace: String,
}

impl Client {
    /// The URL of the API server.
    pub fn server(&self) -> &str {
        &self.target.server
    }

    /// Where the credentials are from, like `the context cluster1 of /root/.kube/config`.
    pub fn whom(&self) -> &str {
        &self.target.whom
    }

    /// That of the context, or the pod's own.
    pub fn namespace(&self) -> &str {
        &self.target.namespace
    }
}
