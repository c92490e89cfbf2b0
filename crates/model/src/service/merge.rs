//! All services of a node, made of definitions and offers as they come and go.

use super::{
    Backend, BackendPath, Definition, Frontend, FrontendPath, Kind, Offer, Offered, State,
    WEIGHT_DEFAULT,
    pool::{Changed, Claim, Claimed, Pool, Rank, Terms},
};
use crate::{event::Event, fact::Source, id::ClusterId, record::Namespaced, tables::Tables};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    sync::Arc,
};

/// One row of the kernel's tables of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Frontend(Frontend),
    Backend(Frontend, Backend),
}

/// What this node is among the services' backends.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    pub(crate) cluster: ClusterId,
    pub(crate) node: Arc<str>,
    pub(crate) addresses: Vec<IpAddr>,
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
    touched: BTreeSet<Row>,
}

pub(super) struct Service {
    pub(super) definition: Held<Definition>,
    pub(super) pools: Vec<Pool>,
}

pub(super) struct Held<T> {
    pub(super) value: T,
    generation: u64,
}

/// Where an offer comes from: whose it is, and the slice's name, which a record has none of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) source: Source,
    pub(super) slice: Option<Arc<str>>,
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
            touched: BTreeSet::new(),
        }
    }

    /// Takes what the kernel holds of other clusters for theirs, until `heard` is called of them.
    pub(crate) fn recover(&mut self, tables: &Tables) {
        for ((pool, backend), path) in &tables.backends {
            if path.cluster != self.here.cluster {
                self.kept.entry(*pool).or_default().insert(*backend, *path);
            }
        }
    }

    pub(crate) fn kept_clusters(&self) -> BTreeSet<ClusterId> {
        let paths = self.kept.values().flat_map(BTreeMap::values);
        paths.map(|path| path.cluster).collect()
    }

    /// A cluster has told all, or is in the mesh no more: what was kept for it goes.
    pub(crate) fn heard(&mut self, cluster: ClusterId) {
        let meant = |claim: &Claim| claim.rank == Rank::Kept && claim.cluster == cluster;
        for (name, backends) in &mut self.kept {
            backends.retain(|_, path| path.cluster != cluster);
            let owner = owner(&self.owners, name).and_then(|owner| self.services.get_mut(owner));
            let pool = owner.and_then(|service| pool_named(&mut service.pools, name));
            let Some(pool) = pool else { continue };
            for (backend, claim) in pool.claimed_by(meant) {
                let changed = pool.unclaim(backend, &claim);
                touch(&mut self.touched, pool, backend, changed);
            }
        }
        self.kept.retain(|_, backends| !backends.is_empty());
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

    /// The rows that may be others than they were when this was asked last.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<Row> {
        mem::take(&mut self.touched)
    }

    pub(crate) fn frontend(&self, frontend: &Frontend) -> Option<FrontendPath> {
        let (_, name) = self.owners.get(frontend)?.first()?;
        let service = self.services.get(name)?;
        let (_, _, port) = service
            .definition
            .value
            .frontends(&self.here.addresses)
            .find(|(_, other, _)| other == frontend)?;
        // The pool of the address's own family, as far as the service has a name for one.
        let pool = service.pools.iter().find(|pool| {
            pool.port == port.name
                && pool.name.protocol == port.protocol
                && pool.name.ip.is_ipv4() == frontend.ip.is_ipv4()
        })?;
        // Where another service has the name, the pool is that one's.
        (owner(&self.owners, &pool.name) == Some(name)).then_some(FrontendPath {
            pool: pool.name,
            affinity_s: service.definition.value.affinity_s,
        })
    }

    pub(crate) fn backend(&self, pool: &Frontend, backend: &Backend) -> Option<BackendPath> {
        let service = self.services.get(owner(&self.owners, pool)?)?;
        let pool = service.pools.iter().find(|other| other.name == *pool)?;
        pool.verdict(backend)?.path
    }

    /// All that the kernel should hold.
    pub(crate) fn fill(&self, tables: &mut Tables) {
        for frontend in self.owners.keys() {
            tables
                .frontends
                .extend(self.frontend(frontend).map(|path| (*frontend, path)));
        }
        for (name, service) in &self.services {
            for pool in &service.pools {
                if owner(&self.owners, &pool.name) == Some(name) {
                    let rows = pool.verdicts().filter_map(|(backend, verdict)| {
                        Some(((pool.name, *backend), verdict.path?))
                    });
                    tables.backends.extend(rows);
                }
            }
        }
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
        if let (Some(service), Some(now)) = (self.services.get_mut(&name), &definition)
            && service.definition.value == now.value
        {
            service.definition.generation = now.generation;
            return;
        }
        if let Some(former) = self.services.remove(&name) {
            self.touch_service(&former);
            let frontends: Vec<_> = self.frontends_of(&former.definition.value);
            for (kind, frontend) in frontends {
                self.disown(frontend, &(kind, name.clone()));
            }
        }
        let Some(definition) = definition else { return };
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
                let (claim, claimed) = kept(path);
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
            own: self.here.cluster,
            only_node: definition.node_only.then(|| self.here.node.clone()),
        };
        definition
            .frontends(&[])
            .filter(|(kind, _, _)| *kind == Kind::ClusterIp)
            .map(|(_, frontend, port)| Pool::new(frontend, port.name.clone(), terms.clone()))
            .collect()
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
        let former = self.offers.remove(&key);
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
            self.offers.insert(key, held);
        }
    }
}

fn origin(source: Source, format: Format, name: &Namespaced) -> Origin {
    Origin {
        source,
        slice: (format == Format::Slice).then(|| name.name.as_str().into()),
    }
}

impl Origin {
    fn claim(&self, here: &Here) -> Claim {
        let cluster = match self.source {
            Source::Cluster(id) => id,
            Source::Kubernetes | Source::File => here.cluster,
        };
        let rank = match &self.slice {
            Some(_) if cluster == here.cluster => Rank::Own,
            Some(_) => Rank::Slice,
            None => Rank::Record,
        };
        Claim {
            rank,
            cluster,
            part: self.slice.clone().unwrap_or_else(|| "".into()),
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

/// What an endpoint is in a pool, if it is of it.
fn at(pool: &Pool, ip: IpAddr, offered: &Offered) -> Option<Backend> {
    let is_of_family = pool.name.ip.is_ipv4() == ip.is_ipv4();
    let port = offered.ports.iter().find(|port| {
        is_of_family && port.name == pool.port && port.protocol == pool.name.protocol
    })?;
    Some(Backend {
        ip,
        port: port.port,
    })
}

fn claim(
    pools: &mut [Pool],
    ip: IpAddr,
    offered: &Offered,
    offer: &Offer,
    origin: &Origin,
    here: &Here,
    mut note: impl FnMut(&Pool, Backend, Changed),
) {
    for pool in pools {
        if let Some(backend) = at(pool, ip, offered) {
            let claimed = Claimed {
                state: offered.state,
                weight: offer.weight,
                node: offered.node.clone(),
                cluster: offer.cluster.clone(),
            };
            let changed = pool.claim(backend, origin.claim(here), claimed);
            note(pool, backend, changed);
        }
    }
}

/// Takes back what an endpoint was in pools where it is not so any more.
fn unclaim(
    pools: &mut [Pool],
    ip: IpAddr,
    offered: &Offered,
    after: Option<&Offered>,
    origin: &Origin,
    here: &Here,
    mut note: impl FnMut(&Pool, Backend, Changed),
) {
    for pool in pools {
        let now = after.and_then(|after| at(pool, ip, after));
        if let Some(backend) = at(pool, ip, offered).filter(|backend| now != Some(*backend)) {
            let changed = pool.unclaim(backend, &origin.claim(here));
            note(pool, backend, changed);
        }
    }
}

fn kept(path: &BackendPath) -> (Claim, Claimed) {
    let claim = Claim {
        rank: Rank::Kept,
        cluster: path.cluster,
        part: "".into(),
    };
    // Without weight it was on its way out, or waited for its cluster's turn, in which it counts as if it was.
    let (state, weight) = match path.weight {
        0 => (State::Terminating, WEIGHT_DEFAULT),
        weight => (State::Active, weight),
    };
    let claimed = Claimed {
        state,
        weight,
        node: None,
        cluster: format!("cluster {}", path.cluster).into(),
    };
    (claim, claimed)
}

fn touch(touched: &mut BTreeSet<Row>, pool: &Pool, backend: Backend, changed: Changed) {
    match changed {
        Changed::Nothing => {}
        Changed::One => {
            touched.insert(Row::Backend(pool.name, backend));
        }
        Changed::All => {
            // It may have gone from the pool.
            touched.insert(Row::Backend(pool.name, backend));
            touch_all(touched, pool);
        }
    }
}

fn touch_all(touched: &mut BTreeSet<Row>, pool: &Pool) {
    touched.extend(
        pool.backends()
            .map(|backend| Row::Backend(pool.name, *backend)),
    );
}
