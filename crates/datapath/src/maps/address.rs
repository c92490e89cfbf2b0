//! `ADDRESSES`, and the counters in `EPOCHS` that tell flows of their changes.

use super::{from_prefix, take, to_addr, to_prefix};
use crate::{Error, datapath::maps_folder};
use aya::{
    Ebpf,
    maps::{
        Array, Map, MapData, MapError,
        lpm_trie::{Key, LpmTrie},
    },
};
use ipnet::IpNet;
use std::{net::IpAddr, path::Path};
use tombolo_abi::{ADDRESS_BITS_BEFORE, AddressEntry, AddressKey, EPOCH_OF_RANGES, place};
use tombolo_model::{
    change::{Place, Reach},
    id::{EndpointId, Identity, NodeSlot},
};

const NAME: &str = "ADDRESSES";

/// What the kernel knows of addresses. Whoever opens it by its pin only looks.
pub struct AddressTable(LpmTrie<MapData, AddressKey, AddressEntry>);

impl AddressTable {
    /// `pins` is the folder that the node's agent was told.
    pub fn open(pins: &Path) -> Result<AddressTable, Error> {
        let map = MapData::from_pin(maps_folder(pins).join(NAME));
        let map = map.map_err(Error::map(NAME, "opening"))?;
        let table = LpmTrie::try_from(Map::LpmTrie(map));
        Ok(AddressTable(table.map_err(Error::map(NAME, "opening"))?))
    }

    /// What is written of the address itself; a range that it lies in doesn't count.
    pub fn get(&self, address: IpAddr) -> Result<Option<Reach>, Error> {
        match self.0.get(&key_of(address.into()), 0) {
            Ok(entry) if entry.range == 0 => Ok(Some(reach_of(entry))),
            Ok(_) => Ok(None),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(Error::map(NAME, "reading")(error)),
        }
    }

    pub fn all(&self) -> Result<Vec<(IpNet, Reach)>, Error> {
        let read = |item: Result<(Key<AddressKey>, AddressEntry), MapError>| {
            let (key, entry) = item.map_err(Error::map(NAME, "reading"))?;
            Ok(net_of(&key).map(|net| (net, reach_of(entry))))
        };
        self.0
            .iter()
            .filter_map(|item| read(item).transpose())
            .collect()
    }
}

pub struct Addresses {
    table: AddressTable,
    epochs: Array<MapData, u32>,
}

impl Addresses {
    pub fn take(ebpf: &mut Ebpf) -> Result<Addresses, Error> {
        Ok(Addresses {
            table: AddressTable(take(ebpf, NAME)?),
            epochs: take(ebpf, "EPOCHS")?,
        })
    }

    pub fn set(&mut self, net: IpNet, reach: Reach) -> Result<(), Error> {
        self.table
            .0
            .insert(&key_of(net), entry_of(net, reach), 0)
            .map_err(Error::map(NAME, "writing"))?;
        self.touch(net)
    }

    pub fn unset(&mut self, net: IpNet) -> Result<(), Error> {
        match self.table.0.remove(&key_of(net)) {
            Ok(()) => self.touch(net),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(Error::map(NAME, "deleting")(error)),
        }
    }

    /// Makes flows that rest on the address be judged again. The table is written before, and programs read the counter first.
    fn touch(&mut self, net: IpNet) -> Result<(), Error> {
        if is_single(net) {
            self.raise(to_addr(net.addr()).shard())
        } else {
            self.touch_ranges()
        }
    }

    /// Makes flows that rest on a range of addresses be judged again.
    pub fn touch_ranges(&mut self) -> Result<(), Error> {
        self.raise(EPOCH_OF_RANGES)
    }

    fn raise(&mut self, index: u32) -> Result<(), Error> {
        let epoch = self
            .epochs
            .get(&index, 0)
            .map_err(Error::map("EPOCHS", "reading"))?;
        self.epochs
            .set(index, epoch.wrapping_add(1), 0)
            .map_err(Error::map("EPOCHS", "writing"))
    }

    pub fn all(&self) -> Result<Vec<(IpNet, Reach)>, Error> {
        self.table.all()
    }
}

pub fn is_not_found(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound | MapError::ElementNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

fn is_single(net: IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

fn key_of(net: IpNet) -> Key<AddressKey> {
    let (bits, addr) = to_prefix(net);
    let key = AddressKey {
        cluster: 0,
        _pad: 0,
        addr,
    };
    Key::new(ADDRESS_BITS_BEFORE + bits, key)
}

fn net_of(key: &Key<AddressKey>) -> Option<IpNet> {
    let bits = key.prefix_len().checked_sub(ADDRESS_BITS_BEFORE)?;
    from_prefix(bits, key.data().addr)
}

fn entry_of(net: IpNet, reach: Reach) -> AddressEntry {
    let (place, index) = match reach.place {
        Place::Local(endpoint) => (place::LOCAL, endpoint.0),
        Place::Host => (place::HOST, 0),
        Place::Remote(slot) => (place::REMOTE, slot.0),
        Place::World => (place::WORLD, 0),
        Place::Nowhere => (place::NOWHERE, 0),
    };
    AddressEntry {
        identity: reach.identity.0,
        index,
        place,
        range: u8::from(!is_single(net)),
    }
}

fn reach_of(entry: AddressEntry) -> Reach {
    let place = match entry.place {
        place::LOCAL => Place::Local(EndpointId(entry.index)),
        place::HOST => Place::Host,
        place::REMOTE => Place::Remote(NodeSlot(entry.index)),
        place::WORLD => Place::World,
        _ => Place::Nowhere,
    };
    Reach {
        identity: Identity(entry.identity),
        place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_there_and_back() {
        for net in [
            "0.0.0.0/0",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "::/0",
            "fd00::/8",
            "fd00:10:1::5/128",
        ] {
            let net: IpNet = net.parse().expect("a prefix");
            assert_eq!(net_of(&key_of(net)), Some(net));
        }
    }
}
