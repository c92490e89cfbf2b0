//! CHECK: the agent knows the attachment, and its interface still is as ADD answered.
//!
//! Looks only at what is ours in the result: plugins behind us may have added to it.

use super::add::open_netns;
use crate::{
    call::Call,
    client,
    config::Config,
    error::Error,
    interface::{self, Expected},
    spec::Outcome,
};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};
use tombolo_model::local::{Endpoint, EndpointState, Reply, Request};

#[cfg(test)]
mod tests;

pub fn check(call: &Call, config: &Config) -> Result<(), Error> {
    let Some(previous) = &config.previous else {
        return Err(Error::Config {
            key: "prevResult",
            problem: "is missing; CHECK compares with what ADD answered".to_owned(),
        });
    };
    let endpoint = find(call, config)?;
    let expected = expect(previous, &endpoint)?;
    interface::verify(&open_netns(&call.netns)?, &expected)
}

fn find(call: &Call, config: &Config) -> Result<Endpoint, Error> {
    let reply = client::ask(&config.socket, &Request::EndpointList)?;
    let Reply::Endpoints { endpoints } = reply else {
        return Err(client::unexpected(&config.socket, &reply));
    };
    endpoints
        .into_iter()
        .find(|endpoint| endpoint.attachment == call.attachment)
        .ok_or_else(|| Error::UnknownAttachment {
            container: call.attachment.container.clone(),
            interface: call.attachment.interface.clone(),
        })
}

/// Brings together what ADD answered and what the agent knows; that they differ is a finding already.
fn expect(previous: &Outcome, endpoint: &Endpoint) -> Result<Expected, Error> {
    let name = &endpoint.attachment.interface;
    if endpoint.state != EndpointState::Ready {
        return Err(Error::Broken(format!(
            "the agent has reserved addresses for {name} but not attached it"
        )));
    }
    let position = previous
        .interfaces
        .iter()
        .position(|interface| interface.name == *name && !interface.sandbox.is_empty());
    let Some(position) = position else {
        return Err(Error::Broken(format!("prevResult has no interface {name}")));
    };
    let ours = || {
        previous
            .addresses
            .iter()
            .filter(move |address| address.interface == Some(position))
    };
    let known = interface::host_nets(&endpoint.addresses);
    if let Some(missing) = known
        .iter()
        .find(|known| !ours().any(|ours| ours.address == **known))
    {
        return Err(Error::Broken(format!(
            "the agent knows {name} by {missing}, which prevResult lacks"
        )));
    }
    let gateways: BTreeSet<IpAddr> = ours().filter_map(|address| address.gateway).collect();
    let routes: Vec<(IpNet, IpAddr)> = previous
        .routes
        .iter()
        .filter_map(|route| Some((route.destination, route.gateway?)))
        .filter(|(_, gateway)| gateways.contains(gateway))
        .collect();
    Ok(Expected {
        interface: name.clone(),
        mac: endpoint.mac,
        mtu: previous.interfaces[position].mtu,
        addresses: ours().map(|address| address.address).collect(),
        routes,
        host_interface: endpoint.host_interface.clone(),
        host_index: endpoint.ifindex,
    })
}
