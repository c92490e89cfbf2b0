//! The node as it is found: which device has the node's addresses, and how large packets may be.
//!
//! Changes nothing.

use anyhow::{Result, bail};
use ipnet::IpNet;
use std::net::IpAddr;
use tombolo_linux::{address::Address, link::Link, netlink::Netlink};
use tombolo_model::net::RoutingMode;

#[cfg(test)]
mod tests;

/// Outer Ethernet, IP, UDP and VXLAN around a packet.
const OVERHEAD_IPV4: u32 = 50;
const OVERHEAD_IPV6: u32 = 70;

/// The device that the node's stack sends to pods by.
const OWN_DEVICE: &str = "tombolo_host";

/// A device that packets of other nodes come in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub name: String,
    pub mtu: u32,
}

/// The devices that were named, or those that have the node's addresses.
pub fn uplinks(netlink: &Netlink, named: &[String], node: &[IpAddr]) -> Result<Vec<Uplink>> {
    choose(&netlink.links()?, &netlink.addresses(None)?, named, node)
}

fn choose(
    links: &[Link],
    addresses: &[Address],
    named: &[String],
    node: &[IpAddr],
) -> Result<Vec<Uplink>> {
    let mut found: Vec<&Link> = Vec::new();
    for address in node {
        let holder = addresses.iter().find(|held| held.net.addr() == *address);
        let link = holder.and_then(|held| links.iter().find(|link| link.index == held.ifindex));
        match link {
            None => bail!(
                "no device has the address {address}: give --node-ip one that this node has (`ip addr` lists them)"
            ),
            Some(link) if found.iter().all(|other| other.index != link.index) => found.push(link),
            Some(_) => {}
        }
    }
    if !named.is_empty() {
        found.clear();
        for name in named {
            match links.iter().find(|link| link.name == *name) {
                None => bail!(
                    "there is no device {name}: give --uplink one that this node has (`ip link` lists them)"
                ),
                Some(link) => found.push(link),
            }
        }
    }
    Ok(found
        .into_iter()
        .map(|link| Uplink {
            name: link.name.clone(),
            mtu: link.mtu,
        })
        .collect())
}

/// Refuses a range of pods that has addresses of the node's devices in it: the stack would look for pods behind those.
pub fn check_ranges(netlink: &Netlink, ranges: &[IpNet]) -> Result<()> {
    check_apart(&netlink.links()?, &netlink.addresses(None)?, ranges)
}

fn check_apart(links: &[Link], addresses: &[Address], ranges: &[IpNet]) -> Result<()> {
    for held in addresses {
        let link = links.iter().find(|link| link.index == held.ifindex);
        // Our own device has the pods' gateway.
        let name = link.map_or("?", |link| link.name.as_str());
        let within = ranges.iter().find(|range| range.contains(&held.net.addr()));
        if let Some(range) = within.filter(|_| name != OWN_DEVICE) {
            bail!(
                "the pod range {range} has the address {} of the device {name} in it: give --pod-range one of its own",
                held.net.addr()
            );
        }
    }
    Ok(())
}

/// The largest packet that the network between the nodes carries.
pub fn underlay_mtu(uplinks: &[Uplink], told: Option<u32>) -> u32 {
    told.or_else(|| uplinks.iter().map(|uplink| uplink.mtu).min())
        .unwrap_or(1500)
}

/// The largest packet of a pod.
pub fn pod_mtu(underlay_mtu: u32, routing: RoutingMode, underlay_is_ipv6: bool) -> u32 {
    let overhead = match (routing, underlay_is_ipv6) {
        (RoutingMode::Native, _) => 0,
        (RoutingMode::Tunnel, false) => OVERHEAD_IPV4,
        (RoutingMode::Tunnel, true) => OVERHEAD_IPV6,
    };
    underlay_mtu.saturating_sub(overhead)
}

/// What has become of the uplinks since the start, a sentence for each that is not as it was.
pub fn uplink_warnings(netlink: &Netlink, uplinks: &[Uplink]) -> Vec<String> {
    let changed = uplinks.iter().filter_map(|uplink| match netlink.link(&uplink.name) {
        Ok(Some(link)) if link.mtu == uplink.mtu => None,
        Ok(Some(link)) => Some(format!(
            "the MTU of {} is {} and was {} when the agent started: restart the agent, new pods get the new one",
            uplink.name, link.mtu, uplink.mtu
        )),
        Ok(None) => Some(format!("the uplink {} is gone: packets of other nodes do not come in", uplink.name)),
        Err(error) => Some(format!("the uplink {} can't be looked at: {error}", uplink.name)),
    });
    changed.collect()
}
