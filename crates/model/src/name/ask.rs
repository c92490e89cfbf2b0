//! What a question asks for.

use super::SET_DOMAIN;
use crate::{record::Namespaced, service::Protocol};
use std::net::IpAddr;

/// In lower case, the first label first, without the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub labels: Vec<String>,
    pub kind: Kind,
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Aaaa,
    Srv,
    Ptr,
    /// Of which services have none.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// The own cluster's.
    Cluster,
    /// Of all clusters.
    Set,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing that services have to do with.
    Others,
    /// A name that no service can have.
    Nobody(Domain),
    /// Who has an address.
    Holder(IpAddr),
    Service {
        domain: Domain,
        service: Namespaced,
        part: Part,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Endpoint(String),
    EndpointOf { cluster: String, name: String },
    Port { name: String, protocol: String },
}

impl Domain {
    pub(super) fn text(self, own: &str) -> &str {
        match self {
            Domain::Cluster => own,
            Domain::Set => SET_DOMAIN,
        }
    }
}

impl Part {
    /// Whether a port is asked for, which all are unless one is named.
    pub(super) fn wants(&self, port: &str, protocol: Protocol) -> bool {
        match self {
            Part::Port { name, protocol: it } => {
                name.eq_ignore_ascii_case(port) && it.eq_ignore_ascii_case(protocol.word())
            }
            Part::Whole | Part::Endpoint(_) | Part::EndpointOf { .. } => true,
        }
    }
}

/// `domain` is the own cluster's.
pub(super) fn parse(question: &Question, domain: &str) -> Asked {
    let labels: Vec<&str> = question.labels.iter().map(String::as_str).collect();
    if question.kind == Kind::Ptr
        && let Some(ip) = address(&labels)
    {
        return Asked::Holder(ip);
    }
    for is in [Domain::Cluster, Domain::Set] {
        let end: Vec<&str> = is.text(domain).split('.').collect();
        if let Some(within) = labels.strip_suffix(&end[..]) {
            return parse_within(within, is);
        }
    }
    Asked::Others
}

/// Below `svc` alone are services; what else is in the domain is the name servers' affair.
fn parse_within(labels: &[&str], domain: Domain) -> Asked {
    let [before @ .., service, namespace, "svc"] = labels else {
        return Asked::Others;
    };
    // Of a name with other characters there is no service. Others may have a meaning for it.
    let is_plain = |label: &&str| {
        let mut bytes = label.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if !labels.iter().all(is_plain) {
        return Asked::Others;
    }
    let part = match before {
        [] => Part::Whole,
        [name] => Part::Endpoint((*name).to_owned()),
        [port, protocol] if domain == Domain::Cluster || is_port(port, protocol) => Part::Port {
            name: stripped(port).to_owned(),
            protocol: stripped(protocol).to_owned(),
        },
        [name, cluster] => Part::EndpointOf {
            cluster: (*cluster).to_owned(),
            name: (*name).to_owned(),
        },
        _ => return Asked::Nobody(domain),
    };
    // Services of SCTP are not known here.
    if matches!(&part, Part::Port { protocol, .. } if protocol == "sctp") {
        return Asked::Others;
    }
    let service = Namespaced {
        namespace: (*namespace).to_owned(),
        name: (*service).to_owned(),
    };
    Asked::Service {
        domain,
        service,
        part,
    }
}

fn is_port(port: &str, protocol: &str) -> bool {
    port.starts_with('_') && protocol.starts_with('_')
}

/// CoreDNS wants no underscore.
fn stripped(label: &str) -> &str {
    label.strip_prefix('_').unwrap_or(label)
}

/// A name for an address, as long as addresses are.
fn address(labels: &[&str]) -> Option<IpAddr> {
    match labels {
        [d, c, b, a, "in-addr", "arpa"] => format!("{a}.{b}.{c}.{d}").parse().ok(),
        [nibbles @ .., "ip6", "arpa"] if nibbles.len() == 32 => {
            let mut bits = 0u128;
            for nibble in nibbles.iter().rev() {
                if nibble.len() != 1 {
                    return None;
                }
                bits = bits << 4 | u128::from_str_radix(nibble, 16).ok()?;
            }
            Some(IpAddr::V6(bits.into()))
        }
        _ => None,
    }
}
