//! Which objects of a kind.

use std::fmt;

use kube::api::{ListParams, WatchParams};

use super::{Api, ObjectName};

/// All of a kind, until it is narrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub(super) api: Api,
    namespace: String,
    fields: Vec<String>,
    labels: Option<String>,
}

impl Selection {
    pub fn all(api: Api) -> Selection {
        Selection {
            api,
            namespace: String::new(),
            fields: Vec::new(),
            labels: None,
        }
    }

    /// The object of this name, whether it is there or not.
    pub fn one(api: Api, namespace: &str, name: &str) -> Selection {
        Selection::all(api)
            .within(namespace)
            .field("metadata.name", name)
    }

    pub fn within(mut self, namespace: &str) -> Selection {
        namespace.clone_into(&mut self.namespace);
        self
    }

    pub fn field(mut self, path: &str, value: &str) -> Selection {
        self.fields.push(format!("{path}={value}"));
        self
    }

    /// As `kubectl --selector` takes it.
    pub fn labels(mut self, selector: &str) -> Selection {
        self.labels = Some(selector.to_owned());
        self
    }

    pub(super) fn path(&self) -> String {
        self.api.path(&self.namespace)
    }

    pub(super) fn name(&self) -> ObjectName {
        ObjectName {
            namespace: self.namespace.clone(),
            name: String::new(),
        }
    }

    pub(super) fn list(&self, page: u32, continue_token: Option<&str>) -> ListParams {
        ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.field_selector(),
            limit: Some(page),
            continue_token: continue_token.map(str::to_owned),
            ..ListParams::default()
        }
    }

    pub(super) fn watch(&self, seconds: u32) -> WatchParams {
        WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.field_selector(),
            timeout: Some(seconds),
            bookmarks: true,
            ..WatchParams::default()
        }
    }

    fn field_selector(&self) -> Option<String> {
        (!self.fields.is_empty()).then(|| self.fields.join(","))
    }
}

/// Like `secrets in kube-system with metadata.name=keys`.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.api)?;
        if !self.namespace.is_empty() {
            write!(f, " in {}", self.namespace)?;
        }
        for narrowed in self.fields.iter().chain(&self.labels) {
            write!(f, " with {narrowed}")?;
        }
        Ok(())
    }
}
