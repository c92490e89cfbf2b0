//! `FRONTENDS`, `POOLS`, `SLOTS` and `BACKENDS`: where services are, and what answers for them.
//!
//! A backend stands in its table before a slot leads to it, and goes after the last slot has ceased to; a pool's count rises
//! after its new slot is written, and falls before an old one goes. So no program ever follows a frontend to nothing while
//! there is something. What a crash has left half done is put right when the maps are taken over.

mod row;
mod table;
mod take_over;

use crate::Error;
use aya::Ebpf;
use row::{backend, entry, frontend, key, slot, slot_key};
use std::collections::BTreeMap;
use table::Table;
use tombolo_abi::{BackendEntry, FrontendEntry, FrontendKey, PoolEntry, SlotEntry, SlotKey};
use tombolo_model::service::{Backend, BackendPath, Frontend, FrontendPath};

pub struct Services {
    frontends: Table<FrontendKey, FrontendEntry>,
    pools: Table<u32, PoolEntry>,
    slots: Table<SlotKey, SlotEntry>,
    backends: Table<u32, BackendEntry>,
    /// By the frontend that each is named after.
    known: BTreeMap<Frontend, Pool>,
    names: BTreeMap<u32, Frontend>,
    next_pool: u32,
    next_backend: u32,
}

/// What stands in the kernel of a pool.
#[derive(Default)]
struct Pool {
    id: u32,
    frontends: usize,
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
        let mut services = Services {
            frontends: Table::take(ebpf, "FRONTENDS")?,
            pools: Table::take(ebpf, "POOLS")?,
            slots: Table::take(ebpf, "SLOTS")?,
            backends: Table::take(ebpf, "BACKENDS")?,
            known: BTreeMap::new(),
            names: BTreeMap::new(),
            next_pool: 1,
            next_backend: 1,
        };
        services.take_over()?;
        Ok(services)
    }

    pub fn set_frontend(&mut self, frontend: Frontend, path: FrontendPath) -> Result<(), Error> {
        let FrontendPath { pool, affinity_s } = path;
        let former = self.frontends.get(&key(frontend))?;
        let id = self.pool(pool)?.id;
        let entry = FrontendEntry::new(id, frontend == pool, affinity_s);
        self.frontends.set(key(frontend), entry)?;
        if former.map(|former| former.pool) != Some(id) {
            self.pool(pool)?.frontends += 1;
            former.map_or(Ok(()), |former| self.lose_frontend(former.pool))?;
        }
        Ok(())
    }

    pub fn unset_frontend(&mut self, frontend: Frontend) -> Result<(), Error> {
        let Some(former) = self.frontends.get(&key(frontend))? else {
            return Ok(());
        };
        self.frontends.remove(&key(frontend))?;
        self.lose_frontend(former.pool)
    }

    fn lose_frontend(&mut self, id: u32) -> Result<(), Error> {
        let Some(name) = self.names.get(&id).copied() else {
            return Ok(());
        };
        self.known(name).frontends -= 1;
        self.forget_if_unused(name)
    }

    pub fn set_backend(
        &mut self,
        pool: Frontend,
        backend: Backend,
        path: BackendPath,
    ) -> Result<(), Error> {
        let number = self.next_backend;
        let known = self.pool(pool)?;
        let former = known.backends.get(&backend).copied();
        let place = Place {
            id: former.map_or(number, |former| former.id),
            path,
            slot: former.and_then(|former| former.slot),
        };
        let entry = entry(known.id, backend, path);
        self.backends.set(place.id, entry)?;
        self.next_backend += u32::from(former.is_none());
        self.pool(pool)?.backends.insert(backend, place);
        match (place.slot, path.weight) {
            (None, 0) => Ok(()),
            (None, _) => self.add_slot(pool, backend),
            (Some(slot), 0) => self.give_up_slot(pool, slot, former.map(|it| it.path.weight)),
            (Some(slot), _) => self.weigh_slot(pool, slot, former.map(|it| it.path.weight)),
        }
    }

    pub fn unset_backend(&mut self, pool: Frontend, backend: Backend) -> Result<(), Error> {
        let Some(place) = self
            .known
            .get(&pool)
            .and_then(|known| known.backends.get(&backend).copied())
        else {
            return Ok(());
        };
        if let Some(slot) = place.slot {
            self.give_up_slot(pool, slot, Some(place.path.weight))?;
        }
        self.backends.remove(&place.id)?;
        self.pool(pool)?.backends.remove(&backend);
        self.forget_if_unused(pool)
    }

    fn add_slot(&mut self, name: Frontend, backend: Backend) -> Result<(), Error> {
        let pool = self.known(name);
        let (id, index, place) = (pool.id, pool.slots.len() as u32, pool.backends[&backend]);
        self.slots.set(slot_key(id, index), slot(place))?;
        let pool = self.known(name);
        pool.slots.push(backend);
        *pool.weights.entry(place.path.weight).or_default() += 1;
        if let Some(place) = pool.backends.get_mut(&backend) {
            place.slot = Some(index);
        }
        self.tell_pool(name)
    }

    fn weigh_slot(&mut self, name: Frontend, index: u32, former: Option<u16>) -> Result<(), Error> {
        let pool = self.known(name);
        let place = pool.backends[&pool.slots[index as usize]];
        pool.take_weight(former);
        *pool.weights.entry(place.path.weight).or_default() += 1;
        let id = pool.id;
        self.slots.set(slot_key(id, index), slot(place))?;
        self.tell_pool(name)
    }

    /// The last slot's backend takes the place of the one that goes, for an instant in both.
    fn give_up_slot(
        &mut self,
        name: Frontend,
        index: u32,
        former: Option<u16>,
    ) -> Result<(), Error> {
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

    fn forget_if_unused(&mut self, name: Frontend) -> Result<(), Error> {
        let pool = self.known(name);
        if pool.frontends == 0 && pool.backends.is_empty() {
            let id = pool.id;
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

    pub fn all_frontends(&self) -> Result<Vec<(Frontend, FrontendPath)>, Error> {
        let named = |(key, entry): (FrontendKey, FrontendEntry)| {
            let path = FrontendPath {
                pool: *self.names.get(&entry.pool)?,
                affinity_s: entry.affinity_s(),
            };
            Some((frontend(key)?, path))
        };
        let all = self.frontends.all()?.into_iter();
        let mut found: Vec<_> = all.filter_map(named).collect();
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

impl Pool {
    fn seat(&mut self, backend: Backend, index: u32) {
        if let Some(place) = self.backends.get_mut(&backend) {
            place.slot = Some(index);
            *self.weights.entry(place.path.weight).or_default() += 1;
            self.slots.push(backend);
        }
    }

    fn take_weight(&mut self, weight: Option<u16>) {
        let Some(weight) = weight else { return };
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
