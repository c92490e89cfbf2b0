//! What a change of a service, of its slices or of its export may change in what is told.

use std::sync::Arc;

use super::{
    Translator,
    spaces::{Place, Space},
};
use crate::{
    ObjectKey,
    object::{EndpointSlice, Service, ServiceExport},
};

impl Translator {
    pub(super) fn upsert_service(
        &mut self,
        key: &ObjectKey,
        object: Box<Service>,
        generation: u32,
    ) {
        let is_told = object.is_told();
        let (namespace, space) = self.objects.space(&key.namespace);
        if let Some((name, before)) = space.services.put(&key.name, object, generation) {
            let scope_changed = before.is_some_and(|before| before.is_told()) != is_told;
            self.mark_service(Place { namespace, name }, scope_changed);
        }
    }

    pub(super) fn remove_service(&mut self, namespace: &str, name: &str) {
        let Some((namespace, space)) = self.objects.known_space(namespace) else {
            return;
        };
        if let Some((name, before)) = space.services.take(name) {
            self.mark_service(Place { namespace, name }, before.is_told());
        }
    }

    fn mark_service(&mut self, place: Place, scope_changed: bool) {
        let space = &self.objects.spaces[&place.namespace];
        if scope_changed {
            for name in space.slices_of(&place.name) {
                let (namespace, name) = (place.namespace.clone(), name.clone());
                self.slices.mark(Place { namespace, name });
            }
        }
        if space.exports.get(&place.name).is_some() {
            self.exports.mark(place.clone());
        }
        self.services.mark(place);
    }

    pub(super) fn upsert_slice(
        &mut self,
        key: &ObjectKey,
        mut object: Box<EndpointSlice>,
        generation: u32,
    ) {
        let words = &mut self.objects.words;
        for endpoint in &mut object.endpoints {
            endpoint.node = endpoint.node.take().map(|name| words.of(name));
            endpoint.zone = endpoint.zone.take().map(|name| words.of(name));
            for zone in endpoint.hints.iter_mut().flatten() {
                *zone = words.of(zone.clone());
            }
        }
        let service = object.service().map(str::to_owned);
        let (namespace, space) = self.objects.space(&key.namespace);
        let Some((name, before)) = space.slices.put(&key.name, object, generation) else {
            return;
        };
        let before = before.as_ref().and_then(|before| before.service());
        if let Some(before) = before
            && service.as_deref() != Some(before)
        {
            space.unback(before, &name);
            self.mark_backed(&namespace, before);
        }
        if let Some(service) = service {
            self.objects.space(&namespace).1.back(&service, &name);
            self.mark_backed(&namespace, &service);
        }
        self.slices.mark(Place { namespace, name });
    }

    pub(super) fn remove_slice(&mut self, namespace: &str, name: &str) {
        let Some((namespace, space)) = self.objects.known_space(namespace) else {
            return;
        };
        if let Some((name, before)) = space.slices.take(name) {
            if let Some(service) = before.service() {
                space.unback(service, &name);
                self.mark_backed(&namespace, service);
            }
            self.slices.mark(Place { namespace, name });
        }
    }

    /// The service of a slice, if there is one.
    fn mark_backed(&mut self, namespace: &Arc<str>, service: &str) {
        if let Some(name) = self.objects.spaces[namespace].services.name(service) {
            self.services.mark(Place {
                namespace: namespace.clone(),
                name: name.clone(),
            });
        }
    }

    pub(super) fn upsert_export(
        &mut self,
        key: &ObjectKey,
        object: Box<ServiceExport>,
        generation: u32,
    ) {
        let (namespace, space) = self.objects.space(&key.namespace);
        if let Some((name, _)) = space.exports.put(&key.name, object, generation) {
            self.exports.mark(Place { namespace, name });
        }
    }

    pub(super) fn remove_export(&mut self, namespace: &str, name: &str) {
        let Some((namespace, space)) = self.objects.known_space(namespace) else {
            return;
        };
        if let Some((name, _)) = space.exports.take(name) {
            self.exports.mark(Place { namespace, name });
        }
    }
}

impl Space {
    pub(super) fn slices_of(&self, service: &str) -> impl Iterator<Item = &Arc<str>> {
        self.backing.get(service).into_iter().flatten()
    }

    fn back(&mut self, service: &str, slice: &Arc<str>) {
        match self.backing.get_mut(service) {
            Some(slices) => {
                slices.insert(slice.clone());
            }
            None => {
                self.backing.insert(service.into(), [slice.clone()].into());
            }
        }
    }

    fn unback(&mut self, service: &str, slice: &Arc<str>) {
        if let Some(slices) = self.backing.get_mut(service) {
            slices.remove(slice);
            if slices.is_empty() {
                self.backing.remove(service);
            }
        }
    }
}
