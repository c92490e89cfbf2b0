//! A hash map, with its name for what goes wrong.

use crate::{
    Error,
    maps::{address::is_not_found, take},
};
use aya::{
    Ebpf, Pod,
    maps::{HashMap, MapData},
};

pub(super) struct Table<K, V> {
    map: HashMap<MapData, K, V>,
    name: &'static str,
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

    pub(super) fn all(&self) -> Result<Vec<(K, V)>, Error> {
        let all = self.map.iter().collect::<Result<Vec<_>, _>>();
        all.map_err(Error::map(self.name, "reading"))
    }
}
