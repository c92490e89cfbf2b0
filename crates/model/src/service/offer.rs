//! What a cluster offers under a service's name: a slice of its own, or a record of a peer.

use super::{Hints, Protocol, WEIGHT_DEFAULT, annotation::weight};
use crate::record::{Conditions, EndpointSlice, Namespaced, Service};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub service: Namespaced,
    /// Whose it is.
    pub cluster: Arc<str>,
    /// Of each of its endpoints; 0 if they take nothing new.
    pub weight: u16,
    pub endpoints: BTreeMap<IpAddr, Offered>,
    /// What of it can't be followed, a sentence each.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub state: State,
    pub node: Option<Arc<str>>,
    /// If it has a name of its own.
    pub hostname: Option<Arc<str>>,
    /// For whom it is meant; of the own cluster's alone.
    pub hints: Option<Arc<Hints>>,
    /// Most endpoints of an offer have the same ones.
    pub ports: Arc<[OfferedPort]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OfferedPort {
    /// Empty if it has none.
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Active,
    /// On its way out, and answers still.
    Terminating,
    /// On its way out, and answers no one new.
    Ending,
    NotReady,
}

impl State {
    /// What is not said is as Kubernetes takes it.
    pub fn of(conditions: Conditions) -> State {
        let ready = conditions.ready.unwrap_or(true);
        let serving = conditions.serving.unwrap_or(ready);
        match (ready, conditions.terminating.unwrap_or(false), serving) {
            (true, _, _) => State::Active,
            (false, true, true) => State::Terminating,
            (false, true, false) => State::Ending,
            (false, false, _) => State::NotReady,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Terminating => "terminating",
            State::Ending => "ending",
            State::NotReady => "not ready",
        }
    }
}

impl OfferedPort {
    /// Nothing if there is no way to lead to it.
    pub fn new(name: &str, protocol: &str, port: u16) -> Option<OfferedPort> {
        Some(OfferedPort {
            name: name.to_owned(),
            protocol: Protocol::from_word(protocol)?,
            port: (port != 0).then_some(port)?,
        })
    }
}

impl Offer {
    /// A peer's record in the older format, which names only those that answer.
    pub fn of_record(record: &Service) -> Offer {
        let mut shared: Vec<Arc<[OfferedPort]>> = Vec::new();
        let mut endpoints = BTreeMap::new();
        for (ip, ports) in &record.backends {
            let ports: Vec<OfferedPort> = ports
                .iter()
                .filter_map(|(name, port)| OfferedPort::new(name, &port.protocol, port.port))
                .collect();
            let offered = Offered {
                state: State::Active,
                node: None,
                hostname: record.hostnames.get(ip).and_then(|name| hostname(name)),
                hints: None,
                ports: intern(&mut shared, ports),
            };
            endpoints.insert(*ip, offered);
        }
        Offer {
            service: Namespaced {
                namespace: record.namespace.clone(),
                name: record.name.clone(),
            },
            cluster: record.cluster.as_str().into(),
            weight: WEIGHT_DEFAULT,
            endpoints,
            problems: Vec::new(),
        }
    }

    /// A peer's slice; nothing if it is of no service.
    pub fn of_slice(slice: &EndpointSlice) -> Option<Offer> {
        let name = slice.labels.get("kubernetes.io/service-name")?;
        let ports: Arc<[OfferedPort]> = slice
            .ports
            .iter()
            .filter_map(|port| {
                let name = port.name.as_deref().unwrap_or_default();
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                OfferedPort::new(name, protocol, port.port?)
            })
            .collect();
        let mut endpoints = BTreeMap::new();
        for endpoint in &slice.endpoints {
            // Kubernetes: all addresses of an endpoint are the same one's, and one is enough.
            if let Some(ip) = endpoint.addresses.first() {
                let offered = Offered {
                    state: State::of(endpoint.conditions),
                    node: endpoint.node.as_deref().map(Arc::from),
                    hostname: endpoint.hostname.as_deref().and_then(hostname),
                    // Where they are meant for zones, these are its own cluster's.
                    hints: None,
                    ports: ports.clone(),
                };
                endpoints.insert(*ip, offered);
            }
        }
        let (weight, problems) = match weight(&slice.annotations) {
            Ok(weight) => (weight, Vec::new()),
            Err(problem) => (WEIGHT_DEFAULT, vec![problem]),
        };
        Some(Offer {
            service: Namespaced {
                namespace: slice.namespace.clone(),
                name: name.clone(),
            },
            cluster: slice.cluster.as_str().into(),
            weight,
            endpoints,
            problems,
        })
    }
}

/// None if it is empty, as peers may write it.
fn hostname(name: &str) -> Option<Arc<str>> {
    (!name.is_empty()).then(|| name.into())
}

fn intern(shared: &mut Vec<Arc<[OfferedPort]>>, ports: Vec<OfferedPort>) -> Arc<[OfferedPort]> {
    if let Some(same) = shared.iter().find(|same| ***same == *ports) {
        return same.clone();
    }
    let ports: Arc<[OfferedPort]> = ports.into();
    shared.push(ports.clone());
    ports
}
