//! What is known of a service for those who ask for names.

use super::{Kind, Offer, Offered, Services, State, claims::Origin, merge::Held, pool::Rank};
use crate::{
    name::{Endpoint, Holder, Known},
    record::Namespaced,
    service::{Frontend, Protocol},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Which offers have an endpoint with a name of its own at each address.
#[derive(Default)]
pub(super) struct Hosts(BTreeMap<IpAddr, BTreeSet<(Namespaced, Origin)>>);

impl Hosts {
    pub(super) fn forget(&mut self, key: &(Namespaced, Origin), offer: &Offer) {
        for ip in named(offer) {
            if let Some(keys) = self.0.get_mut(ip) {
                keys.remove(key);
                if keys.is_empty() {
                    self.0.remove(ip);
                }
            }
        }
    }

    pub(super) fn note(&mut self, key: &(Namespaced, Origin), offer: &Offer) {
        for ip in named(offer) {
            self.0.entry(*ip).or_default().insert(key.clone());
        }
    }
}

fn named(offer: &Offer) -> impl Iterator<Item = &IpAddr> {
    let endpoints = offer.endpoints.iter();
    endpoints.filter_map(|(ip, offered)| offered.hostname.as_ref().map(|_| ip))
}

impl Services {
    pub(crate) fn known<'a>(&'a self, name: &'a Namespaced) -> Known<'a> {
        // Of what several speak, the best informed is believed.
        let mut believed: BTreeMap<_, (Rank, &Held<Offer>, &Offered)> = BTreeMap::new();
        for (origin, held) in self.offers_of(name) {
            let claim = origin.claim(self.here());
            for (ip, offered) in &held.value.endpoints {
                let at = believed.entry((claim.cluster, *ip));
                let at = at.or_insert((claim.rank, held, offered));
                if claim.rank < at.0 {
                    *at = (claim.rank, held, offered);
                }
            }
        }
        let endpoints = believed.into_iter();
        let joins = self.joins_names(&name.namespace);
        let endpoints = endpoints.filter(|((cluster, _), (_, _, offered))| {
            offered.state == State::Active && (joins || *cluster == self.here().cluster)
        });
        let endpoints = endpoints.map(|((cluster, ip), (_, held, offered))| Endpoint {
            ip,
            cluster: &held.value.cluster,
            is_own: cluster == self.here().cluster,
            is_lost: self.is_lost(cluster, offered, ip),
            hostname: offered.hostname.as_deref(),
            ports: &offered.ports,
        });
        Known {
            definition: self.get(name).map(|service| &service.definition.value),
            endpoints: endpoints.collect(),
        }
    }

    pub(crate) fn holders(&self, ip: IpAddr) -> Vec<Holder<'_>> {
        let first = Frontend {
            ip,
            port: 0,
            protocol: Protocol::Tcp,
        };
        let frontends = self.owners().range(first..);
        let mut owners = frontends.take_while(|(frontend, _)| frontend.ip == ip);
        let service = owners.find_map(|(_, owners)| {
            let mut owners = owners.iter();
            owners.find_map(|(kind, name)| (*kind == Kind::ClusterIp).then_some(name))
        });
        if let Some(service) = service {
            return vec![Holder::Service(service)];
        }
        let keys = self.hosts().0.get(&ip).into_iter().flatten();
        let endpoints = keys.flat_map(|(name, _)| {
            let endpoints = self.known(name).endpoints.into_iter();
            let here = endpoints.filter(|it| it.ip == ip && it.hostname.is_some());
            here.map(move |endpoint| Holder::Endpoint(name, endpoint))
        });
        endpoints.collect()
    }
}
