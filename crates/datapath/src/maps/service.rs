//! `FRONTENDS`, `SOURCES`, `POOLS`, `SLOTS`, `BACKENDS` and `MAGLEV`: where services are, and what answers for them.
//!
//! A backend stands in its table before a slot leads to it, and goes after the last slot has ceased to; a pool's count rises
//! after its new slot is written, and falls before an old one goes. So no program ever follows a frontend to nothing while
//! there is something. What a crash has left half done is put right when the maps are taken over.

mod led;
mod maglev;
mod row;
mod sources;
mod table;
mod take_over;

pub use led::sockets_led;

use crate::Error;
use aya::Ebpf;
use row::{backend, entry, frontend, key, slot, slot_key};
use sources::Sources;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
};
use table::{Rows, Table};
use tombolo_abi::{BackendEntry, FrontendEntry, FrontendKey, PoolEntry, SlotEntry, SlotKey};
use tombolo_model::service::{
    Backend, BackendPath, Barred, Frontend, FrontendPath, maglev as model,
};

pub struct Services {
    frontends: Table<FrontendKey, FrontendEntry>,
    sources: Sources,
    pools: Table<u32, PoolEntry>,
    slots: Table<SlotKey, SlotEntry>,
    backends: Table<u32, BackendEntry>,
    tables: maglev::Tables,
    /// By the frontend that each is named after.
    known: BTreeMap<Frontend, Pool>,
    names: BTreeMap<u32, Frontend>,
    next_pool: u32,
    next_backend: u32,
    /// How many backends there are, and how many there is room for.
    count: usize,
    max: usize,
    late: Late,
}

/// What is to be written together. As long as it is not, nothing else is changed of the pools that it is of.
#[derive(Default)]
struct Late {
    backends: Rows<u32, BackendEntry>,
    slots: Rows<SlotKey, SlotEntry>,
    pools: Vec<Frontend>,
}

/// What stands in the kernel of a pool.
#[derive(Default)]
struct Pool {
    id: u32,
    frontends: usize,
    /// How many of these lead here from outside.
    open: usize,
    backends: BTreeMap<Backend, Place>,
    /// Who stands in each slot.
    slots: Vec<Backend>,
    /// How many slots have each weight.
    weights: BTreeMap<u16, usize>,
}

#[derive(Clone, Copy)]
struct Place {
    id: u32,
    path: BackendPath,
    slot: Option<u32>,
}

impl Services {
    pub fn take(ebpf: &mut Ebpf) -> Result<Services, Error> {
        let backends: Table<u32, BackendEntry> = Table::take(ebpf, "BACKENDS")?;
        let mut services = Services {
            frontends: Table::take(ebpf, "FRONTENDS")?,
            sources: Sources::take(ebpf)?,
            pools: Table::take(ebpf, "POOLS")?,
            slots: Table::take(ebpf, "SLOTS")?,
            max: backends.capacity()?,
            backends,
            tables: maglev::Tables::take(ebpf)?,
            known: BTreeMap::new(),
            names: BTreeMap::new(),
            next_pool: 1,
            next_backend: 1,
            count: 0,
            late: Late::default(),
        };
        services.take_over()?;
        Ok(services)
    }

    pub fn set_frontend(&mut self, frontend: Frontend, path: &FrontendPath) -> Result<(), Error> {
        // Whoever is to be kept out is never let in for want of room.
        let set = match &path.sources {
            Some(ranges) => self.sources.hold(ranges),
            None => Ok(0),
        };
        let written = set.and_then(|set| match self.write_frontend(frontend, path, set) {
            Ok(former) => former.map_or(Ok(()), |former| self.lose_frontend(&former)),
            Err(error) => {
                // Nothing refers to it. What can't be taken away is looked for again at the next start.
                let _ = self.sources.release(set);
                Err(error)
            }
        });
        if written.is_err() && path.sources.is_some() {
            let _ = self.unset_frontend(frontend);
        }
        written
    }

    /// What stood there before.
    fn write_frontend(
        &mut self,
        frontend: Frontend,
        path: &FrontendPath,
        set: u32,
    ) -> Result<Option<FrontendEntry>, Error> {
        let FrontendPath {
            pool,
            affinity_s,
            agent_answers,
            outside,
            barred,
            ..
        } = *path;
        let former = self.frontends.get(&key(frontend))?;
        let id = self.pool(pool)?.id;
        let mut entry = FrontendEntry::new(id, frontend == pool, agent_answers, affinity_s)
            .barred(barred.pods, barred.node);
        entry.sources = set;
        if let Some(outside) = outside {
            let id = self.pool(outside)?.id;
            entry = entry.open(id, frontend == outside);
        }
        self.frontends.set(key(frontend), entry)?;
        for id in pools_of(&entry) {
            if let Some(name) = self.names.get(&id).copied() {
                let pool = self.known(name);
                pool.frontends += 1;
                pool.open += usize::from(id == entry.outside());
            }
        }
        Ok(former)
    }

    pub fn unset_frontend(&mut self, frontend: Frontend) -> Result<(), Error> {
        let Some(former) = self.frontends.get(&key(frontend))? else {
            return Ok(());
        };
        self.frontends.remove(&key(frontend))?;
        self.lose_frontend(&former)
    }

    fn lose_frontend(&mut self, former: &FrontendEntry) -> Result<(), Error> {
        self.sources.release(former.sources)?;
        for id in pools_of(former) {
            if let Some(name) = self.names.get(&id).copied() {
                let pool = self.known(name);
                pool.frontends -= 1;
                pool.open -= usize::from(id == former.outside());
                self.forget_if_unused(name)?;
            }
        }
        Ok(())
    }

    /// The kernel knows of it no later than after the next `settle`.
    pub fn put_off_backend(
        &mut self,
        name: Frontend,
        backend: Backend,
        path: BackendPath,
    ) -> Result<(), Error> {
        let (number, max, is_full) = (self.next_backend, self.max, self.count >= self.max);
        let pool = self.pool(name)?;
        let former = pool.backends.get(&backend).copied();
        if former.is_none() && is_full {
            return Err(Error::BackendsFull { max });
        }
        let id = former.map_or(number, |former| former.id);
        if path.weight == 0 {
            let slot = former.and_then(|former| former.slot);
            self.idle(name, backend, Place { id, path, slot }, former)?;
        } else {
            let seat = former.and_then(|former| Some((former.slot?, former.path.weight)));
            let index = match seat {
                Some((index, weight)) => {
                    pool.take_weight(weight);
                    index
                }
                None => {
                    pool.slots.push(backend);
                    pool.slots.len() as u32 - 1
                }
            };
            *pool.weights.entry(path.weight).or_default() += 1;
            let slot = Some(index);
            let place = Place { id, path, slot };
            pool.backends.insert(backend, place);
            let pool = pool.id;
            self.late.push((name, pool), backend, place, index);
        }
        self.next_backend += u32::from(former.is_none());
        self.count += usize::from(former.is_none());
        Ok(())
    }

    /// It gets nothing new from now on.
    fn idle(
        &mut self,
        name: Frontend,
        backend: Backend,
        place: Place,
        former: Option<Place>,
    ) -> Result<(), Error> {
        self.settle_pool(name)?;
        let pool = self.known(name);
        let entry = entry(pool.id, backend, place.path);
        self.backends.set(place.id, entry)?;
        self.known(name).backends.insert(backend, place);
        match former.and_then(|former| Some((former.slot?, former.path.weight))) {
            Some((slot, weight)) => self.give_up_slot(name, slot, weight),
            None => Ok(()),
        }
    }

    /// Writes what was put off. What can't be written is late still, and so is all of its pools.
    pub fn settle(&mut self) -> Result<(), Error> {
        let mut late = mem::take(&mut self.late);
        let written = self.write(&late);
        if written.is_err() {
            late.backends.keep_last();
            late.slots.keep_last();
            late.pools.sort_unstable();
            late.pools.dedup();
            self.late = late;
        }
        written
    }

    fn settle_pool(&mut self, name: Frontend) -> Result<(), Error> {
        match self.late.pools.contains(&name) {
            true => self.settle(),
            false => Ok(()),
        }
    }

    fn write(&mut self, late: &Late) -> Result<(), Error> {
        self.backends.set_all(&late.backends)?;
        self.slots.set_all(&late.slots)?;
        let mut pools = Rows::default();
        for pool in late.pools.iter().filter_map(|name| self.known.get(name)) {
            pools.push(pool.id, pool.entry());
        }
        self.pools.set_all(&pools)
    }

    pub fn unset_backend(&mut self, pool: Frontend, backend: Backend) -> Result<(), Error> {
        self.settle_pool(pool)?;
        let Some(place) = self
            .known
            .get(&pool)
            .and_then(|known| known.backends.get(&backend).copied())
        else {
            return Ok(());
        };
        if let Some(slot) = place.slot {
            self.give_up_slot(pool, slot, place.path.weight)?;
        }
        self.backends.remove(&place.id)?;
        self.known(pool).backends.remove(&backend);
        self.count -= 1;
        self.forget_if_unused(pool)
    }

    /// The last slot's backend takes the place of the one that goes, for an instant in both.
    fn give_up_slot(&mut self, name: Frontend, index: u32, former: u16) -> Result<(), Error> {
        let pool = self.known(name);
        let id = pool.id;
        let last = pool.slots.len() as u32 - 1;
        let mover = pool.backends[&pool.slots[last as usize]];
        if index != last {
            self.slots.set(slot_key(id, index), slot(mover))?;
        }
        let pool = self.known(name);
        let goer = pool.slots.swap_remove(index as usize);
        if let Some(&moved) = pool.slots.get(index as usize)
            && let Some(place) = pool.backends.get_mut(&moved)
        {
            place.slot = Some(index);
        }
        if let Some(place) = pool.backends.get_mut(&goer) {
            place.slot = None;
        }
        pool.take_weight(former);
        self.tell_pool(name)?;
        self.slots.remove(&slot_key(id, last))
    }

    fn tell_pool(&mut self, name: Frontend) -> Result<(), Error> {
        let pool = self.known(name);
        let (id, entry) = (pool.id, pool.entry());
        self.pools.set(id, entry)
    }

    /// What comes from outside for the pool is led by this table from now on.
    pub fn set_table(&mut self, name: Frontend, table: &model::Table) -> Result<(), Error> {
        self.settle_pool(name)?;
        let absent = Error::NoBackend {
            pool: name.to_string(),
        };
        let Some(pool) = self.known.get(&name) else {
            return Err(absent);
        };
        let ids = table.backends().map(|it| Some(pool.backends.get(&it)?.id));
        let ids: Vec<u32> = ids.collect::<Option<_>>().ok_or(absent)?;
        self.tables.set(pool.id, table, &ids)
    }

    pub fn unset_table(&mut self, name: Frontend) -> Result<(), Error> {
        match self.known.get(&name) {
            Some(pool) => self.tables.remove(pool.id),
            None => Ok(()),
        }
    }

    fn forget_if_unused(&mut self, name: Frontend) -> Result<(), Error> {
        let pool = self.known(name);
        if pool.frontends == 0 && pool.backends.is_empty() {
            let id = pool.id;
            self.tables.remove(id)?;
            self.pools.remove(&id)?;
            self.known.remove(&name);
            self.names.remove(&id);
        }
        Ok(())
    }

    fn pool(&mut self, name: Frontend) -> Result<&mut Pool, Error> {
        if !self.known.contains_key(&name) {
            let pool = Pool {
                id: self.next_pool,
                ..Pool::default()
            };
            self.pools.set(pool.id, PoolEntry::default())?;
            self.next_pool += 1;
            self.names.insert(pool.id, name);
            self.known.insert(name, pool);
        }
        Ok(self.known(name))
    }

    fn known(&mut self, name: Frontend) -> &mut Pool {
        self.known
            .get_mut(&name)
            .unwrap_or_else(|| panic!("the pool of {name} is not known"))
    }

    /// Whether somebody outside is led to a backend at one of these addresses.
    pub fn open_to_any(&self, addresses: &[IpAddr]) -> bool {
        let mut pools = self.known.values();
        pools.any(|pool| pool.open > 0 && pool.is_at_any(addresses))
    }

    pub fn is_open(&self, pool: Frontend) -> bool {
        self.known.get(&pool).is_some_and(|pool| pool.open > 0)
    }

    pub fn is_at_any(&self, pool: Frontend, addresses: &[IpAddr]) -> bool {
        let pool = self.known.get(&pool);
        pool.is_some_and(|pool| pool.is_at_any(addresses))
    }

    pub fn all_frontends(&self) -> Result<Vec<(Frontend, FrontendPath)>, Error> {
        let named = |(key, entry): (FrontendKey, FrontendEntry)| {
            let path = FrontendPath {
                pool: *self.names.get(&entry.pool)?,
                affinity_s: entry.affinity_s(),
                agent_answers: entry.agent_answers(),
                outside: self.names.get(&entry.outside()).copied(),
                sources: self.sources.get(entry.sources),
                barred: Barred {
                    pods: entry.bars_pods(),
                    node: entry.bars_node(),
                },
            };
            Some((frontend(key)?, path))
        };
        let all = self.frontends.all()?.into_iter();
        let mut found: Vec<_> = all.filter_map(named).collect();
        found.sort();
        Ok(found)
    }

    /// What each table is made of. One that can't be used is of nothing.
    pub fn all_tables(&self) -> Result<Vec<(Frontend, u64)>, Error> {
        let mut found = Vec::new();
        for id in self.tables.pools()? {
            let Some(name) = self.names.get(&id) else {
                continue;
            };
            let pool = self.known.get(name).into_iter();
            let ids: BTreeSet<u32> = pool
                .flat_map(|pool| pool.backends.values().map(|place| place.id))
                .collect();
            let digest = self.tables.digest(id, |id| ids.contains(&id))?;
            found.push((*name, digest.unwrap_or(NO_DIGEST)));
        }
        found.sort();
        Ok(found)
    }

    pub fn all_backends(&self) -> Result<Vec<(Frontend, Backend, BackendPath)>, Error> {
        let named = |(_, entry): (u32, BackendEntry)| {
            let (backend, path) = backend(&entry);
            Some((*self.names.get(&entry.pool)?, backend, path))
        };
        let mut found: Vec<_> = self.backends.all()?.into_iter().filter_map(named).collect();
        found.sort();
        Ok(found)
    }
}

/// No table is likely to have it.
const NO_DIGEST: u64 = 0;

/// The pools that a frontend leads to.
fn pools_of(entry: &FrontendEntry) -> impl Iterator<Item = u32> {
    let outside = Some(entry.outside()).filter(|id| *id != 0 && *id != entry.pool);
    [entry.pool].into_iter().chain(outside)
}

impl Late {
    fn push(&mut self, (name, pool): (Frontend, u32), backend: Backend, place: Place, index: u32) {
        self.backends
            .push(place.id, entry(pool, backend, place.path));
        self.slots.push(slot_key(pool, index), slot(place));
        if self.pools.last() != Some(&name) {
            self.pools.push(name);
        }
    }
}

impl Pool {
    fn seat(&mut self, backend: Backend, index: u32) {
        if let Some(place) = self.backends.get_mut(&backend) {
            place.slot = Some(index);
            *self.weights.entry(place.path.weight).or_default() += 1;
            self.slots.push(backend);
        }
    }

    fn is_at_any(&self, addresses: &[IpAddr]) -> bool {
        let end = |ip, port| Backend { ip, port };
        let mut all = addresses.iter().copied();
        all.any(|ip| {
            let mut there = self.backends.range(end(ip, 0)..=end(ip, u16::MAX));
            there.next().is_some()
        })
    }

    fn take_weight(&mut self, weight: u16) {
        if let Some(count) = self.weights.get_mut(&weight) {
            *count -= 1;
            if *count == 0 {
                self.weights.remove(&weight);
            }
        }
    }

    fn entry(&self) -> PoolEntry {
        PoolEntry {
            slots: self.slots.len() as u32,
            weight_max: self
                .weights
                .keys()
                .last()
                .map_or(0, |weight| u32::from(*weight)),
        }
    }
}
