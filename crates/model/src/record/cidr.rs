//! Prefixes as older Go programs write them: an object of an address and its mask in base64.
//!
//! Cilium reads and writes this form until 1.21 and text from 1.22 on; both are read, the older one is written.

use super::json::parse_ip;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeStruct as _,
};
use std::net::IpAddr;

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a prefix is text like 10.1.0.0/24 or an object of IP and Mask"
)]
enum Form {
    Text(String),
    Object {
        #[serde(rename = "IP")]
        ip: Option<String>,
        #[serde(rename = "Mask")]
        mask: Option<String>,
    },
}

impl Form {
    fn prefix(self) -> Result<Option<IpNet>, String> {
        match self {
            Form::Text(text) if text.is_empty() => Ok(None),
            Form::Text(text) => text
                .parse()
                .map(Some)
                .map_err(|_| format!("`{text}` is not a prefix")),
            Form::Object { ip, mask } => {
                let (Some(ip), Some(mask)) = (none_if_empty(ip), none_if_empty(mask)) else {
                    return Ok(None);
                };
                let ip = parse_ip(&ip)?;
                let length = parse_mask(ip, &mask)?;
                Ok(IpNet::new(ip, length).ok())
            }
        }
    }
}

fn none_if_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

struct Object<'a>(&'a IpNet);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Prefix", 2)?;
        object.serialize_field("IP", &self.0.addr())?;
        object.serialize_field("Mask", &format_mask(self.0.addr(), self.0.prefix_len()))?;
        object.end()
    }
}

pub(super) fn serialize<S: Serializer>(
    prefix: &Option<IpNet>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    prefix.as_ref().map(Object).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<IpNet>, D::Error> {
    match Option::<Form>::deserialize(deserializer)? {
        Some(form) => form.prefix().map_err(D::Error::custom),
        None => Ok(None),
    }
}

pub(super) mod list {
    use super::*;

    /// An empty list is null.
    pub(crate) fn serialize<S: Serializer>(
        prefixes: &[IpNet],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let objects: Vec<_> = prefixes.iter().map(Object).collect();
        (!objects.is_empty())
            .then_some(objects)
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<IpNet>, D::Error> {
        let forms = Option::<Vec<Option<Form>>>::deserialize(deserializer)?.unwrap_or_default();
        forms
            .into_iter()
            .flatten()
            .filter_map(|form| form.prefix().map_err(D::Error::custom).transpose())
            .collect()
    }
}

/// The length of a mask that is written as its bytes in base64. Go lets an IPv4 mask be 16 bytes, the first 12 all ones.
pub(super) fn parse_mask(ip: IpAddr, text: &str) -> Result<u8, String> {
    let wrong = || format!("`{text}` is not a mask of {ip}");
    // No longer than 16 bytes are.
    if text.len() > 24 {
        return Err(format!("the mask of {ip} is too long"));
    }
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| wrong())?;
    let mask = match (ip, bytes.as_slice()) {
        (
            IpAddr::V4(_),
            [
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                mask @ ..,
            ],
        ) if bytes.len() == 16 => mask,
        (IpAddr::V4(_), mask) if mask.len() == 4 => mask,
        (IpAddr::V6(_), mask) if mask.len() == 16 => mask,
        _ => return Err(wrong()),
    };
    let bits = mask
        .iter()
        .fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    let bits = bits << (128 - mask.len() * 8);
    if bits.leading_ones() != bits.count_ones() {
        return Err(wrong());
    }
    Ok(bits.leading_ones() as u8)
}

pub(super) fn format_mask(ip: IpAddr, length: u8) -> String {
    let bits = match length {
        0 => 0,
        length => u128::MAX << (128 - u32::from(length.min(128))),
    };
    let bytes = bits.to_be_bytes();
    BASE64_STANDARD.encode(if ip.is_ipv4() {
        &bytes[..4]
    } else {
        &bytes[..]
    })
}
