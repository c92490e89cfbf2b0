//! Events of Kubernetes: what people see at the end of `kubectl describe`.

use serde_json::json;
use tombolo_k8s::client::{Api, Client, Error, ObjectName};

use crate::stamp::{micro_stamp, now};

/// Where events are of objects that are in no namespace.
const NAMESPACE: &str = "default";
/// Kubernetes takes 1024 bytes.
const NOTE_CHARS_MAX: usize = 256;

/// Something that somebody should know of an object.
pub struct Notice<'a> {
    pub api: Api,
    pub name: &'a ObjectName,
    pub uid: &'a str,
    pub warning: bool,
    /// A word.
    pub reason: &'a str,
    /// What was being done, a word as well.
    pub action: &'a str,
    pub note: &'a str,
}

impl Notice<'_> {
    pub async fn tell(&self, client: &Client, program: &'static str) -> Result<(), Error> {
        let name = self.name;
        let namespace = match name.namespace.as_str() {
            "" => NAMESPACE,
            namespace => namespace,
        };
        let note: String = self.note.chars().take(NOTE_CHARS_MAX).collect();
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": format!("{}-", name.name), "namespace": namespace},
            "eventTime": micro_stamp(now()),
            "type": if self.warning { "Warning" } else { "Normal" },
            "reason": self.reason,
            "action": self.action,
            "note": note,
            "reportingController": format!("tombolo.io/{program}"),
            "reportingInstance": program,
            "regarding": {
                "apiVersion": self.api.api_version(),
                "kind": self.api.kind,
                "name": name.name,
                "namespace": name.namespace,
                "uid": self.uid,
            },
        });
        client
            .create(Api::EVENTS, namespace, &event)
            .await
            .map(drop)
    }
}
