//! ADD: reserve with the agent, make the interface, have the agent attach it.
//!
//! Either all of that is done, or nothing of it stays.

use super::delete;
use crate::{
    call::Call,
    client::{self, Client},
    config::Config,
    error::Error,
    interface::{self, Made},
    spec::{Address, Interface, Outcome, Route},
};
use std::path::Path;
use tombolo_linux::netns::Netns;
use tombolo_model::local::{EndpointPlan, Reply, Request};

pub fn add(call: &Call, config: &Config) -> Result<Outcome, Error> {
    let agent = Client::connect(&config.socket)?;
    let netns = open_netns(&call.netns)?;
    let reply = agent.ask(&Request::EndpointCreate {
        attachment: call.attachment.clone(),
        netns: call.netns.display().to_string(),
        pod: call.args.pod.clone(),
        identity: call.args.identity,
    })?;
    let Reply::Planned(plan) = reply else {
        return Err(client::unexpected(&config.socket, &reply));
    };
    let made = connect(call, config, &netns, &plan).inspect_err(|_| {
        // The first error is the one to tell; what could not be undone now, the runtime's DEL undoes.
        let _ = delete::release(&call.attachment, config);
    })?;
    let mut outcome = config.previous.clone().unwrap_or_default();
    outcome.extend(describe(call, config, &plan, &made));
    Ok(outcome)
}

/// The namespace, which must be another than the one we stand in.
pub fn open_netns(path: &Path) -> Result<Netns, Error> {
    let netns = Netns::open(path).map_err(|error| {
        if error.is_not_found() {
            return Error::UnknownNetns {
                path: path.to_owned(),
            };
        }
        error.into()
    })?;
    if netns.cookie_or_inode()? == Netns::current()?.cookie_or_inode()? {
        return Err(Error::Environment {
            name: "CNI_NETNS",
            problem: format!("{} is the network namespace of the node", path.display()),
        });
    }
    Ok(netns)
}

fn connect(
    call: &Call,
    config: &Config,
    netns: &Netns,
    plan: &EndpointPlan,
) -> Result<Made, Error> {
    let made = interface::create(netns, &call.attachment, plan)?;
    let reply = client::ask(
        &config.socket,
        &Request::EndpointAttach {
            attachment: call.attachment.clone(),
            ifindex: made.host_index,
            mac: made.mac,
        },
    )?;
    match reply {
        Reply::Endpoint(_) | Reply::Done => Ok(made),
        other => Err(client::unexpected(&config.socket, &other)),
    }
}

fn describe(call: &Call, config: &Config, plan: &EndpointPlan, made: &Made) -> Outcome {
    let host = Interface {
        name: plan.host_interface.clone(),
        mac: plan.gateway_mac.to_string(),
        mtu: Some(plan.mtu),
        ..Interface::default()
    };
    let pod = Interface {
        name: call.attachment.interface.clone(),
        mac: made.mac.to_string(),
        mtu: Some(plan.mtu),
        sandbox: call.netns.display().to_string(),
        ..Interface::default()
    };
    let gateways = interface::host_nets(&plan.gateways);
    let gateway_of = |address: &ipnet::IpNet| {
        gateways
            .iter()
            .map(ipnet::IpNet::addr)
            .find(|gateway| gateway.is_ipv4() == address.addr().is_ipv4())
    };
    Outcome {
        interfaces: vec![host, pod],
        addresses: interface::host_nets(&plan.addresses)
            .into_iter()
            .map(|address| Address {
                version: None,
                gateway: gateway_of(&address),
                address,
                interface: Some(1),
            })
            .collect(),
        routes: gateways
            .iter()
            .map(|gateway| Route::new(interface::everything(gateway.addr()), Some(gateway.addr())))
            .collect(),
        dns: config.dns.clone(),
    }
}
