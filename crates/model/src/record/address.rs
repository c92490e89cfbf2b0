//! An address or a prefix: whose identity it has and on which node it lives.

use super::{
    AddressName, RecordError,
    cidr::{format_mask, parse_mask},
    json::{decode, encode, ip, or_default},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};
use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Address {
    #[serde(flatten, serialize_with = "ip_and_mask")]
    pub name: AddressName,
    /// An address of its node.
    #[serde(rename = "HostIP", with = "ip")]
    pub host: Option<IpAddr>,
    #[serde(rename = "ID")]
    pub identity: u32,
    /// 0 for none, 255 for WireGuard.
    #[serde(rename = "Key")]
    pub encryption_key: u8,
    #[serde(rename = "Metadata")]
    pub metadata: String,
    #[serde(rename = "K8sNamespace", skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(rename = "K8sPodName", skip_serializing_if = "String::is_empty")]
    pub pod: String,
    #[serde(rename = "K8sServiceAccount", skip_serializing_if = "String::is_empty")]
    pub service_account: String,
    #[serde(rename = "NamedPorts", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<NamedPort>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NamedPort {
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub port: u16,
    #[serde(default, deserialize_with = "or_default")]
    pub protocol: String,
}

impl Address {
    pub fn decode(value: &[u8]) -> Result<Address, RecordError> {
        decode(value)
    }

    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

impl AddressName {
    /// Without bits that lie behind its length.
    pub fn prefix(self) -> IpNet {
        let length = self
            .length
            .and_then(|length| IpNet::new(self.ip, length).ok());
        length.map_or(IpNet::from(self.ip), |prefix| prefix.trunc())
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "IP", default, deserialize_with = "ip::deserialize")]
    ip: Option<IpAddr>,
    #[serde(rename = "Mask", default, deserialize_with = "or_default")]
    mask: String,
    #[serde(rename = "HostIP", default, deserialize_with = "ip::deserialize")]
    host: Option<IpAddr>,
    #[serde(rename = "ID", default, deserialize_with = "or_default")]
    identity: u32,
    #[serde(rename = "Key", default, deserialize_with = "or_default")]
    encryption_key: u8,
    #[serde(rename = "Metadata", default, deserialize_with = "or_default")]
    metadata: String,
    #[serde(rename = "K8sNamespace", default, deserialize_with = "or_default")]
    namespace: String,
    #[serde(rename = "K8sPodName", default, deserialize_with = "or_default")]
    pod: String,
    #[serde(rename = "K8sServiceAccount", default, deserialize_with = "or_default")]
    service_account: String,
    #[serde(rename = "NamedPorts", default, deserialize_with = "or_default")]
    ports: Vec<NamedPort>,
}

impl TryFrom<Wire> for Address {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Address, String> {
        let ip = wire.ip.ok_or("IP is missing")?;
        let length = match wire.mask.as_str() {
            "" => None,
            mask => Some(parse_mask(ip, mask)?),
        };
        Ok(Address {
            name: AddressName { ip, length },
            host: wire.host,
            identity: wire.identity,
            encryption_key: wire.encryption_key,
            metadata: wire.metadata,
            namespace: wire.namespace,
            pod: wire.pod,
            service_account: wire.service_account,
            ports: wire.ports,
        })
    }
}

fn ip_and_mask<S: Serializer>(name: &AddressName, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Fields {
        #[serde(rename = "IP")]
        ip: IpAddr,
        mask: Option<String>,
    }
    let mask = name.length.map(|length| format_mask(name.ip, length));
    Fields { ip: name.ip, mask }.serialize(serializer)
}
