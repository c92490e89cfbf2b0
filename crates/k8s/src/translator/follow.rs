//! What a change of an object may change in what is told; services and what belongs to them are in `backing`.

use std::{mem, net::IpAddr, sync::Arc};

use tombolo_model::id::Identity;

use super::{
    Translator,
    spaces::{Kept, Objects, Place, Space},
};
use crate::{
    Kind, Object, ObjectKey,
    object::{CiliumEndpoint, CiliumIdentity, CiliumNode, Namespace},
};

impl Translator {
    pub(super) fn upsert(&mut self, key: ObjectKey, object: Object) {
        let generation = self.kinds[key.kind as usize].generation;
        match object {
            Object::Namespace(object) => self.set_namespace(&key.name, Some(object), generation),
            Object::CiliumNode(object) => self.upsert_node(&key, object, generation),
            Object::CiliumIdentity(object) => self.upsert_identity(object, generation),
            Object::CiliumEndpoint(object) => self.upsert_endpoint(&key, object, generation),
            Object::Service(object) => self.upsert_service(&key, object, generation),
            Object::EndpointSlice(object) => self.upsert_slice(&key, object, generation),
            Object::ServiceExport(object) => self.upsert_export(&key, object, generation),
        }
    }

    pub(super) fn remove(&mut self, kind: Kind, namespace: &str, name: &str) {
        match kind {
            Kind::Namespace => return self.set_namespace(name, None, 0),
            Kind::CiliumNode => {
                if let Some((name, _)) = self.objects.nodes.take(name) {
                    self.nodes.mark(name);
                }
                return;
            }
            Kind::CiliumIdentity => return self.remove_identity(name),
            Kind::CiliumEndpoint => self.remove_endpoint(namespace, name),
            Kind::Service => self.remove_service(namespace, name),
            Kind::EndpointSlice => self.remove_slice(namespace, name),
            Kind::ServiceExport => self.remove_export(namespace, name),
        }
        self.objects.drop_if_empty(namespace);
    }

    fn upsert_node(&mut self, key: &ObjectKey, object: Box<CiliumNode>, generation: u32) {
        if let Some((name, _)) = self.objects.nodes.put(&key.name, object, generation) {
            self.nodes.mark(name);
        }
    }

    /// Its coming, its going and the change of its scope concern what is in it, and nothing else.
    fn set_namespace(&mut self, name: &str, object: Option<Namespace>, generation: u32) {
        let default = self.objects.default_global;
        let is_global = |kept: &Kept<Namespace>| kept.object.global.unwrap_or(default);
        let (namespace, space) = self.objects.space(name);
        let kept = object.map(|object| Kept { object, generation });
        let is = kept.as_ref().is_some_and(is_global);
        let before = mem::replace(&mut space.namespace, kept);
        if is != before.as_ref().is_some_and(is_global) {
            self.change_scope(&namespace, is);
        }
        self.objects.drop_if_empty(name);
    }

    fn change_scope(&mut self, namespace: &Arc<str>, is_global: bool) {
        let Objects { spaces, claims, .. } = &mut self.objects;
        let space = &spaces[namespace];
        let place = |name: &Arc<str>| Place {
            namespace: namespace.clone(),
            name: name.clone(),
        };
        for identity in &space.identities {
            self.identities.mark(*identity);
        }
        for (name, _) in space.services.iter() {
            self.services.mark(place(name));
        }
        for (name, _) in space.slices.iter() {
            self.slices.mark(place(name));
        }
        for (name, _) in space.exports.iter() {
            self.exports.mark(place(name));
        }
        for (name, endpoint) in space.endpoints.iter() {
            let place = place(name);
            for ip in endpoint.reachable_addresses() {
                let owned = match is_global {
                    true => claims.claim(*ip, &place),
                    false => claims.release(*ip, &place),
                };
                if owned {
                    self.addresses.mark(*ip);
                }
            }
        }
    }

    fn upsert_identity(&mut self, object: CiliumIdentity, generation: u32) {
        let identity = object.identity;
        let namespace = object.namespace().map(str::to_owned);
        if let Some(kept) = self.objects.identities.get_mut(&identity) {
            let Some(before) = kept.replace(object, generation) else {
                return;
            };
            if before.namespace() != namespace.as_deref() {
                self.leave(before.namespace(), identity);
            }
        } else {
            self.objects
                .identities
                .insert(identity, Kept { object, generation });
        }
        if let Some(namespace) = namespace {
            self.objects.space(&namespace).1.identities.insert(identity);
        }
        self.identities.mark(identity);
    }

    fn remove_identity(&mut self, name: &str) {
        // What is not called by a number is not known.
        let Ok(identity) = name.parse().map(Identity) else {
            return;
        };
        if let Some(kept) = self.objects.identities.remove(&identity) {
            self.leave(kept.object.namespace(), identity);
            self.identities.mark(identity);
        }
    }

    fn leave(&mut self, namespace: Option<&str>, identity: Identity) {
        let Some(namespace) = namespace else {
            return;
        };
        if let Some(space) = self.objects.spaces.get_mut(namespace) {
            space.identities.remove(&identity);
        }
        self.objects.drop_if_empty(namespace);
    }

    fn upsert_endpoint(&mut self, key: &ObjectKey, mut object: CiliumEndpoint, generation: u32) {
        let Objects { words, ports, .. } = &mut self.objects;
        object.service_account = object.service_account.map(|name| words.of(name));
        object.ports = ports.of(object.ports);
        let addresses = object.reachable_addresses().to_vec();
        let (namespace, space) = self.objects.space(&key.namespace);
        let Some((name, before)) = space.endpoints.put(&key.name, object, generation) else {
            return;
        };
        let place = Place { namespace, name };
        let before = before
            .as_ref()
            .map_or(&[][..], CiliumEndpoint::reachable_addresses);
        self.claim(&place, before, &addresses);
    }

    fn remove_endpoint(&mut self, namespace: &str, name: &str) {
        let Some((namespace, space)) = self.objects.known_space(namespace) else {
            return;
        };
        if let Some((name, before)) = space.endpoints.take(name) {
            let place = Place { namespace, name };
            self.claim(&place, before.reachable_addresses(), &[]);
        }
    }

    /// Endpoints of namespaces that are not global claim nothing.
    fn claim(&mut self, place: &Place, before: &[IpAddr], after: &[IpAddr]) {
        let space = &self.objects.spaces[&place.namespace];
        if !self.objects.is_global(space) {
            return;
        }
        for ip in before.iter().filter(|ip| !after.contains(ip)) {
            if self.objects.claims.release(*ip, place) {
                self.addresses.mark(*ip);
            }
        }
        for ip in after {
            if self.objects.claims.claim(*ip, place) {
                self.addresses.mark(*ip);
            }
        }
    }
}

impl Objects {
    pub(super) fn known_space(&mut self, namespace: &str) -> Option<(Arc<str>, &mut Space)> {
        self.spaces
            .contains_key(namespace)
            .then(|| self.space(namespace))
    }
}
