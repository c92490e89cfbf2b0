//! A hash map, with its name for what goes wrong.

use crate::{
    Error,
    bpf::update_all,
    maps::{address::is_not_found, take},
};
use aya::{
    Ebpf, Pod,
    maps::{HashMap, IterableMap as _, MapData},
};
use std::{collections::BTreeMap, os::fd::AsFd as _};

pub(super) struct Table<K, V> {
    map: HashMap<MapData, K, V>,
    name: &'static str,
}

/// What is to be written at once.
#[derive(Default)]
pub(super) struct Rows<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K: Ord, V> Rows<K, V> {
    /// Of rows that are there twice the later one stays.
    pub(super) fn keep_last(&mut self) {
        let rows: BTreeMap<K, V> = self.keys.drain(..).zip(self.values.drain(..)).collect();
        (self.keys, self.values) = rows.into_iter().unzip();
    }

    pub(super) fn push(&mut self, key: K, value: V) {
        self.keys.push(key);
        self.values.push(value);
    }
}

impl<K: Pod, V: Pod> Table<K, V> {
    pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Table<K, V>, Error> {
        Ok(Table {
            map: take(ebpf, name)?,
            name,
        })
    }

    pub(super) fn get(&self, key: &K) -> Result<Option<V>, Error> {
        match self.map.get(key, 0) {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(Error::map(self.name, "reading")(error)),
        }
    }

    pub(super) fn set(&mut self, key: K, value: V) -> Result<(), Error> {
        self.map
            .insert(key, value, 0)
            .map_err(Error::map(self.name, "writing"))
    }

    /// That it is not there is fine.
    pub(super) fn remove(&mut self, key: &K) -> Result<(), Error> {
        match self.map.remove(key) {
            Err(error) if !is_not_found(&error) => Err(Error::map(self.name, "deleting")(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn set_all(&mut self, rows: &Rows<K, V>) -> Result<(), Error> {
        let map = self.map.map().fd().as_fd();
        update_all(map, &rows.keys, &rows.values).map_err(|source| Error::Write {
            map: self.name,
            source,
        })
    }

    /// How many rows there is room for.
    pub(super) fn capacity(&self) -> Result<usize, Error> {
        let info = self.map.map().info();
        let info = info.map_err(Error::map(self.name, "asking the size of"))?;
        Ok(info.max_entries() as usize)
    }

    pub(super) fn all(&self) -> Result<Vec<(K, V)>, Error> {
        let all = self.map.iter().collect::<Result<Vec<_>, _>>();
        all.map_err(Error::map(self.name, "reading"))
    }
}
