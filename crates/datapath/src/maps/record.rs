//! `RECORDS`: what the agent must remember of each endpoint beyond a crash. No program reads it.

use super::address::is_not_found;
use crate::Error;
use aya::maps::{HashMap, Map, MapData};
use std::path::Path;
use tombolo_abi::{ENDPOINTS_MAX, RECORD_BYTES};
use tombolo_model::id::EndpointId;

const LENGTH: usize = 2;

pub struct Records(HashMap<MapData, u32, [u8; RECORD_BYTES + LENGTH]>);

/// Room is taken only for records that exist.
const BPF_F_NO_PREALLOC: u32 = 1;

impl Records {
    /// Opens the pinned map, or makes and pins it.
    pub fn open(folder: &Path) -> Result<Records, Error> {
        let path = folder.join("RECORDS");
        if path.exists() {
            let data = MapData::from_pin(&path).map_err(Error::map("RECORDS", "opening"))?;
            let map =
                HashMap::try_from(Map::HashMap(data)).map_err(Error::map("RECORDS", "opening"))?;
            return Ok(Records(map));
        }
        let made: HashMap<MapData, u32, [u8; RECORD_BYTES + LENGTH]> =
            HashMap::create(ENDPOINTS_MAX, BPF_F_NO_PREALLOC)
                .map_err(Error::map("RECORDS", "creating"))?;
        made.pin(&path).map_err(|source| Error::Pin {
            path: path.clone(),
            source: Box::new(source),
        })?;
        Records::open(folder)
    }

    pub fn set(&mut self, id: EndpointId, record: &[u8]) -> Result<(), Error> {
        if record.len() > RECORD_BYTES {
            return Err(Error::Record {
                length: record.len(),
                max: RECORD_BYTES,
            });
        }
        let mut value = [0; RECORD_BYTES + LENGTH];
        value[..LENGTH].copy_from_slice(&(record.len() as u16).to_ne_bytes());
        value[LENGTH..LENGTH + record.len()].copy_from_slice(record);
        self.0
            .insert(u32::from(id.0), value, 0)
            .map_err(Error::map("RECORDS", "writing"))
    }

    pub fn unset(&mut self, id: EndpointId) -> Result<(), Error> {
        match self.0.remove(&u32::from(id.0)) {
            Ok(()) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(Error::map("RECORDS", "deleting")(error)),
        }
    }

    pub fn all(&self) -> Result<Vec<(EndpointId, Vec<u8>)>, Error> {
        let mut found = Vec::new();
        for item in self.0.iter() {
            let (id, value) = item.map_err(Error::map("RECORDS", "reading"))?;
            let length = usize::from(u16::from_ne_bytes([value[0], value[1]])).min(RECORD_BYTES);
            found.push((
                EndpointId(id as u16),
                value[LENGTH..LENGTH + length].to_vec(),
            ));
        }
        found.sort_by_key(|(id, _)| *id);
        Ok(found)
    }
}
