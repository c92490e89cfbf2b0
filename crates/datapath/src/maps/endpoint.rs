//! `ENDPOINTS`: the pods of this node.

use super::{from_addr, take, to_addr};
use crate::Error;
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use std::net::IpAddr;
use tombolo_abi::{Addr, ENDPOINTS_MAX, EndpointEntry};
use tombolo_model::{
    change::EndpointPath,
    id::{EndpointId, Identity},
    net::{Mac, PodAddresses},
};

pub struct Endpoints(Array<MapData, EndpointEntry>);

impl Endpoints {
    pub fn take(ebpf: &mut Ebpf) -> Result<Endpoints, Error> {
        Ok(Endpoints(take(ebpf, "ENDPOINTS")?))
    }

    fn get(&self, id: EndpointId) -> Result<EndpointEntry, Error> {
        if u32::from(id.0) >= ENDPOINTS_MAX {
            return Err(Error::EndpointRange {
                id: id.0,
                max: ENDPOINTS_MAX,
            });
        }
        self.0
            .get(&u32::from(id.0), 0)
            .map_err(Error::map("ENDPOINTS", "reading"))
    }

    /// Writes an entry whose counter is above the former one's, which ends what flows know of the endpoint.
    fn put(&mut self, id: EndpointId, entry: EndpointEntry) -> Result<(), Error> {
        let epoch = self.get(id)?.epoch.wrapping_add(1);
        let entry = EndpointEntry { epoch, ..entry };
        self.0
            .set(u32::from(id.0), entry, 0)
            .map_err(Error::map("ENDPOINTS", "writing"))
    }

    pub fn set(&mut self, id: EndpointId, path: &EndpointPath) -> Result<(), Error> {
        let entry = EndpointEntry {
            epoch: 0,
            ifindex: path.ifindex,
            identity: path.identity.0,
            mac: path.mac.0,
            _pad: 0,
            v4: path
                .addresses
                .v4
                .map_or(Addr::default(), |v4| to_addr(IpAddr::V4(v4))),
            v6: path
                .addresses
                .v6
                .map_or(Addr::default(), |v6| to_addr(IpAddr::V6(v6))),
        };
        self.put(id, entry)?;
        // The kernel copies the entry piece by piece: what a program made of its halves holds until the counter rises once more.
        self.touch(id)
    }

    pub fn unset(&mut self, id: EndpointId) -> Result<(), Error> {
        self.put(id, EndpointEntry::default())
    }

    /// Makes the endpoint's flows be judged again.
    pub fn touch(&mut self, id: EndpointId) -> Result<(), Error> {
        let entry = self.get(id)?;
        self.put(id, entry)
    }

    pub fn all(&self) -> Result<Vec<(EndpointId, EndpointPath)>, Error> {
        let mut found = Vec::new();
        for id in (1..ENDPOINTS_MAX as u16).map(EndpointId) {
            let entry = self.get(id)?;
            if entry.ifindex != 0 {
                found.push((id, path_of(entry)));
            }
        }
        Ok(found)
    }
}

fn path_of(entry: EndpointEntry) -> EndpointPath {
    let mut addresses = PodAddresses::default();
    if let IpAddr::V4(v4) = from_addr(entry.v4) {
        addresses.v4 = Some(v4);
    }
    if entry.v6 != Addr::default() {
        addresses.v6 = Some(entry.v6.bytes().into());
    }
    EndpointPath {
        identity: Identity(entry.identity),
        ifindex: entry.ifindex,
        mac: Mac(entry.mac),
        addresses,
    }
}
