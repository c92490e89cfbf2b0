//! Who has an address that several endpoints claim: the first that came, until it lets go.

use std::{collections::BTreeMap, mem, net::IpAddr};

use super::spaces::Place;

#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<IpAddr, Claim>);

#[derive(Debug)]
struct Claim {
    owner: Place,
    /// In the order in which they came; hardly ever any.
    pending: Box<[Place]>,
}

impl Claims {
    /// Whether it now is the owner's.
    pub(super) fn claim(&mut self, ip: IpAddr, place: &Place) -> bool {
        let Some(claim) = self.0.get_mut(&ip) else {
            let claim = Claim {
                owner: place.clone(),
                pending: Box::default(),
            };
            self.0.insert(ip, claim);
            return true;
        };
        if claim.owner == *place {
            return true;
        }
        if !claim.pending.contains(place) {
            let mut pending = mem::take(&mut claim.pending).into_vec();
            pending.push(place.clone());
            claim.pending = pending.into();
        }
        false
    }

    /// Whether it was the owner's.
    pub(super) fn release(&mut self, ip: IpAddr, place: &Place) -> bool {
        let Some(claim) = self.0.get_mut(&ip) else {
            return false;
        };
        let mut pending = mem::take(&mut claim.pending).into_vec();
        let owned = claim.owner == *place;
        if !owned {
            pending.retain(|waiting| waiting != place);
        } else if pending.is_empty() {
            self.0.remove(&ip);
            return true;
        } else {
            claim.owner = pending.remove(0);
        }
        claim.pending = pending.into();
        owned
    }

    /// All addresses that anyone claims.
    pub(super) fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.0.keys().copied()
    }

    pub(super) fn owner(&self, ip: IpAddr) -> Option<&Place> {
        Some(&self.0.get(&ip)?.owner)
    }
}
