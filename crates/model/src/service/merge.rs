//! All services of a node, made of definitions and offers as they come and go.

mod maglev;
mod recovery;
mod rows;
mod spaces;

pub(crate) use rows::Row;

use super::{
    Backend, BackendPath, Balancing, Definition, Frontend, Grades, Kind, Offer, Offered, Silent,
    State,
    check::Checks,
    claims::{Origin, claim, kept, origin, touch, touch_all, unclaim},
    names::Hosts,
    pool::{Pool, Terms},
};
use crate::{event::Event, fact::Source, id::ClusterId, name::NameService, record::Namespaced};
use ipnet::IpNet;
use spaces::Spaces;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    sync::Arc,
};

/// What this node is among the services' backends.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    pub(crate) cluster: ClusterId,
    pub(crate) cluster_name: Arc<str>,
    pub(crate) node: Arc<str>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) pod_ranges: Vec<IpNet>,
    pub(crate) zone: Option<Arc<str>>,
    /// Who of the others does not answer.
    pub(crate) silent: Silent,
    /// Of clusters that are awaited.
    pub(crate) names: BTreeMap<ClusterId, Arc<str>>,
    /// Whom pods ask for names.
    pub(crate) name_service: Option<NameService>,
    /// What a namespace is that does not say it.
    pub(crate) default_global_namespace: bool,
    pub(crate) balancing: Balancing,
}

pub(crate) struct Services {
    here: Here,
    services: BTreeMap<Namespaced, Service>,
    offers: BTreeMap<(Namespaced, Origin), Held<Offer>>,
    /// The service that each slice is of, by the slice's name.
    slices: BTreeMap<(Source, Namespaced), Namespaced>,
    /// Who claims each frontend; the first has it.
    owners: BTreeMap<Frontend, BTreeSet<(Kind, Namespaced)>>,
    /// What the kernel held at start of clusters that have not been heard since, by pool.
    kept: BTreeMap<Frontend, BTreeMap<Backend, BackendPath>>,
    hosts: Hosts,
    spaces: Spaces,
    pub(super) checks: Checks,
    touched: BTreeSet<Row>,
    /// Backends may be at other places than they were when that was asked last.
    moved: bool,
}

pub(super) struct Service {
    pub(super) definition: Held<Definition>,
    /// What was told, where its namespace keeps it from being that.
    pub(super) told: Option<Box<Definition>>,
    pub(super) pools: Vec<Pool>,
}

impl Service {
    /// What answers pods and the node, beside what answers the world alone.
    pub(super) fn inside(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| !pool.outside)
    }
}

pub(super) struct Held<T> {
    pub(super) value: T,
    generation: u64,
}

/// Where a backend is, as far as its cluster tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: Option<Arc<str>>,
    /// It is ready, by its cluster's word.
    pub(crate) is_ready: bool,
}

/// Both kinds of what clusters offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Slice,
    Record,
}

impl Services {
    pub(crate) fn new(here: Here) -> Services {
        Services {
            here,
            services: BTreeMap::new(),
            offers: BTreeMap::new(),
            slices: BTreeMap::new(),
            owners: BTreeMap::new(),
            kept: BTreeMap::new(),
            hosts: Hosts::default(),
            spaces: Spaces::default(),
            checks: Checks::default(),
            touched: BTreeSet::new(),
            moved: true,
        }
    }

    pub(crate) fn handle_definition(
        &mut self,
        generation: u64,
        event: Event<Namespaced, Definition>,
    ) {
        match event {
            Event::Restart => {}
            Event::Upsert(name, value) => self.define(name, Some(Held { value, generation })),
            Event::Delete(name) => self.define(name, None),
            Event::Synced => {
                let old = self
                    .services
                    .iter()
                    .filter(|(_, service)| service.definition.generation != generation);
                let old: Vec<Namespaced> = old.map(|(name, _)| name.clone()).collect();
                old.into_iter().for_each(|name| self.define(name, None));
            }
        }
    }

    pub(crate) fn handle_offer(
        &mut self,
        source: Source,
        format: Format,
        generation: u64,
        event: Event<Namespaced, Offer>,
    ) {
        match event {
            Event::Restart => {}
            Event::Upsert(name, offer) => {
                let former = match format {
                    Format::Slice => {
                        let key = (source, name.clone());
                        self.slices.insert(key, offer.service.clone())
                    }
                    Format::Record => None,
                };
                let origin = origin(source, format, &name);
                if let Some(former) = former.filter(|former| *former != offer.service) {
                    self.offer((former, origin.clone()), None);
                }
                let key = (offer.service.clone(), origin);
                let value = offer;
                self.offer(key, Some(Held { value, generation }));
            }
            Event::Delete(name) => {
                let service = match format {
                    Format::Slice => self.slices.remove(&(source, name.clone())),
                    Format::Record => Some(name.clone()),
                };
                if let Some(service) = service {
                    self.offer((service, origin(source, format, &name)), None);
                }
            }
            Event::Synced => self.sweep_offers(source, format, generation),
        }
    }

    fn sweep_offers(&mut self, source: Source, format: Format, generation: u64) {
        let is_old = |((_, origin), held): &(&(Namespaced, Origin), &Held<Offer>)| {
            origin.source == source
                && origin.slice.is_some() == (format == Format::Slice)
                && held.generation != generation
        };
        let old: Vec<_> = self
            .offers
            .iter()
            .filter(is_old)
            .map(|(key, _)| key.clone())
            .collect();
        for (service, origin) in old {
            if let Some(slice) = &origin.slice {
                let name = Namespaced {
                    namespace: service.namespace.clone(),
                    name: slice.to_string(),
                };
                self.slices.remove(&(source, name));
            }
            self.offer((service, origin), None);
        }
    }

    /// Others are silent than were: their backends lose what they have, as far as there are others.
    pub(crate) fn fall_silent(&mut self, silent: Silent) {
        self.here.silent = silent;
        let silent = &self.here.silent;
        for service in self.services.values_mut() {
            for pool in &mut service.pools {
                let changes = pool.judge_lost(|backend, claim, claimed| {
                    silent.lost(claim.cluster, claimed.node.as_deref(), backend.ip)
                });
                for (backend, changed) in changes {
                    touch(&mut self.touched, pool, backend, changed);
                }
            }
        }
    }

    /// The node is in another zone than it was: what is meant for zones is weighed anew.
    pub(crate) fn locate(&mut self, zone: Option<Arc<str>>) {
        if self.here.zone == zone {
            return;
        }
        self.here.zone = zone;
        for ((name, origin), held) in &self.offers {
            let Some(service) = self.services.get_mut(name) else {
                continue;
            };
            let (here, touched) = (&self.here, &mut self.touched);
            let mut note = |pool: &Pool, backend, changed| touch(touched, pool, backend, changed);
            let endpoints = held.value.endpoints.iter();
            for (ip, offered) in endpoints.filter(|(_, offered)| offered.hints.is_some()) {
                let pools = &mut service.pools;
                claim(pools, *ip, offered, &held.value, origin, here, &mut note);
            }
        }
    }

    /// Where other clusters' backends are that may be used here, by address; nothing if that has not changed.
    pub(crate) fn take_places(&mut self) -> Option<BTreeMap<(ClusterId, IpAddr), Place>> {
        if !mem::take(&mut self.moved) {
            return None;
        }
        let global = self.services.values();
        let global = global.filter(|service| service.definition.value.sharing.global);
        let told = global.flat_map(|service| service.pools.iter().flat_map(Pool::places));
        let others = told.filter(|(cluster, _, _)| *cluster != self.here.cluster);
        let mut places: BTreeMap<_, Place> = BTreeMap::new();
        for (cluster, ip, claimed) in others {
            let place = places.entry((cluster, ip)).or_default();
            place.node = place.node.take().or_else(|| claimed.node.clone());
            place.is_ready |= claimed.state == State::Active;
        }
        Some(places)
    }

    /// The rows that may be others than they were when this was asked last.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<Row> {
        mem::take(&mut self.touched)
    }

    fn asks_names(&self, service: &Namespaced) -> bool {
        let asked = self.here.name_service.as_ref();
        asked.is_some_and(|asked| asked.service == *service)
    }

    pub(super) fn owners(&self) -> &BTreeMap<Frontend, BTreeSet<(Kind, Namespaced)>> {
        &self.owners
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub(super) fn is_lost(&self, cluster: ClusterId, offered: &Offered, ip: IpAddr) -> bool {
        let silent = &self.here.silent;
        silent.lost(cluster, offered.node.as_deref(), ip).is_some()
    }

    pub(super) fn here(&self) -> &Here {
        &self.here
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Namespaced, &Service)> {
        self.services.iter()
    }

    pub(super) fn get(&self, name: &Namespaced) -> Option<&Service> {
        self.services.get(name)
    }

    pub(super) fn offers_of<'a>(
        &'a self,
        name: &'a Namespaced,
    ) -> impl Iterator<Item = (&'a Origin, &'a Held<Offer>)> {
        let first = Origin {
            source: Source::File,
            slice: None,
        };
        self.offers
            .range((name.clone(), first)..)
            .take_while(move |((service, _), _)| service == name)
            .map(|((_, origin), held)| (origin, held))
    }

    pub(super) fn owner_of(&self, frontend: &Frontend) -> Option<&Namespaced> {
        owner(&self.owners, frontend)
    }

    /// Makes a service anew, or ends it. Every row of it is looked at again.
    fn define(&mut self, name: Namespaced, definition: Option<Held<Definition>>) {
        let definition = definition.map(|held| {
            let (value, told) = self.in_its_namespace(&name, held.value);
            let generation = held.generation;
            (Held { value, generation }, told)
        });
        if let (Some(service), Some((now, told))) = (self.services.get_mut(&name), &definition)
            && service.definition.value == now.value
            && service.told == *told
        {
            service.definition.generation = now.generation;
            return;
        }
        self.moved = true;
        if let Some(former) = self.services.remove(&name) {
            self.touch_service(&former);
            self.checks.end(&name, &former.definition.value);
            let frontends: Vec<_> = self.frontends_of(&former.definition.value);
            for (kind, frontend) in frontends {
                self.disown(frontend, &(kind, name.clone()));
            }
        }
        let Some((definition, told)) = definition else {
            return;
        };
        self.checks.define(&name, &definition.value);
        for (kind, frontend) in self.frontends_of(&definition.value) {
            self.touch_frontend(frontend);
            self.owners
                .entry(frontend)
                .or_default()
                .insert((kind, name.clone()));
        }
        let mut service = Service {
            pools: self.pools(&definition.value),
            definition,
            told,
        };
        for (origin, held) in self.offers_of(&name) {
            for (ip, offered) in &held.value.endpoints {
                claim(
                    &mut service.pools,
                    *ip,
                    offered,
                    &held.value,
                    origin,
                    &self.here,
                    |_, _, _| {},
                );
            }
        }
        for pool in &mut service.pools {
            for (backend, path) in self.kept.get(&pool.name).into_iter().flatten() {
                let (claim, claimed) = kept(backend, path, &self.here);
                pool.claim(*backend, claim, claimed);
            }
        }
        self.touch_service(&service);
        self.services.insert(name, service);
    }

    fn frontends_of(&self, definition: &Definition) -> Vec<(Kind, Frontend)> {
        let all = definition.frontends(&self.here.addresses);
        all.map(|(kind, frontend, _)| (kind, frontend)).collect()
    }

    fn pools(&self, definition: &Definition) -> Vec<Pool> {
        let terms = Terms {
            sharing: definition.sharing,
            grades: Arc::new(definition.grades.clone()),
            own: self.here.cluster,
            only_node: definition.node_only.then(|| self.here.node.clone()),
        };
        let own = definition
            .frontends(&[])
            .filter(|(kind, _, _)| *kind == Kind::ClusterIp)
            .map(|(_, frontend, port)| Pool::new(frontend, port.name.clone(), terms.clone()));
        own.chain(self.outside_pools(definition, &terms)).collect()
    }

    /// Those for what comes from outside, where others answer that; each is named after the first address that leads to it.
    fn outside_pools(&self, definition: &Definition, terms: &Terms) -> Vec<Pool> {
        let mut pools: Vec<Pool> = Vec::new();
        if definition.outside_node_only == definition.node_only {
            return pools;
        }
        let mut open: Vec<_> = definition
            .frontends(&self.here.addresses)
            .filter(|(kind, _, _)| *kind != Kind::ClusterIp)
            .collect();
        // The node's own addresses are the last to change.
        open.sort_by_key(|(kind, _, _)| *kind != Kind::NodePort);
        for (_, frontend, port) in open {
            let mut made = pools.iter();
            let has_pool = made.any(|pool| pool.is_of(&port.name, port.protocol, frontend.ip));
            if !has_pool {
                let terms = Terms {
                    only_node: definition.outside_node_only.then(|| self.here.node.clone()),
                    ..terms.clone()
                };
                let mut pool = Pool::new(frontend, port.name.clone(), terms);
                pool.outside = true;
                pools.push(pool);
            }
        }
        pools
    }

    fn disown(&mut self, frontend: Frontend, claim: &(Kind, Namespaced)) {
        if let Some(claims) = self.owners.get_mut(&frontend) {
            claims.remove(claim);
            if claims.is_empty() {
                self.owners.remove(&frontend);
            }
        }
        self.touch_frontend(frontend);
    }

    /// A frontend may be another service's now, and a pool of its name with it.
    fn touch_frontend(&mut self, frontend: Frontend) {
        self.touched.insert(Row::Frontend(frontend));
        let claims = self.owners.get(&frontend).into_iter().flatten();
        for service in claims.filter_map(|(_, name)| self.services.get(name)) {
            let pools = service.pools.iter().map(|pool| Row::Maglev(pool.name));
            self.touched.extend(pools);
            if let Some(pool) = service.pools.iter().find(|pool| pool.name == frontend) {
                touch_all(&mut self.touched, pool);
                let definition = &service.definition.value;
                let all = definition.frontends(&self.here.addresses);
                self.touched
                    .extend(all.map(|(_, other, _)| Row::Frontend(other)));
            }
        }
    }

    fn touch_service(&mut self, service: &Service) {
        for pool in &service.pools {
            touch_all(&mut self.touched, pool);
        }
        for (_, frontend) in self.frontends_of(&service.definition.value) {
            self.touched.insert(Row::Frontend(frontend));
        }
    }

    /// Takes up what differs from the former offer at this place.
    fn offer(&mut self, key: (Namespaced, Origin), now: Option<Held<Offer>>) {
        self.moved = true;
        let former = self.offers.remove(&key);
        if let Some(held) = &former {
            self.hosts.forget(&key, &held.value);
        }
        if key.1.source == Source::Kubernetes {
            let node = &self.here.node;
            if let Some(held) = &now {
                self.checks.add(&held.value, node);
            }
            if let Some(held) = &former {
                self.checks.take(&held.value, node);
            }
        }
        if let Some(service) = self.services.get_mut(&key.0) {
            let (here, touched) = (&self.here, &mut self.touched);
            let mut note = |pool: &Pool, backend, changed| touch(touched, pool, backend, changed);
            let old = former.as_ref().map(|held| &held.value);
            let new = now.as_ref().map(|held| &held.value);
            let same_weight = old.map(|offer| offer.weight) == new.map(|offer| offer.weight);
            for (ip, offered) in new.iter().flat_map(|offer| &offer.endpoints) {
                let before = old.and_then(|offer| offer.endpoints.get(ip));
                if let Some(offer) = new
                    && !(same_weight && before == Some(offered))
                {
                    claim(
                        &mut service.pools,
                        *ip,
                        offered,
                        offer,
                        &key.1,
                        here,
                        &mut note,
                    );
                }
            }
            for (ip, offered) in old.iter().flat_map(|offer| &offer.endpoints) {
                let after = new.and_then(|offer| offer.endpoints.get(ip));
                if after != Some(offered) {
                    unclaim(
                        &mut service.pools,
                        *ip,
                        offered,
                        after,
                        &key.1,
                        here,
                        &mut note,
                    );
                }
            }
        }
        if let Some(held) = now {
            self.hosts.note(&key, &held.value);
            self.offers.insert(key, held);
        }
    }
}

fn owner<'a>(
    owners: &'a BTreeMap<Frontend, BTreeSet<(Kind, Namespaced)>>,
    frontend: &Frontend,
) -> Option<&'a Namespaced> {
    Some(&owners.get(frontend)?.first()?.1)
}

fn pool_named<'a>(pools: &'a mut [Pool], name: &Frontend) -> Option<&'a mut Pool> {
    pools.iter_mut().find(|pool| pool.name == *name)
}
