//! What is known of Kubernetes: objects in their namespaces, each with the generation in which it was last told of.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use tombolo_model::{id::Identity, record::Namespaced};

use super::{claims::Claims, shared::Shared};
use crate::{
    Kind, ObjectKey,
    object::{
        CiliumEndpoint, CiliumIdentity, CiliumNode, EndpointSlice, NamedPort, Namespace, Service,
        ServiceExport,
    },
};

/// A namespace and a name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
}

#[derive(Debug)]
pub(super) struct Objects {
    pub(super) default_global: bool,
    pub(super) nodes: Names<Box<CiliumNode>>,
    pub(super) identities: BTreeMap<Identity, Kept<CiliumIdentity>>,
    pub(super) spaces: BTreeMap<Arc<str>, Space>,
    pub(super) claims: Claims,
    pub(super) words: Shared<str>,
    pub(super) ports: Shared<[NamedPort]>,
}

/// What is in a namespace, be the namespace itself known or not.
#[derive(Debug, Default)]
pub(super) struct Space {
    pub(super) namespace: Option<Kept<Namespace>>,
    pub(super) identities: BTreeSet<Identity>,
    pub(super) endpoints: Names<CiliumEndpoint>,
    pub(super) services: Names<Box<Service>>,
    pub(super) slices: Names<Box<EndpointSlice>>,
    /// The slices of each service, be the service itself known or not.
    pub(super) backing: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    pub(super) exports: Names<Box<ServiceExport>>,
}

#[derive(Debug)]
pub(super) struct Names<T>(BTreeMap<Arc<str>, Kept<T>>);

#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) object: T,
    pub(super) generation: u32,
}

impl<T> Default for Names<T> {
    fn default() -> Names<T> {
        Names(BTreeMap::new())
    }
}

impl<T: PartialEq> Kept<T> {
    /// What was there before, if it was another.
    pub(super) fn replace(&mut self, object: T, generation: u32) -> Option<T> {
        self.generation = generation;
        (self.object != object).then(|| mem::replace(&mut self.object, object))
    }
}

impl<T: PartialEq> Names<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        Some(&self.0.get(name)?.object)
    }

    pub(super) fn name(&self, name: &str) -> Option<&Arc<str>> {
        Some(self.0.get_key_value(name)?.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &T)> {
        self.0.iter().map(|(name, kept)| (name, &kept.object))
    }

    /// The name as it is kept and what was there before; none if nothing has changed.
    pub(super) fn put(
        &mut self,
        name: &str,
        object: T,
        generation: u32,
    ) -> Option<(Arc<str>, Option<T>)> {
        if let Some(kept) = self.0.get_mut(name) {
            let before = kept.replace(object, generation)?;
            return Some((self.name(name)?.clone(), Some(before)));
        }
        let name: Arc<str> = name.into();
        self.0.insert(name.clone(), Kept { object, generation });
        Some((name, None))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<(Arc<str>, T)> {
        let (name, kept) = self.0.remove_entry(name)?;
        Some((name, kept.object))
    }

    fn keep(&mut self, name: &str, generation: u32) {
        if let Some(kept) = self.0.get_mut(name) {
            kept.generation = generation;
        }
    }

    fn older(&self, generation: u32) -> impl Iterator<Item = &Arc<str>> {
        let old = move |(_, kept): &(_, &Kept<T>)| kept.generation != generation;
        self.0.iter().filter(old).map(|(name, _)| name)
    }
}

impl Objects {
    pub(super) fn new(default_global: bool) -> Objects {
        Objects {
            default_global,
            nodes: Names::default(),
            identities: BTreeMap::new(),
            spaces: BTreeMap::new(),
            claims: Claims::default(),
            words: Shared::default(),
            ports: Shared::default(),
        }
    }

    /// A namespace that is not known is not global.
    pub(super) fn is_global(&self, space: &Space) -> bool {
        let namespace = space.namespace.as_ref();
        namespace.is_some_and(|kept| kept.object.global.unwrap_or(self.default_global))
    }

    /// The space of this name, and the name as it is kept.
    pub(super) fn space(&mut self, namespace: &str) -> (Arc<str>, &mut Space) {
        let name = match self.spaces.get_key_value(namespace) {
            Some((name, _)) => name.clone(),
            None => namespace.into(),
        };
        let space = self.spaces.entry(name.clone()).or_default();
        (name, space)
    }

    pub(super) fn drop_if_empty(&mut self, namespace: &str) {
        if self.spaces.get(namespace).is_some_and(Space::is_empty) {
            self.spaces.remove(namespace);
        }
    }

    pub(super) fn keep(&mut self, key: &ObjectKey, generation: u32) {
        let name = key.name.as_str();
        match key.kind {
            Kind::CiliumNode => return self.nodes.keep(name, generation),
            Kind::CiliumIdentity => {
                let identity = name.parse().ok().map(Identity);
                let kept = identity.and_then(|identity| self.identities.get_mut(&identity));
                return kept.map_or((), |kept| kept.generation = generation);
            }
            _ => {}
        }
        let namespace = match key.kind {
            Kind::Namespace => name,
            _ => &key.namespace,
        };
        let Some(space) = self.spaces.get_mut(namespace) else {
            return;
        };
        match key.kind {
            Kind::Namespace => {
                if let Some(kept) = &mut space.namespace {
                    kept.generation = generation;
                }
            }
            Kind::CiliumEndpoint => space.endpoints.keep(name, generation),
            Kind::Service => space.services.keep(name, generation),
            Kind::EndpointSlice => space.slices.keep(name, generation),
            Kind::ServiceExport => space.exports.keep(name, generation),
            Kind::CiliumNode | Kind::CiliumIdentity => {}
        }
    }

    /// The objects of a kind that were told of only before this generation, by namespace and name.
    pub(super) fn older(&self, kind: Kind, generation: u32) -> Vec<(Arc<str>, Arc<str>)> {
        let nowhere: Arc<str> = "".into();
        match kind {
            Kind::CiliumNode => {
                let names = self.nodes.older(generation).cloned();
                names.map(|name| (nowhere.clone(), name)).collect()
            }
            Kind::CiliumIdentity => {
                let old = self
                    .identities
                    .iter()
                    .filter(|(_, kept)| kept.generation != generation);
                let name = |(identity, _): (&Identity, _)| {
                    (nowhere.clone(), identity.0.to_string().into())
                };
                old.map(name).collect()
            }
            Kind::Namespace => {
                let old = |space: &Space| {
                    space
                        .namespace
                        .as_ref()
                        .is_some_and(|kept| kept.generation != generation)
                };
                let spaces = self.spaces.iter().filter(|(_, space)| old(space));
                spaces
                    .map(|(name, _)| (nowhere.clone(), name.clone()))
                    .collect()
            }
            Kind::CiliumEndpoint | Kind::Service | Kind::EndpointSlice | Kind::ServiceExport => {
                let mut found = Vec::new();
                for (namespace, space) in &self.spaces {
                    let mut take = |name: &Arc<str>| found.push((namespace.clone(), name.clone()));
                    match kind {
                        Kind::CiliumEndpoint => space.endpoints.older(generation).for_each(take),
                        Kind::Service => space.services.older(generation).for_each(take),
                        Kind::EndpointSlice => space.slices.older(generation).for_each(take),
                        _ => space.exports.older(generation).for_each(&mut take),
                    }
                }
                found
            }
        }
    }

    pub(super) fn all_nodes(&self) -> impl Iterator<Item = Arc<str>> {
        self.nodes.0.keys().cloned()
    }

    pub(super) fn all_identities(&self) -> impl Iterator<Item = Identity> {
        self.identities.keys().copied()
    }

    pub(super) fn all_services(&self) -> impl Iterator<Item = Place> {
        self.all(|space| &space.services)
    }

    pub(super) fn all_slices(&self) -> impl Iterator<Item = Place> {
        self.all(|space| &space.slices)
    }

    pub(super) fn all_exports(&self) -> impl Iterator<Item = Place> {
        self.all(|space| &space.exports)
    }

    fn all<T: 'static>(&self, of: fn(&Space) -> &Names<T>) -> impl Iterator<Item = Place> {
        self.spaces.iter().flat_map(move |(namespace, space)| {
            of(space).0.keys().map(|name| Place {
                namespace: namespace.clone(),
                name: name.clone(),
            })
        })
    }

    pub(super) fn count(&self, kind: Kind) -> usize {
        let of = |count: fn(&Space) -> usize| self.spaces.values().map(count).sum();
        match kind {
            Kind::CiliumNode => self.nodes.0.len(),
            Kind::CiliumIdentity => self.identities.len(),
            Kind::Namespace => of(|space| usize::from(space.namespace.is_some())),
            Kind::CiliumEndpoint => of(|space| space.endpoints.0.len()),
            Kind::Service => of(|space| space.services.0.len()),
            Kind::EndpointSlice => of(|space| space.slices.0.len()),
            Kind::ServiceExport => of(|space| space.exports.0.len()),
        }
    }
}

impl Space {
    fn is_empty(&self) -> bool {
        self.namespace.is_none()
            && self.identities.is_empty()
            && self.endpoints.0.is_empty()
            && self.services.0.is_empty()
            && self.slices.0.is_empty()
            && self.exports.0.is_empty()
    }
}

impl From<&Place> for Namespaced {
    fn from(place: &Place) -> Namespaced {
        Namespaced {
            namespace: place.namespace.to_string(),
            name: place.name.to_string(),
        }
    }
}
