//! Who has an address that several endpoints claim: the first that came, until it lets go.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use super::spaces::Place;

#[derive(Debug, Default)]
pub(super) struct Claims {
    owners: BTreeMap<IpAddr, Place>,
    /// Who comes next, in the order in which they came; for hardly any address there is anyone.
    pending: BTreeMap<IpAddr, Vec<Place>>,
}

impl Claims {
    /// Whether it now is the owner's.
    pub(super) fn claim(&mut self, ip: IpAddr, place: &Place) -> bool {
        match self.owners.entry(ip) {
            Entry::Vacant(entry) => {
                entry.insert(place.clone());
                return true;
            }
            Entry::Occupied(entry) if entry.get() == place => return true,
            Entry::Occupied(_) => {}
        }
        let pending = self.pending.entry(ip).or_default();
        if !pending.contains(place) {
            pending.push(place.clone());
        }
        false
    }

    /// Whether it was the owner's.
    pub(super) fn release(&mut self, ip: IpAddr, place: &Place) -> bool {
        let owned = self.owners.get(&ip) == Some(place);
        let Some(pending) = self.pending.get_mut(&ip) else {
            if owned {
                self.owners.remove(&ip);
            }
            return owned;
        };
        if owned {
            self.owners.insert(ip, pending.remove(0));
        } else {
            pending.retain(|waiting| waiting != place);
        }
        if pending.is_empty() {
            self.pending.remove(&ip);
        }
        owned
    }

    /// All addresses that anyone claims.
    pub(super) fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.owners.keys().copied()
    }

    pub(super) fn owner(&self, ip: IpAddr) -> Option<&Place> {
        self.owners.get(&ip)
    }
}
