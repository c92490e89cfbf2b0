//! A pod's endpoint: its addresses, the node they are on, and whose identity they have.

use std::{net::IpAddr, sync::Arc};

use serde::Deserialize;
use tombolo_model::id::Identity;

use super::form::{Fault, Source, ip, or_default};
use super::node::Pair;

/// A cluster may have 250,000 of them, so it is kept small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiliumEndpoint {
    pub addresses: Box<[IpAddr]>,
    /// An address of its node.
    pub host: Option<IpAddr>,
    /// 0 as long as it has none.
    pub identity: Identity,
    pub encryption_key: u8,
    pub service_account: Option<Arc<str>>,
    pub ports: Arc<[NamedPort]>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct NamedPort {
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    #[serde(deserialize_with = "or_default")]
    pub port: u16,
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    #[serde(deserialize_with = "or_default")]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Status {
    #[serde(deserialize_with = "or_default")]
    identity: IdentityForm,
    #[serde(deserialize_with = "or_default")]
    networking: Networking,
    #[serde(deserialize_with = "or_default")]
    encryption: Encryption,
    #[serde(deserialize_with = "or_default")]
    named_ports: Vec<NamedPort>,
    service_account: Option<Arc<str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IdentityForm {
    #[serde(deserialize_with = "or_default")]
    id: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Networking {
    #[serde(deserialize_with = "or_default")]
    addressing: Vec<Pair>,
    #[serde(deserialize_with = "ip")]
    node: Option<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Encryption {
    #[serde(deserialize_with = "or_default")]
    key: u8,
}

impl CiliumEndpoint {
    pub(super) fn read(source: &impl Source) -> Result<CiliumEndpoint, Fault> {
        let Form { status } = source.read()?;
        let mut addresses = Vec::with_capacity(2);
        let pairs = status.networking.addressing.iter();
        for ip in pairs.flat_map(|pair| [pair.v4, pair.v6]).flatten() {
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
        Ok(CiliumEndpoint {
            addresses: addresses.into(),
            host: status.networking.node,
            identity: Identity(status.identity.id),
            encryption_key: status.encryption.key,
            service_account: status.service_account.filter(|name| !name.is_empty()),
            ports: status.named_ports.into(),
        })
    }

    /// The addresses that can be told of: none before it is known who and where it is.
    pub fn reachable_addresses(&self) -> &[IpAddr] {
        match self.host {
            Some(_) if self.identity != Identity::UNKNOWN => &self.addresses,
            _ => &[],
        }
    }
}
