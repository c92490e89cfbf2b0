//! From events of objects to events of records.

mod backing;
mod claims;
mod follow;
mod outbox;
mod records;
mod shared;
mod spaces;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use tombolo_model::{
    event::Event,
    id::{ClusterId, Identity},
    record::{AddressName, ExportMode, Name, Record, Resource},
};

use crate::{Kind, Object, ObjectKey};
use outbox::Outbox;
use spaces::{Objects, Place};

/// What is told of a cluster, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub cluster: String,
    pub cluster_id: ClusterId,
    /// Whether namespaces that don't say it themselves are global.
    pub default_global_namespace: bool,
    /// Whether services are told as such, as endpoint slices, or as both.
    pub export: ExportMode,
    /// Whether services are exported by the multi-cluster services API. If not, it is told that there are none.
    pub service_exports: bool,
}

#[derive(Debug)]
pub struct Translator {
    options: Options,
    kinds: [Feed; Kind::ALL.len()],
    objects: Objects,
    nodes: Outbox<Arc<str>>,
    identities: Outbox<Identity>,
    addresses: Outbox<IpAddr>,
    services: Outbox<Place>,
    slices: Outbox<Place>,
    exports: Outbox<Place>,
}

/// How far a kind's source has come.
#[derive(Debug, Default)]
struct Feed {
    /// How often it began anew: objects that were last told of before go with the next `Synced`.
    generation: u32,
    synced: bool,
}

impl Translator {
    pub fn new(options: Options) -> Translator {
        Translator {
            objects: Objects::new(options.default_global_namespace),
            options,
            kinds: Default::default(),
            nodes: Outbox::default(),
            identities: Outbox::default(),
            addresses: Outbox::default(),
            services: Outbox::default(),
            slices: Outbox::default(),
            exports: Outbox::default(),
        }
    }

    /// What is told of.
    pub fn resources(&self) -> impl Iterator<Item = Resource> + use<> {
        let export = self.options.export;
        Resource::ALL
            .into_iter()
            .filter(move |resource| match resource {
                Resource::Services => export != ExportMode::EndpointSlices,
                Resource::EndpointSlices => export != ExportMode::Services,
                _ => true,
            })
    }

    /// An event of objects of this kind.
    pub fn handle(&mut self, kind: Kind, event: Event<ObjectKey, Object>) {
        match event {
            Event::Restart => self.feed(kind).generation += 1,
            Event::Upsert(key, object) => {
                assert_eq!(
                    (key.kind, object.kind()),
                    (kind, kind),
                    "{key} comes as {kind}"
                );
                self.upsert(key, object);
            }
            Event::Delete(key) => {
                assert_eq!(key.kind, kind, "{key} comes as {kind}");
                self.remove(kind, &key.namespace, &key.name);
            }
            Event::Synced => {
                let generation = self.feed(kind).generation;
                for (namespace, name) in self.objects.older(kind, generation) {
                    self.remove(kind, &namespace, &name);
                }
                self.feed(kind).synced = true;
            }
        }
    }

    /// An object that is there but could not be taken: what was known of it stays, beyond the next `Synced` too.
    pub fn keep(&mut self, key: &ObjectKey) {
        let generation = self.feed(key.kind).generation;
        self.objects.keep(key, generation);
    }

    /// The next event of records, until there are none.
    pub fn poll(&mut self) -> Option<(Resource, Event<Name, Record>)> {
        self.resources().find_map(|resource| {
            let event = self.poll_one(resource)?;
            Some((resource, event))
        })
    }

    fn poll_one(&mut self, resource: Resource) -> Option<Event<Name, Record>> {
        let ready = self.is_ready(resource);
        let (options, objects) = (&self.options, &self.objects);
        match resource {
            Resource::Nodes => {
                let make = |name: &Arc<str>| {
                    let record = objects.node(options, name);
                    (Name::Node(name.to_string()), record)
                };
                self.nodes.next(ready, || objects.all_nodes(), make)
            }
            Resource::Identities => {
                let make = |identity: &Identity| {
                    let record = objects.identity(*identity);
                    (Name::Identity(*identity), record)
                };
                self.identities
                    .next(ready, || objects.all_identities(), make)
            }
            Resource::Addresses => {
                let make = |ip: &IpAddr| {
                    let (ip, length) = (*ip, None);
                    (
                        Name::Address(AddressName { ip, length }),
                        objects.address(ip),
                    )
                };
                self.addresses.next(ready, || objects.claims.all(), make)
            }
            Resource::Services => {
                let make =
                    |place: &Place| (Name::Service(place.into()), objects.service(options, place));
                self.services.next(ready, || objects.all_services(), make)
            }
            Resource::EndpointSlices => {
                let make = |place: &Place| {
                    (
                        Name::EndpointSlice(place.into()),
                        objects.slice(options, place),
                    )
                };
                self.slices.next(ready, || objects.all_slices(), make)
            }
            Resource::ServiceExports => {
                let make = |place: &Place| {
                    (
                        Name::ServiceExport(place.into()),
                        objects.export(options, place),
                    )
                };
                self.exports.next(ready, || objects.all_exports(), make)
            }
        }
    }

    /// Whether every kind that it is made of has been told once.
    pub fn is_ready(&self, resource: Resource) -> bool {
        self.sources(resource)
            .iter()
            .all(|kind| self.kinds[*kind as usize].synced)
    }

    /// Whether this kind has been told once.
    pub fn is_synced(&self, kind: Kind) -> bool {
        self.kinds[kind as usize].synced
    }

    /// How many objects of this kind are known.
    pub fn objects(&self, kind: Kind) -> usize {
        self.objects.count(kind)
    }

    /// How many records of this resource are told of.
    pub fn records(&self, resource: Resource) -> usize {
        match resource {
            Resource::Nodes => self.nodes.told(),
            Resource::Identities => self.identities.told(),
            Resource::Addresses => self.addresses.told(),
            Resource::Services => self.services.told(),
            Resource::EndpointSlices => self.slices.told(),
            Resource::ServiceExports => self.exports.told(),
        }
    }

    /// The kinds that a resource is made of.
    fn sources(&self, resource: Resource) -> &'static [Kind] {
        match resource {
            Resource::Nodes => &[Kind::CiliumNode],
            Resource::Identities => &[Kind::CiliumIdentity, Kind::Namespace],
            Resource::Addresses => &[Kind::CiliumEndpoint, Kind::Namespace],
            Resource::Services | Resource::EndpointSlices => {
                &[Kind::Service, Kind::EndpointSlice, Kind::Namespace]
            }
            Resource::ServiceExports if self.options.service_exports => {
                &[Kind::ServiceExport, Kind::Service, Kind::Namespace]
            }
            Resource::ServiceExports => &[],
        }
    }

    fn feed(&mut self, kind: Kind) -> &mut Feed {
        &mut self.kinds[kind as usize]
    }
}
