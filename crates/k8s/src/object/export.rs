//! The wish that a service be known under the same name in all clusters (multi-cluster services API).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::form::{Fault, Source, Words, or_default};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceExport {
    /// RFC 3339. Of two clusters' exports the older one is believed.
    pub created: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    #[serde(deserialize_with = "or_default")]
    creation_timestamp: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    #[serde(deserialize_with = "or_default")]
    exported_labels: Words,
    #[serde(deserialize_with = "or_default")]
    exported_annotations: Words,
}

impl ServiceExport {
    pub(super) fn read(source: &impl Source) -> Result<ServiceExport, Fault> {
        let Form { metadata, spec } = source.read()?;
        let created = metadata.creation_timestamp;
        if !is_moment(&created) {
            let reason = match created.as_str() {
                "" => {
                    "it is missing, and peers refuse exports whose age they don't know".to_owned()
                }
                _ => format!("`{created}` is not a moment like 2026-11-21T06:54:22Z"),
            };
            return Err(Fault::new("metadata.creationTimestamp", reason));
        }
        Ok(ServiceExport {
            created,
            labels: spec.exported_labels,
            annotations: spec.exported_annotations,
        })
    }
}

/// As Kubernetes writes it.
fn is_moment(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    let fits = |(byte, form): (u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == *form,
    };
    text.len() == FORM.len() && text.bytes().zip(FORM).all(fits)
}
