//! Taking over what an earlier life has left, whole or half done.

use super::{Place, Services, backend, frontend, pools_of, slot, slot_key};
use crate::Error;
use std::collections::{BTreeMap, BTreeSet};
use tombolo_abi::{BackendEntry, PoolEntry, SlotEntry, SlotKey};
use tombolo_model::service::{Backend, Frontend};

impl Services {
    pub(super) fn take_over(&mut self) -> Result<(), Error> {
        let frontends = self.frontends.all()?;
        let used = frontends.iter().map(|(_, entry)| entry.sources);
        self.sources.take_over(used)?;
        let pools: BTreeMap<u32, PoolEntry> = self.pools.all()?.into_iter().collect();
        let backends: BTreeMap<u32, BackendEntry> = self.backends.all()?.into_iter().collect();
        let slots: BTreeMap<(u32, u32), SlotEntry> = self
            .slots
            .all()?
            .into_iter()
            .map(|(key, slot)| ((key.pool, key.index), slot))
            .collect();
        // Beyond all that was ever handed out, as far as can be seen.
        self.next_pool = pools.keys().last().map_or(1, |last| last + 1);
        self.next_backend = backends.keys().last().map_or(1, |last| last + 1);

        for (key, entry) in &frontends {
            let Some(name) = frontend(*key) else { continue };
            for (id, is_named) in [
                (entry.pool, entry.names_pool()),
                (entry.outside(), entry.names_outside()),
            ] {
                if is_named && pools.contains_key(&id) {
                    self.names.insert(id, name);
                }
            }
        }
        for (key, entry) in &frontends {
            if !pools_of(entry).all(|id| self.names.contains_key(&id)) {
                self.frontends.remove(key)?;
                self.sources.release(entry.sources)?;
                continue;
            }
            for id in pools_of(entry) {
                let pool = self.known.entry(self.names[&id]).or_default();
                pool.id = id;
                pool.frontends += 1;
                pool.open += usize::from(id == entry.outside());
            }
        }
        for (id, entry) in &backends {
            let (backend, path) = backend(entry);
            let name = self.names.get(&entry.pool).copied();
            let known = name.map(|name| self.known(name));
            match known {
                Some(pool) if !pool.backends.contains_key(&backend) => {
                    let place = Place {
                        id: *id,
                        path,
                        slot: None,
                    };
                    pool.backends.insert(backend, place);
                }
                _ => {}
            }
        }
        for (id, name) in self.names.clone() {
            let told = pools.get(&id).copied().unwrap_or_default();
            self.take_over_slots(name, told, &slots)?;
        }
        self.remove_orphans(&pools, &backends, slots.keys())
    }

    /// A pool that was left half changed gets its slots anew, behind those that programs may be reading.
    fn take_over_slots(
        &mut self,
        name: Frontend,
        told: PoolEntry,
        slots: &BTreeMap<(u32, u32), SlotEntry>,
    ) -> Result<(), Error> {
        let pool = self.known(name);
        let by_id: BTreeMap<u32, Backend> = pool
            .backends
            .iter()
            .map(|(backend, place)| (place.id, *backend))
            .collect();
        let led: Vec<Option<Backend>> = (0..told.slots)
            .map(|index| {
                let slot = slots.get(&(pool.id, index))?;
                let backend = by_id.get(&slot.backend)?;
                let weight = pool.backends[backend].path.weight;
                (u32::from(weight) == slot.weight && weight > 0).then_some(*backend)
            })
            .collect();
        let distinct: BTreeSet<Backend> = led.iter().flatten().copied().collect();
        let wanted = pool
            .backends
            .values()
            .filter(|place| place.path.weight > 0)
            .count();
        let is_whole = distinct.len() == led.len() && wanted == led.len();
        if is_whole {
            for (index, backend) in led.into_iter().flatten().enumerate() {
                pool.seat(backend, index as u32);
            }
            if pool.entry() == told {
                return Ok(());
            }
        } else {
            let eager =
                |(backend, place): (&Backend, &Place)| (place.path.weight > 0).then_some(*backend);
            let all: Vec<Backend> = pool.backends.iter().filter_map(eager).collect();
            for (index, backend) in all.iter().enumerate() {
                pool.seat(*backend, index as u32);
            }
            let seats: Vec<(SlotKey, SlotEntry)> = pool
                .slots
                .iter()
                .enumerate()
                .map(|(index, backend)| {
                    (
                        slot_key(pool.id, index as u32),
                        slot(pool.backends[backend]),
                    )
                })
                .collect();
            for (key, entry) in seats {
                self.slots.set(key, entry)?;
            }
        }
        self.tell_pool(name)
    }

    fn remove_orphans<'a>(
        &mut self,
        pools: &BTreeMap<u32, PoolEntry>,
        backends: &BTreeMap<u32, BackendEntry>,
        slots: impl Iterator<Item = &'a (u32, u32)>,
    ) -> Result<(), Error> {
        for &(id, index) in slots {
            let name = self.names.get(&id).copied();
            let len = name.map_or(0, |name| self.known(name).slots.len());
            if index as usize >= len {
                self.slots.remove(&slot_key(id, index))?;
            }
        }
        let kept: BTreeSet<u32> = self
            .known
            .values()
            .flat_map(|pool| pool.backends.values().map(|place| place.id))
            .collect();
        self.count = kept.len();
        for id in backends.keys().filter(|id| !kept.contains(id)) {
            self.backends.remove(id)?;
        }
        for id in self.tables.pools()? {
            if !self.names.contains_key(&id) {
                self.tables.remove(id)?;
            }
        }
        for id in pools.keys().filter(|id| !self.names.contains_key(id)) {
            self.pools.remove(id)?;
        }
        Ok(())
    }
}
