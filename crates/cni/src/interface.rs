//! A pod's interface: made as the agent planned it, found again, taken away.
//!
//! The host's end stays down until the agent has attached its programs, so that no packet passes unseen. Its alias names the
//! attachment: that is how a deletion finds it with neither agent nor namespace at hand.

use crate::error::Error;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tombolo_linux::{link::Veth, netlink::Netlink, netns::Netns, route::Route, sysctl};
use tombolo_model::{
    local::{Attachment, EndpointPlan},
    net::{Mac, PodAddresses},
};

#[cfg(test)]
mod tests;
mod verify;

pub use verify::{Expected, verify};

/// Routing protocol number of all routes that Tombolo makes.
const ROUTE_PROTOCOL: u8 = 0xbb;
const ALIAS_PREFIX: &str = "tombolo ";

/// What the agent must know of a new interface.
pub struct Made {
    pub host_index: u32,
    pub mac: Mac,
}

/// Makes the pair, or nothing.
pub fn create(netns: &Netns, attachment: &Attachment, plan: &EndpointPlan) -> Result<Made, Error> {
    let host = Netlink::open()?;
    let pod = open(netns)?;
    if pod.link(&attachment.interface)?.is_some() {
        return Err(Error::Environment {
            name: "CNI_IFNAME",
            problem: format!(
                "the container already has an interface {}",
                attachment.interface
            ),
        });
    }
    // The agent reserved the name for us: what has it is the rest of an ADD that was killed.
    if let Some(stale) = host.link(&plan.host_interface)? {
        host.delete_link(stale.index)?;
    }
    let host_index = host.create_veth(&Veth {
        name: &plan.host_interface,
        mac: Some(plan.gateway_mac.0),
        mtu: plan.mtu,
        peer_name: &attachment.interface,
        peer_mac: None,
        peer_netns: Some(netns),
    })?;
    let mac = host
        .set_alias(host_index, &alias(attachment))
        .map_err(Error::from)
        .and_then(|()| configure(netns, &pod, &attachment.interface, plan))
        .inspect_err(|_| {
            // The first error is the one to tell.
            let _ = host.delete_link(host_index);
        })?;
    Ok(Made { host_index, mac })
}

/// Takes the interface of an attachment away; that there is none is fine.
pub fn remove(attachment: &Attachment) -> Result<(), Error> {
    remove_where(|found| found == attachment)
}

/// Takes the interfaces of all attachments away but of these.
pub fn keep(attachments: &[Attachment]) -> Result<(), Error> {
    remove_where(|found| !attachments.contains(found))
}

fn remove_where(is_gone: impl Fn(&Attachment) -> bool) -> Result<(), Error> {
    let host = Netlink::open()?;
    let mut result = Ok(());
    for link in host.links()? {
        let Some(attachment) = link.alias.as_deref().and_then(parse_alias) else {
            continue;
        };
        if is_gone(&attachment) {
            result = result.and(host.delete_link(link.index));
        }
    }
    Ok(result?)
}

fn alias(attachment: &Attachment) -> String {
    format!(
        "{ALIAS_PREFIX}{}/{}",
        attachment.container, attachment.interface
    )
}

fn parse_alias(alias: &str) -> Option<Attachment> {
    let (container, interface) = alias.strip_prefix(ALIAS_PREFIX)?.split_once('/')?;
    Some(Attachment {
        container: container.to_owned(),
        interface: interface.to_owned(),
    })
}

/// Sets up the pod's end; the answer is its Ethernet address.
fn configure(
    netns: &Netns,
    pod: &Netlink,
    interface: &str,
    plan: &EndpointPlan,
) -> Result<Mac, Error> {
    let link = find(pod, interface)?;
    if plan.addresses.v6.is_some() {
        set_ipv6(netns, interface)?;
    }
    if link.mtu != plan.mtu {
        pod.set_mtu(link.index, plan.mtu)?;
    }
    for net in host_nets(&plan.addresses) {
        pod.add_address(link.index, net)?;
    }
    let lo = find(pod, "lo")?;
    if !lo.up {
        pod.set_up(lo.index)?;
    }
    pod.set_up(link.index)?;
    for net in host_nets(&plan.gateways) {
        pod.replace_route(&to_gateway(link.index, net))?;
        pod.replace_route(&default_route(link.index, net.addr()))?;
    }
    Ok(link.mac)
}

/// Our pods learn nothing from router advertisements, and nobody else can have their address.
fn set_ipv6(netns: &Netns, interface: &str) -> Result<(), Error> {
    netns.run(|| {
        for (key, value) in [
            ("disable_ipv6", "0"),
            ("accept_ra", "0"),
            ("accept_dad", "0"),
        ] {
            sysctl::set(&format!("net/ipv6/conf/{interface}/{key}"), value)?;
        }
        Ok(())
    })?
}

struct Found {
    index: u32,
    mac: Mac,
    mtu: u32,
    up: bool,
}

fn find(netlink: &Netlink, name: &str) -> Result<Found, Error> {
    match netlink.link(name)? {
        Some(link) => Ok(Found {
            index: link.index,
            mac: Mac(link.mac.unwrap_or_default()),
            mtu: link.mtu,
            up: link.up,
        }),
        None => Err(Error::Broken(format!(
            "the container has no interface {name}"
        ))),
    }
}

fn open(netns: &Netns) -> Result<Netlink, Error> {
    Netlink::open_in(netns).map_err(|error| Error::Environment {
        name: "CNI_NETNS",
        problem: format!("it can't be entered: {error}"),
    })
}

/// Both addresses as prefixes of their full length.
pub fn host_nets(addresses: &PodAddresses) -> Vec<IpNet> {
    let v4 = addresses
        .v4
        .map(|address| IpNet::V4(Ipv4Net::from(address)));
    let v6 = addresses
        .v6
        .map(|address| IpNet::V6(Ipv6Net::from(address)));
    v4.into_iter().chain(v6).collect()
}

/// Everything, in the family of an address.
pub fn everything(family: IpAddr) -> IpNet {
    match family {
        IpAddr::V4(_) => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
    }
}

fn to_gateway(ifindex: u32, gateway: IpNet) -> Route {
    Route {
        scope_link: true,
        ..route(ifindex, gateway)
    }
}

fn default_route(ifindex: u32, gateway: IpAddr) -> Route {
    Route {
        via: Some(gateway),
        onlink: true,
        ..route(ifindex, everything(gateway))
    }
}

fn route(ifindex: u32, destination: IpNet) -> Route {
    Route {
        destination,
        via: None,
        ifindex,
        source: None,
        mtu: None,
        scope_link: false,
        onlink: false,
        protocol: ROUTE_PROTOCOL,
        metric: None,
        blackhole: false,
    }
}
