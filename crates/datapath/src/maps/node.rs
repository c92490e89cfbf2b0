//! `NODES`, `NODE_SLOTS` and `PATH_MTU`: the nodes of the mesh and the way to each.

use super::{address::is_not_found, from_addr, take};
use crate::Error;
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use tombolo_abi::{Addr, NODES_MAX, NodeEntry, PathMtu, node_flag};
use tombolo_model::{
    change::NodePath,
    id::{ClusterId, NodeSlot},
    net::RoutingMode,
};

pub struct Nodes {
    table: Array<MapData, NodeEntry>,
    slots: HashMap<MapData, Addr, u32>,
    path_mtu: Array<MapData, PathMtu>,
}

impl Nodes {
    pub fn take(ebpf: &mut Ebpf) -> Result<Nodes, Error> {
        Ok(Nodes {
            table: take(ebpf, "NODES")?,
            slots: take(ebpf, "NODE_SLOTS")?,
            path_mtu: take(ebpf, "PATH_MTU")?,
        })
    }

    pub fn get(&self, slot: NodeSlot) -> Result<NodeEntry, Error> {
        self.table
            .get(&u32::from(slot.0), 0)
            .map_err(Error::map("NODES", "reading"))
    }

    pub fn set(&mut self, slot: NodeSlot, entry: &NodeEntry) -> Result<(), Error> {
        let old = self.get(slot)?;
        if old == *entry {
            return Ok(());
        }
        if old.address != entry.address {
            self.forget_address(slot, old.address)?;
            self.path_mtu
                .set(u32::from(slot.0), PathMtu::default(), 0)
                .map_err(Error::map("PATH_MTU", "writing"))?;
        }
        self.table
            .set(u32::from(slot.0), entry, 0)
            .map_err(Error::map("NODES", "writing"))?;
        if entry.address != Addr::default() {
            self.slots
                .insert(entry.address, u32::from(slot.0), 0)
                .map_err(Error::map("NODE_SLOTS", "writing"))?;
        }
        Ok(())
    }

    pub fn unset(&mut self, slot: NodeSlot) -> Result<(), Error> {
        self.set(slot, &NodeEntry::default())
    }

    /// The address may be another slot's by now.
    fn forget_address(&mut self, slot: NodeSlot, address: Addr) -> Result<(), Error> {
        match self.slots.get(&address, 0) {
            Ok(owner) if owner == u32::from(slot.0) => self
                .slots
                .remove(&address)
                .map_err(Error::map("NODE_SLOTS", "deleting")),
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(Error::map("NODE_SLOTS", "reading")(error)),
        }
    }

    pub fn all(&self) -> Result<Vec<(NodeSlot, NodePath)>, Error> {
        let mut found = Vec::new();
        // Every node that is known has its address in the small table.
        for item in self.slots.iter() {
            let (_, slot) = item.map_err(Error::map("NODE_SLOTS", "reading"))?;
            if slot >= NODES_MAX {
                continue;
            }
            let slot = NodeSlot(slot as u16);
            let entry = self.get(slot)?;
            let routing = if entry.flags & node_flag::TUNNEL != 0 {
                RoutingMode::Tunnel
            } else {
                RoutingMode::Native
            };
            let path = NodePath {
                cluster: ClusterId(entry.cluster),
                address: from_addr(entry.address),
                routing,
            };
            found.push((slot, path));
        }
        found.sort_by_key(|(slot, _)| *slot);
        Ok(found)
    }
}
