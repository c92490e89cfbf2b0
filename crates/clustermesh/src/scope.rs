//! How much of a peer is read, when it is less than everything.

use std::collections::BTreeSet;

use bytes::Bytes;
use tombolo_model::{
    event::Event,
    record::{Address, Key, Labels, Name, Resource},
};

use crate::follow::Events;

#[cfg(test)]
mod tests;

/// The namespaces whose addresses, identities, services, endpoint slices and service exports are read.
///
/// What is out of scope is as if it were not in the peer's store: it is neither told nor rejected, and what leaves the
/// scope is told to have gone. What is of no namespace, like nodes and ranges of addresses, is always in scope, and so
/// is what can't be understood, to be rejected with its reason. It is still sent by the store, which knows nothing of
/// this, and so it is in the count of records. Clusters need no scope: whom no file names is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    All,
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// Takes out what is out of scope. A snapshot sweeps what it does not tell; a change must say that it goes.
    pub(crate) fn narrow(&self, resource: Resource, snapshot: bool, events: Events) -> Events {
        let Scope::Namespaces(namespaces) = self else {
            return events;
        };
        let told = events.into_iter().filter_map(|event| match event {
            Event::Upsert(key, value) => match namespace(resource, &key, &value) {
                Some(namespace) if !namespaces.contains(&namespace) => {
                    (!snapshot).then_some(Event::Delete(key))
                }
                _ => Some(Event::Upsert(key, value)),
            },
            event => Some(event),
        });
        told.collect()
    }
}

/// The namespace that a record is of; none too if it can't be understood.
fn namespace(resource: Resource, key: &Bytes, value: &Bytes) -> Option<String> {
    let namespace = match resource {
        Resource::Nodes => return None,
        Resource::Addresses => Address::decode(value).ok()?.namespace,
        Resource::Identities => Labels::decode(value).ok()?.namespace()?.to_owned(),
        Resource::Services | Resource::EndpointSlices | Resource::ServiceExports => {
            match std::str::from_utf8(key).ok()?.parse().ok()? {
                Key::Record(key) => match key.name() {
                    Name::Service(name) | Name::EndpointSlice(name) | Name::ServiceExport(name) => {
                        name.namespace.clone()
                    }
                    Name::Node(_) | Name::Identity(_) | Name::Address(_) => return None,
                },
                Key::Heartbeat
                | Key::ClusterConfig { .. }
                | Key::Synced { .. }
                | Key::Unheard { .. } => return None,
            }
        }
    };
    (!namespace.is_empty()).then_some(namespace)
}
