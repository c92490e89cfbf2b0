//! Whether an interface still is what ADD made of it.
//!
//! Changes nothing: what CHECK finds broken, the runtime replaces.

use super::{Found, find, open};
use crate::error::Error;
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};
use tombolo_linux::{netlink::Netlink, netns::Netns};
use tombolo_model::net::Mac;

/// What CHECK looks for. What else there is may be the work of plugins behind us.
pub struct Expected {
    pub interface: String,
    pub mac: Option<Mac>,
    /// Unknown before version 1.1.0; then the host's end tells.
    pub mtu: Option<u32>,
    pub addresses: Vec<IpNet>,
    pub routes: Vec<(IpNet, IpAddr)>,
    pub host_interface: String,
    pub host_index: u32,
}

pub fn verify(netns: &Netns, expected: &Expected) -> Result<(), Error> {
    let host_mtu = verify_host(expected)?;
    let pod = open(netns)?;
    let link = find(&pod, &expected.interface)?;
    let name = &expected.interface;
    if !link.up {
        return broken(format!("the container's {name} is down"));
    }
    if let Some(mac) = expected.mac.filter(|mac| *mac != link.mac) {
        return broken(format!(
            "the container's {name} has the Ethernet address {}, the agent knows {mac}",
            link.mac
        ));
    }
    let mtu = expected.mtu.unwrap_or(host_mtu);
    if mtu != link.mtu {
        return broken(format!(
            "the container's {name} has an MTU of {}, and {mtu} is right",
            link.mtu
        ));
    }
    verify_addresses(&pod, &link, expected)?;
    verify_routes(&pod, &link, expected)
}

/// Looks at the host's end; the answer is its MTU.
fn verify_host(expected: &Expected) -> Result<u32, Error> {
    let name = &expected.host_interface;
    let Some(link) = Netlink::open()?.link(name)? else {
        return broken(format!("the node has no interface {name}"));
    };
    if link.index != expected.host_index {
        return broken(format!(
            "the node's {name} has the index {}, the agent knows {}",
            link.index, expected.host_index
        ));
    }
    if !link.up {
        return broken(format!("the node's {name} is down"));
    }
    Ok(link.mtu)
}

fn verify_addresses(pod: &Netlink, link: &Found, expected: &Expected) -> Result<(), Error> {
    let found = pod.addresses(Some(link.index))?;
    for address in &expected.addresses {
        if !found.iter().any(|found| found.net == *address) {
            return broken(format!(
                "the container's {} has lost its address {address}",
                expected.interface
            ));
        }
    }
    Ok(())
}

fn verify_routes(pod: &Netlink, link: &Found, expected: &Expected) -> Result<(), Error> {
    let found: BTreeSet<_> = pod
        .routes(None)?
        .into_iter()
        .filter(|route| route.ifindex == link.index)
        .filter_map(|route| Some((route.destination, route.via?)))
        .collect();
    for (destination, gateway) in &expected.routes {
        if !found.contains(&(*destination, *gateway)) {
            return broken(format!(
                "the container has lost its route to {destination} via {gateway}"
            ));
        }
    }
    Ok(())
}

fn broken<T>(problem: String) -> Result<T, Error> {
    Err(Error::Broken(problem))
}
