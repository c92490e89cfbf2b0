//! The labels behind an identity, written as one line of text.

use super::RecordError;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Names the cluster of a pod.
pub const CLUSTER_LABEL: &str = "io.cilium.k8s.policy.cluster";

/// Names the namespace of a pod.
const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";

const LABELS_MAX: usize = 1024;

/// At most one of each key, in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(pub BTreeMap<String, Label>);

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// `k8s`, `reserved`, `cidr`, …
    pub source: String,
    pub value: String,
}

impl Labels {
    pub fn decode(value: &[u8]) -> Result<Labels, RecordError> {
        std::str::from_utf8(value)
            .map_err(RecordError::malformed)?
            .parse()
    }

    pub fn encode(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// The cluster that Kubernetes' pods with these labels are of.
    pub fn cluster(&self) -> Option<&str> {
        self.of_kubernetes(CLUSTER_LABEL)
    }

    /// The namespace that they are of.
    pub fn namespace(&self) -> Option<&str> {
        self.of_kubernetes(NAMESPACE_LABEL)
    }

    fn of_kubernetes(&self, key: &str) -> Option<&str> {
        let label = self.0.get(key)?;
        (label.source == "k8s").then_some(label.value.as_str())
    }
}

impl FromStr for Labels {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Labels, RecordError> {
        let mut labels = Labels::default();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (source, key) = name.split_once(':').unwrap_or(("unspec", name));
            if key.is_empty() {
                return Err(RecordError::Missing {
                    field: "label's key",
                });
            }
            let label = Label {
                source: source.to_owned(),
                value: value.to_owned(),
            };
            labels.0.insert(key.to_owned(), label);
            if labels.0.len() > LABELS_MAX {
                return Err(RecordError::TooMany {
                    what: "labels",
                    max: LABELS_MAX,
                });
            }
        }
        Ok(labels)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, Label { source, value }) in &self.0 {
            write!(f, "{source}:{key}={value};")?;
        }
        Ok(())
    }
}
