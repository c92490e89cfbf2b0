//! The result of an ADD, read and written in every version that we speak.
//!
//! Versions differ in little: before 1.0.0 each address says its family, and 1.1.0 added fields to interfaces and routes.

use super::Version;
use crate::error::Error;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

#[cfg(test)]
mod tests;

/// What a container has been given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "ips")]
    pub addresses: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(default, skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The network namespace, empty for that of the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    #[serde(default, skip_serializing_if = "String::is_empty", rename = "pciID")]
    pub pci_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The family, `4` or `6`, before 1.0.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub address: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Position in the list of interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    #[serde(rename = "dst")]
    pub destination: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "gw")]
    pub gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Outcome {
    /// Reads a result of any version that we speak; what a version added is simply absent in an older one.
    pub fn parse(value: Value) -> Result<Outcome, Error> {
        if let Some(version) = value.get("cniVersion").and_then(Value::as_str) {
            version.parse::<Version>()?;
        }
        serde_json::from_value(value).map_err(|source| Error::Decode {
            subject: "prevResult",
            source,
        })
    }

    /// Adds what another plugin of the chain has made, behind what is there.
    pub fn extend(&mut self, other: Outcome) {
        let first = self.interfaces.len();
        self.interfaces.extend(other.interfaces);
        self.addresses
            .extend(other.addresses.into_iter().map(|address| Address {
                interface: address.interface.map(|index| first + index),
                ..address
            }));
        self.routes.extend(other.routes);
        if self.dns.is_empty() {
            self.dns = other.dns;
        }
    }

    /// The result as a runtime of this version reads it.
    pub fn render(mut self, version: Version) -> Value {
        for address in &mut self.addresses {
            let family = if address.address.addr().is_ipv4() {
                "4"
            } else {
                "6"
            };
            address.version = (version < Version::V1_0_0).then(|| family.to_owned());
        }
        if version < Version::V1_1_0 {
            self.interfaces.iter_mut().for_each(Interface::forget_newer);
            self.routes.iter_mut().for_each(Route::forget_newer);
        }
        let mut value = serde_json::to_value(self).expect("a result has only strings as keys");
        value["cniVersion"] = version.to_string().into();
        value
    }
}

impl Interface {
    /// Drops what came with 1.1.0.
    fn forget_newer(&mut self) {
        *self = Interface {
            name: std::mem::take(&mut self.name),
            mac: std::mem::take(&mut self.mac),
            sandbox: std::mem::take(&mut self.sandbox),
            ..Interface::default()
        };
    }
}

impl Route {
    /// A plain route, as every version knows it.
    pub fn new(destination: IpNet, gateway: Option<IpAddr>) -> Route {
        Route {
            destination,
            gateway,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
            scope: None,
        }
    }

    fn forget_newer(&mut self) {
        *self = Route::new(self.destination, self.gateway);
    }
}

impl Dns {
    pub fn is_empty(&self) -> bool {
        *self == Dns::default()
    }
}
