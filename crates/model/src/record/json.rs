//! JSON as Go's programs write it: null where nothing is set, empty text for no address.

use super::error::RecordError;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error, Visitor},
};
use std::{collections::BTreeMap, fmt, net::IpAddr};

pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, RecordError> {
    serde_json::from_slice(value).map_err(RecordError::malformed)
}

pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("records have only keys that are text")
}

/// For every field: absent and null mean the same.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An empty list or map as null.
pub(super) fn or_null<S, T>(list: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Serialize + Default + PartialEq,
{
    (*list != T::default())
        .then_some(list)
        .serialize(serializer)
}

/// An address, or empty text for none.
pub(super) mod ip {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        ip: &Option<IpAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match ip {
            Some(ip) => serializer.collect_str(ip),
            None => serializer.serialize_str(""),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<IpAddr>, D::Error> {
        Ok(Option::<Text>::deserialize(deserializer)?.and_then(|Text(ip)| ip))
    }

    /// Read in place: there are more addresses than anything else.
    struct Text(Option<IpAddr>);

    impl<'de> Deserialize<'de> for Text {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
            deserializer.deserialize_str(TextVisitor)
        }
    }

    struct TextVisitor;

    impl Visitor<'_> for TextVisitor {
        type Value = Text;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an address")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
            if text.is_empty() {
                return Ok(Text(None));
            }
            let ip = parse_ip(text).map_err(E::custom)?;
            Ok(Text(Some(ip)))
        }
    }
}

/// A map whose keys are addresses, in the order of their texts, as Go sorts them.
pub(super) mod by_ip {
    use super::*;

    pub(crate) fn serialize<S: Serializer, T: Serialize>(
        map: &BTreeMap<IpAddr, T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let by_text: BTreeMap<String, &T> = map
            .iter()
            .map(|(ip, item)| (ip.to_string(), item))
            .collect();
        by_text.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<IpAddr, T>, D::Error> {
        let by_text: BTreeMap<String, T> = or_default(deserializer)?;
        by_text
            .into_iter()
            .map(|(text, item)| Ok((parse_ip(&text).map_err(D::Error::custom)?, item)))
            .collect()
    }
}

/// IPv4 addresses that are mapped into IPv6 are IPv4.
pub(super) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_canonical()),
        Err(_) => Err(format!("`{text}` is not an address")),
    }
}
