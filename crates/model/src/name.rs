//! Names of services: what a question asks for, and what is answered to it from what the node knows.
//!
//! ```text
//!  Question ──► whose name it is ──► Known: the service, and what answers for it in all clusters ──► Answer
//! ```
//! What Kubernetes says of names ("DNS-Based Service Discovery" 1.1.0) is the rule, and where that is silent what CoreDNS does.
//! Whatever is no service's, and all that is not known for certain, is for others to answer. Deliberately without messages,
//! which are the agent's.

mod ask;
#[cfg(test)]
mod tests;

pub use ask::{Kind, Question};

use crate::{
    record::Namespaced,
    service::{Definition, Naming, OfferedPort, Protocol, Services},
};
use ask::{Asked, Domain, Part};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// Where questions are asked.
pub const PORT: u16 = 53;
/// What the names end in that hold in all clusters.
pub const SET_DOMAIN: &str = "clusterset.local";

/// Whom a cluster's pods ask, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameService {
    pub service: Namespaced,
    /// What the names of the cluster's services end in, in lower case.
    pub domain: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No service's name, or one of which not all is known.
    Forward,
    /// There is no such name in this domain.
    NoName { domain: String },
    /// There is, and nothing of the kind that was asked for.
    NoData { domain: String },
    Records {
        answers: BTreeSet<Record>,
        /// Addresses of the names that answers speak of.
        additional: BTreeSet<(String, IpAddr)>,
    },
}

/// What a name has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    Address(IpAddr),
    Server { port: u16, target: String },
    Name(String),
}

/// What is known of a service, whoever's it is.
pub(crate) struct Known<'a> {
    /// As the own cluster has it.
    pub(crate) definition: Option<&'a Definition>,
    pub(crate) endpoints: Vec<Endpoint<'a>>,
}

/// Something that is ready to answer for a service.
pub(crate) struct Endpoint<'a> {
    pub(crate) ip: IpAddr,
    pub(crate) cluster: &'a str,
    pub(crate) is_own: bool,
    /// Nobody answers where it is.
    pub(crate) is_lost: bool,
    pub(crate) hostname: Option<&'a str>,
    pub(crate) ports: &'a [OfferedPort],
}

/// Who has an address.
pub(crate) enum Holder<'a> {
    Service(&'a Namespaced),
    Endpoint(&'a Namespaced, Endpoint<'a>),
}

/// What a question finds: a name, and what it has.
struct Found {
    name: String,
    ips: Vec<IpAddr>,
    ports: Vec<u16>,
}

/// All of the own cluster's services must be known.
pub(crate) fn answer(question: &Question, own: &NameService, services: &Services) -> Answer {
    match ask::parse(question, &own.domain) {
        Asked::Others => Answer::Forward,
        Asked::Nobody(domain) => Answer::NoName {
            domain: domain.text(&own.domain).to_owned(),
        },
        Asked::Holder(ip) => holder(services.holders(ip), &own.domain),
        Asked::Service {
            domain,
            service,
            part,
        } => {
            let known = services.known(&service);
            let naming = known.definition.map(|definition| definition.naming);
            if naming == Some(Naming::Elsewhere) {
                return Answer::Forward;
            }
            let seeker = Seeker {
                known,
                domain,
                service: &service,
                own: &own.domain,
            };
            let found = seeker.find(&part);
            records(&found, question.kind, domain.text(&own.domain))
        }
    }
}

/// Where the cluster's own name servers answer, which are backends: the service itself leads to the agent.
pub(crate) fn servers(
    own: &NameService,
    services: &Services,
    protocol: Protocol,
) -> Vec<SocketAddr> {
    let known = services.known(&own.service);
    let ports = known.definition.iter().flat_map(|it| &it.ports);
    let mut ports = ports.filter(|port| port.protocol == protocol && port.port == PORT);
    let Some(asked) = ports.next() else {
        return Vec::new();
    };
    let at = |endpoint: &Endpoint<'_>| {
        let mut ports = endpoint.ports.iter();
        let port = ports.find(|port| port.protocol == protocol && port.name == asked.name)?;
        Some(SocketAddr::new(endpoint.ip, port.port))
    };
    let cluster_ips = known.definition.iter().flat_map(|it| &it.cluster_ips);
    let is_v4 = cluster_ips.map(IpAddr::is_ipv4).next();
    // Each pod once: in the family that the service prefers.
    let is_meant = |it: &&Endpoint<'_>| it.is_own && Some(it.ip.is_ipv4()) == is_v4;
    let own = known.endpoints.iter().filter(is_meant);
    own.filter_map(at).collect()
}

struct Seeker<'a> {
    known: Known<'a>,
    domain: Domain,
    service: &'a Namespaced,
    /// The own cluster's domain.
    own: &'a str,
}

impl Seeker<'_> {
    fn find(&self, part: &Part) -> Vec<Found> {
        if let (Some(definition), Part::Whole | Part::Port { .. }) = (self.known.definition, part)
            && definition.naming == Naming::Addresses
            && (self.domain == Domain::Cluster || definition.sharing.global)
        {
            let ports = definition.ports.iter();
            let ports = ports.filter(|port| part.wants(&port.name, port.protocol));
            let found = Found {
                name: service_name(self.service, self.domain.text(self.own)),
                ips: definition.cluster_ips.clone(),
                ports: ports.map(|port| port.port).collect(),
            };
            return Vec::from_iter((!found.ports.is_empty()).then_some(found));
        }
        let mut endpoints: Vec<&Endpoint<'_>> = self.known.endpoints.iter().collect();
        endpoints.retain(|endpoint| self.is_meant(endpoint, part));
        // Of pods that are called alike, as those of two clusters' stateful sets, the own one is meant.
        if matches!(part, Part::Endpoint(_)) {
            prefer(&mut endpoints, |endpoint| endpoint.is_own);
        }
        prefer(&mut endpoints, |endpoint| !endpoint.is_lost);
        endpoints
            .into_iter()
            .map(|endpoint| self.at(endpoint, part))
            .collect()
    }

    fn is_meant(&self, endpoint: &Endpoint<'_>, part: &Part) -> bool {
        let sharing = self.known.definition.map(|definition| definition.sharing);
        let is_here = match (self.domain, endpoint.is_own) {
            (Domain::Cluster, true) => sharing.is_some(),
            (Domain::Cluster, false) => sharing.is_none_or(|sharing| sharing.global),
            (Domain::Set, true) => sharing.is_some_and(|sharing| sharing.is_exported()),
            (Domain::Set, false) => true,
        };
        is_here
            && match part {
                Part::Whole => true,
                Part::Endpoint(name) => *name == endpoint.name(),
                Part::EndpointOf { cluster, name } => {
                    cluster == endpoint.cluster && *name == endpoint.name()
                }
                Part::Port { .. } => {
                    let mut ports = endpoint.ports.iter();
                    ports.any(|port| part.wants(&port.name, port.protocol))
                }
            }
    }

    fn at(&self, endpoint: &Endpoint<'_>, part: &Part) -> Found {
        let ports = endpoint.ports.iter();
        let ports = ports.filter(|port| part.wants(&port.name, port.protocol));
        Found {
            name: endpoint.full_name(self.service, self.domain, self.own),
            ips: vec![endpoint.ip],
            ports: ports.map(|port| port.port).collect(),
        }
    }
}

/// Those alone for which it holds, unless there are none.
fn prefer(endpoints: &mut Vec<&Endpoint<'_>>, is_better: impl Fn(&Endpoint<'_>) -> bool) {
    if endpoints.iter().any(|endpoint| is_better(endpoint)) {
        endpoints.retain(|endpoint| is_better(endpoint));
    }
}

impl Endpoint<'_> {
    /// As Kubernetes has it: its hostname, or its address with dashes.
    fn name(&self) -> String {
        match self.hostname {
            Some(name) => name.to_ascii_lowercase(),
            None => self.ip.to_string().replace(['.', ':'], "-"),
        }
    }

    /// One that means no other: pods of several clusters may be called alike.
    fn full_name(&self, service: &Namespaced, domain: Domain, own: &str) -> String {
        let name = self.name();
        if domain == Domain::Cluster && self.is_own {
            format!("{name}.{}", service_name(service, own))
        } else {
            let service = service_name(service, SET_DOMAIN);
            format!("{name}.{}.{service}", self.cluster)
        }
    }
}

fn service_name(service: &Namespaced, domain: &str) -> String {
    format!("{}.{}.svc.{domain}", service.name, service.namespace)
}

/// A service's own address is the service's alone; else all that have a name of their own there.
fn holder(holders: Vec<Holder<'_>>, own: &str) -> Answer {
    let name = |holder: &Holder<'_>| match holder {
        Holder::Service(service) => service_name(service, own),
        Holder::Endpoint(service, endpoint) => endpoint.full_name(service, Domain::Cluster, own),
    };
    let service = holders
        .iter()
        .find(|holder| matches!(holder, Holder::Service(_)));
    let answers: BTreeSet<Record> = match service {
        Some(service) => [Record::Name(name(service))].into(),
        None => holders
            .iter()
            .map(|holder| Record::Name(name(holder)))
            .collect(),
    };
    // Whose the others are, the cluster's name servers may know.
    if answers.is_empty() {
        return Answer::Forward;
    }
    Answer::Records {
        answers,
        additional: BTreeSet::new(),
    }
}

fn records(found: &[Found], kind: Kind, domain: &str) -> Answer {
    let domain = domain.to_owned();
    if found.is_empty() {
        return Answer::NoName { domain };
    }
    let mut answers = BTreeSet::new();
    let mut additional = BTreeSet::new();
    for Found { name, ips, ports } in found {
        match kind {
            Kind::A | Kind::Aaaa => {
                let ips = ips.iter().filter(|ip| ip.is_ipv4() == (kind == Kind::A));
                answers.extend(ips.map(|ip| Record::Address(*ip)));
            }
            Kind::Srv => {
                let target = |port: &u16| Record::Server {
                    port: *port,
                    target: name.clone(),
                };
                answers.extend(ports.iter().map(target));
                additional.extend(ips.iter().map(|ip| (name.clone(), *ip)));
            }
            Kind::Ptr | Kind::Other => {}
        }
    }
    if answers.is_empty() {
        return Answer::NoData { domain };
    }
    Answer::Records {
        answers,
        additional,
    }
}
