//! From the slice to the bytes of the message. Fields that Go holds by value are written even if they are empty.

use super::{Endpoint, EndpointPort, EndpointSlice};
use crate::record::proto::Message;
use std::collections::BTreeMap;

pub(super) fn slice(slice: &EndpointSlice) -> Vec<u8> {
    let mut message = Message::default();
    message.text(1, &slice.cluster);
    message.number(2, u64::from(slice.cluster_id));
    message.text(3, &slice.namespace);
    message.text(4, &slice.name);
    entries(&mut message, 5, &slice.labels);
    entries(&mut message, 6, &slice.annotations);
    message.text(7, slice.family.word());
    for item in &slice.endpoints {
        message.message(8, |message| endpoint(message, item));
    }
    for item in &slice.ports {
        message.message(9, |message| port(message, item));
    }
    message.0
}

fn endpoint(message: &mut Message, endpoint: &Endpoint) {
    for address in &endpoint.addresses {
        message.text(1, &address.to_string());
    }
    message.message(2, |message| {
        message.flag(1, endpoint.conditions.ready);
        message.flag(2, endpoint.conditions.serving);
        message.flag(3, endpoint.conditions.terminating);
    });
    message.text_if_some(3, endpoint.hostname.as_ref());
    entries(message, 5, &endpoint.topology);
    message.text_if_some(6, endpoint.node.as_ref());
    message.text_if_some(7, endpoint.zone.as_ref());
    if let Some(zones) = &endpoint.hints {
        message.message(8, |message| {
            for zone in zones {
                message.message(1, |message| message.text(1, zone));
            }
        });
    }
}

fn port(message: &mut Message, port: &EndpointPort) {
    message.text_if_some(1, port.name.as_ref());
    message.text_if_some(2, port.protocol.as_ref());
    if let Some(number) = port.port {
        message.number(3, u64::from(number));
    }
    message.text_if_some(4, port.app_protocol.as_ref());
}

fn entries(message: &mut Message, field: u32, map: &BTreeMap<String, String>) {
    for (key, value) in map {
        message.message(field, |message| {
            message.text(1, key);
            message.text(2, value);
        });
    }
}
