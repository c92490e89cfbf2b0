//! An identity: the labels behind a number.

use std::collections::BTreeMap;

use serde::Deserialize;
use tombolo_model::{
    id::Identity,
    record::{Labels, RecordError},
};

use super::form::{Fault, Source, or_default};

const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";

/// A cluster may have 65,535 of them: the labels are one text, and become a map when they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CiliumIdentity {
    pub identity: Identity,
    text: Box<str>,
    namespace: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Form {
    #[serde(deserialize_with = "or_default")]
    security_labels: BTreeMap<String, String>,
}

impl CiliumIdentity {
    pub(super) fn read(name: &str, source: &impl Source) -> Result<CiliumIdentity, Fault> {
        let identity = name
            .parse()
            .ok()
            .filter(|number: &u32| number.to_string() == name)
            .ok_or_else(|| Fault::new("metadata.name", format!("`{name}` is not a number")))?;
        let form: Form = source.read()?;
        let at = |reason: &str| Fault::new("security-labels", reason);
        let mut text = String::new();
        for (key, value) in &form.security_labels {
            // In the text these part one label from the next.
            if key.contains([';', '=']) || value.contains(';') {
                return Err(at(&format!("`{key}={value}` would read as other labels")));
            }
            text.extend([key, "=", value, ";"]);
        }
        let labels: Labels = text
            .parse()
            .map_err(|error: RecordError| at(&error.to_string()))?;
        let namespace = labels.0.get(NAMESPACE_LABEL);
        Ok(CiliumIdentity {
            identity: Identity(identity),
            text: labels.to_string().into(),
            namespace: namespace.map(|label| label.value.as_str().into()),
        })
    }

    /// None if it has no labels: such an identity says nothing.
    pub fn labels(&self) -> Option<Labels> {
        let labels: Labels = self
            .text
            .parse()
            .expect("a text that labels were written to");
        (!labels.0.is_empty()).then_some(labels)
    }

    /// That of its pods.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}
