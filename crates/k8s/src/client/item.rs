//! One object as the API server gave it, not yet read any further.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Api;
use crate::{
    Kind, Object, ObjectKey, Reject,
    object::{Head, Json, Source as _, key, object},
};

/// Which object, of a kind that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Empty for kinds that are not in namespaces.
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// May hold secrets, so it shows nothing of what it says.
#[derive(Clone)]
pub struct Item {
    kind: &'static str,
    name: ObjectName,
    version: String,
    uid: String,
    text: Box<RawValue>,
}

impl Item {
    pub(super) fn new(kind: &'static str, text: Box<RawValue>) -> Result<Item, Reject> {
        let head: Head = Json(&text)
            .read()
            .map_err(|fault| Reject::new(kind, None, fault))?;
        let meta = head.metadata;
        Ok(Item {
            kind,
            name: ObjectName {
                namespace: meta.namespace,
                name: meta.name,
            },
            version: meta.resource_version,
            uid: meta.uid,
            text,
        })
    }

    /// Of JSON that came another way than from a client.
    pub fn parse(api: Api, text: &str) -> Result<Item, Reject> {
        let text = RawValue::from_string(text.to_owned())
            .map_err(|error| Reject::whole(api.kind, error.to_string()))?;
        Item::new(api.kind, text)
    }

    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// The version of the object, for an update that must not undo another's.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Two objects of one name that follow each other differ in it.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Reads what is wanted of it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Reject> {
        Json(&self.text)
            .read()
            .map_err(|fault| Reject::new(&self.place(), None, fault))
    }

    /// Reads it as an object that peers are told of.
    pub fn object(&self, kind: Kind) -> Result<(ObjectKey, Object), Reject> {
        let source = Json(&self.text);
        let head: Head = source
            .read()
            .map_err(|fault| Reject::new(&self.place(), None, fault))?;
        let key = key(kind, head).map_err(|fault| Reject::new(&self.place(), None, fault))?;
        match object(&key, &source) {
            Ok(object) => Ok((key, object)),
            Err(fault) => Err(Reject::new("the API server", Some(key), fault)),
        }
    }

    fn place(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.place(), self.version)
    }
}
