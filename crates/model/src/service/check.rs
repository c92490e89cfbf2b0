//! Health checks of nodes: at which ports those who balance load ask whether a service has backends here, and what they are told.
//!
//! Only the own cluster's endpoints of this node count: nobody else answers what such a balancer sends here.

use super::{Definition, Frontend, Kind, Offer, Protocol, Services, State, full_name};
use crate::record::Namespaced;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
};

/// What is said at a port of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub service: Namespaced,
    /// Those of this node that take new connections.
    pub endpoints: usize,
}

#[derive(Default)]
pub(super) struct Checks {
    /// Endpoints of this node that take new connections, by service and address, and how many slices say so.
    here: BTreeMap<Namespaced, BTreeMap<IpAddr, usize>>,
    /// Who claims each port; the first has it.
    ports: BTreeMap<u16, BTreeSet<Namespaced>>,
    /// Why ports can't be opened.
    refused: BTreeMap<u16, String>,
    /// Since this was looked at last.
    moved: bool,
}

impl Checks {
    pub(super) fn define(&mut self, name: &Namespaced, definition: &Definition) {
        if let Some(port) = definition.check_port {
            self.ports.entry(port).or_default().insert(name.clone());
        }
        self.moved = true;
    }

    pub(super) fn end(&mut self, name: &Namespaced, definition: &Definition) {
        self.moved = true;
        let Some(port) = definition.check_port else {
            return;
        };
        if let Some(claims) = self.ports.get_mut(&port) {
            claims.remove(name);
            if claims.is_empty() {
                self.ports.remove(&port);
            }
        }
    }

    /// What the own cluster offers, and does not.
    pub(super) fn add(&mut self, offer: &Offer, node: &str) {
        for ip in ready_on(offer, node) {
            let here = self.here.entry(offer.service.clone()).or_default();
            *here.entry(ip).or_default() += 1;
            self.moved = true;
        }
    }

    pub(super) fn take(&mut self, offer: &Offer, node: &str) {
        let Some(here) = self.here.get_mut(&offer.service) else {
            return;
        };
        for ip in ready_on(offer, node) {
            self.moved = true;
            match here.get_mut(&ip) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(here.remove(&ip)),
            }
        }
        if here.is_empty() {
            self.here.remove(&offer.service);
        }
    }

    /// A pod of two families is one endpoint.
    fn endpoints(&self, service: &Namespaced) -> usize {
        let ips = || self.here.get(service).into_iter().flat_map(BTreeMap::keys);
        let v4 = ips().filter(|ip| ip.is_ipv4()).count();
        v4.max(ips().count() - v4)
    }
}

fn ready_on<'a>(offer: &'a Offer, node: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    let endpoints = offer.endpoints.iter().filter(move |(_, offered)| {
        offer.weight > 0 && offered.state == State::Active && offered.node.as_deref() == Some(node)
    });
    endpoints.map(|(ip, _)| *ip)
}

impl Services {
    /// By port; nothing if that has not changed since it was asked last.
    pub(crate) fn take_checks(&mut self) -> Option<BTreeMap<u16, Check>> {
        if !mem::take(&mut self.checks.moved) {
            return None;
        }
        let ports = self.checks.ports.iter();
        let checks = ports.filter_map(|(port, claims)| {
            let service = claims.first()?.clone();
            let check = Check {
                endpoints: self.ready_here(&service),
                service,
            };
            Some((*port, check))
        });
        Some(checks.collect())
    }

    /// Those that can't be opened, each with the reason.
    pub(crate) fn refuse_checks(&mut self, refused: BTreeMap<u16, String>) {
        self.checks.refused = refused;
    }

    pub(super) fn ready_here(&self, service: &Namespaced) -> usize {
        let grades = self.get(service).map(|it| &it.definition.value.grades);
        // Where the own cluster's backends get nothing new, none takes what the balancer sends.
        let takes =
            grades.is_none_or(|grades| grades.weigh(1, &self.here().cluster_name, true) > 0);
        if takes {
            self.checks.endpoints(service)
        } else {
            0
        }
    }

    pub(super) fn check_conditions(
        &self,
        name: &Namespaced,
        definition: &Definition,
    ) -> Vec<String> {
        let Some(port) = definition.check_port else {
            return Vec::new();
        };
        let claims = self.checks.ports.get(&port);
        let owner = claims.and_then(BTreeSet::first);
        if let Some(owner) = owner.filter(|owner| *owner != name) {
            return vec![format!(
                "healthCheckNodePort {port} is {}'s already: balancers that ask there are not told of this service; \
                 give it another one",
                full_name(owner)
            )];
        }
        let mut conditions = Vec::new();
        if let Some(reason) = self.checks.refused.get(&port) {
            conditions.push(format!(
                "healthCheckNodePort {port}: nobody can ask there: {reason}; see what listens there by \
                 `ss -ltnp sport = :{port}` and end it, or give the service another one: it is tried again"
            ));
        }
        let led = self.here().addresses.iter().find_map(|ip| {
            let frontend = Frontend {
                ip: *ip,
                port,
                protocol: Protocol::Tcp,
            };
            let claims = self.owners().get(&frontend)?.iter();
            let mut claims = claims.filter(|(kind, _)| *kind == Kind::NodePort);
            claims.next().map(|(_, name)| name)
        });
        conditions.extend(led.map(|other| {
            format!(
                "healthCheckNodePort {port} is a NodePort of {} too: balancers that ask there are led to its backends; \
                 give one of them another port",
                full_name(other)
            )
        }));
        conditions
    }
}
