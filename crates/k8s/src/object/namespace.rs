//! A namespace: whether what is in it may be told to other clusters.

use serde::Deserialize;

use super::form::{Fault, Source, Words, or_default};

const GLOBAL: &str = "clustermesh.cilium.io/global";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// What its annotation says; without one, an option decides.
    pub global: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    #[serde(deserialize_with = "or_default")]
    annotations: Words,
}

impl Namespace {
    pub(super) fn read(source: &impl Source) -> Result<Namespace, Fault> {
        let form: Form = source.read()?;
        let annotation = form.metadata.annotations.get(GLOBAL);
        // Whoever writes the annotation means to restrict: what is not plainly true is false.
        let global = annotation.map(|value| value.eq_ignore_ascii_case("true"));
        Ok(Namespace { global })
    }
}
