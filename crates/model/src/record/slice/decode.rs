//! From the bytes of the message to the slice.

use super::{
    ADDRESSES_MAX, Conditions, ENDPOINTS_MAX, ENTRIES_MAX, Endpoint, EndpointPort, EndpointSlice,
    Family, PORTS_MAX, ZONES_MAX,
};
use crate::record::{
    RecordError,
    error::shorten,
    proto::{Fields, Value},
};
use std::{collections::BTreeMap, net::IpAddr};

pub(super) fn slice(message: &[u8]) -> Result<EndpointSlice, RecordError> {
    let (mut cluster, mut namespace, mut name) = (String::new(), String::new(), String::new());
    let mut cluster_id = 0;
    let (mut labels, mut annotations) = (BTreeMap::new(), BTreeMap::new());
    let mut family = "";
    let (mut endpoints, mut ports) = (Vec::new(), Vec::new());
    for field in Fields(message) {
        match field? {
            (1, value) => cluster = value.text()?.to_owned(),
            // Numbers that are too large are no cluster's either.
            (2, value) => cluster_id = u32::try_from(value.number()?).unwrap_or(u32::MAX),
            (3, value) => namespace = value.text()?.to_owned(),
            (4, value) => name = value.text()?.to_owned(),
            (5, value) => entry(&mut labels, value)?,
            (6, value) => entry(&mut annotations, value)?,
            (7, value) => family = value.text()?,
            (8, value) => push(&mut endpoints, value.bytes()?, "endpoints", ENDPOINTS_MAX)?,
            (9, value) => push(&mut ports, port(value)?, "ports", PORTS_MAX)?,
            _ => {}
        }
    }
    let family = match family {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        other => {
            let other = shorten(other);
            return Err(RecordError::malformed(format!(
                "its addresses are of the kind `{other}`, not IPv4 or IPv6"
            )));
        }
    };
    let endpoints = endpoints
        .into_iter()
        .map(|bytes| endpoint(bytes, family))
        .collect::<Result<_, _>>()?;
    Ok(EndpointSlice {
        cluster,
        cluster_id,
        namespace,
        name,
        labels,
        annotations,
        family,
        endpoints,
        ports,
    })
}

fn endpoint(message: &[u8], family: Family) -> Result<Endpoint, RecordError> {
    let mut endpoint = Endpoint::default();
    for field in Fields(message) {
        match field? {
            (1, value) => {
                let address = address(value.text()?, family)?;
                push(
                    &mut endpoint.addresses,
                    address,
                    "addresses of one endpoint",
                    ADDRESSES_MAX,
                )?;
            }
            (2, value) => conditions(&mut endpoint.conditions, value)?,
            (3, value) => endpoint.hostname = Some(value.text()?.to_owned()),
            (5, value) => entry(&mut endpoint.topology, value)?,
            (6, value) => endpoint.node = Some(value.text()?.to_owned()),
            (7, value) => endpoint.zone = Some(value.text()?.to_owned()),
            (8, value) => hints(endpoint.hints.get_or_insert_default(), value)?,
            _ => {}
        }
    }
    Ok(endpoint)
}

fn address(text: &str, family: Family) -> Result<IpAddr, RecordError> {
    match (text.parse::<IpAddr>(), family) {
        (Ok(ip @ IpAddr::V4(_)), Family::V4) | (Ok(ip @ IpAddr::V6(_)), Family::V6) => Ok(ip),
        _ => Err(RecordError::AddressFamily {
            address: shorten(text),
            family: family.word(),
        }),
    }
}

fn conditions(conditions: &mut Conditions, value: Value) -> Result<(), RecordError> {
    for field in value.fields()? {
        match field? {
            (1, value) => conditions.ready = Some(value.flag()?),
            (2, value) => conditions.serving = Some(value.flag()?),
            (3, value) => conditions.terminating = Some(value.flag()?),
            _ => {}
        }
    }
    Ok(())
}

fn hints(zones: &mut Vec<String>, value: Value) -> Result<(), RecordError> {
    for field in value.fields()? {
        let (1, value) = field? else { continue };
        let mut name = "";
        for field in value.fields()? {
            if let (1, value) = field? {
                name = value.text()?;
            }
        }
        push(
            zones,
            name.to_owned(),
            "zones that an endpoint is meant for",
            ZONES_MAX,
        )?;
    }
    Ok(())
}

fn port(value: Value) -> Result<EndpointPort, RecordError> {
    let mut port = EndpointPort::default();
    for field in value.fields()? {
        match field? {
            (1, value) => port.name = Some(value.text()?.to_owned()),
            (2, value) => port.protocol = Some(value.text()?.to_owned()),
            (3, value) => {
                let number = u16::try_from(value.number()?);
                port.port =
                    Some(number.map_err(|_| RecordError::malformed("a port is above 65535"))?);
            }
            (4, value) => port.app_protocol = Some(value.text()?.to_owned()),
            _ => {}
        }
    }
    Ok(port)
}

fn entry(map: &mut BTreeMap<String, String>, value: Value) -> Result<(), RecordError> {
    let (mut key, mut item) = ("", "");
    for field in value.fields()? {
        match field? {
            (1, value) => key = value.text()?,
            (2, value) => item = value.text()?,
            _ => {}
        }
    }
    map.insert(key.to_owned(), item.to_owned());
    if map.len() > ENTRIES_MAX {
        return Err(RecordError::TooMany {
            what: "labels or annotations",
            max: ENTRIES_MAX,
        });
    }
    Ok(())
}

fn push<T>(list: &mut Vec<T>, item: T, what: &'static str, max: usize) -> Result<(), RecordError> {
    if list.len() == max {
        return Err(RecordError::TooMany { what, max });
    }
    list.push(item);
    Ok(())
}
