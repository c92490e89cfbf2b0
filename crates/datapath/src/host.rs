//! The node's own side: the devices through which its stack meets pods, and what its stack must allow.

use crate::{Config, Error};
use ipnet::IpNet;
use std::net::IpAddr;
use tombolo_abi::{GATEWAY_MAC, VXLAN_PORT, mark};
use tombolo_linux::{link::Veth, masquerade, netlink::Netlink, route::Route, sysctl};

/// The node's stack sends to pods through this one.
pub const HOST: &str = "tombolo_host";
/// Its other end, where the program stands.
pub const NET: &str = "tombolo_net";
/// The kernel's own VXLAN device, the fallback.
pub const VXLAN: &str = "tombolo_vxlan";
/// Marks our routes.
const PROTOCOL: u8 = 0xbb;

/// Indices of the devices.
pub struct Devices {
    pub host: u32,
    pub vxlan: u32,
}

/// Makes what is missing. The devices stay down until programs are attached.
pub fn prepare(netlink: &Netlink, config: &Config) -> Result<Devices, Error> {
    let host = match netlink.link(HOST)? {
        Some(link) => link.index,
        None => netlink.create_veth(&Veth {
            name: HOST,
            mac: None,
            mtu: 0,
            peer_name: NET,
            peer_mac: Some(GATEWAY_MAC),
            peer_netns: None,
        })?,
    };
    let vxlan = match netlink.link(VXLAN)? {
        Some(link) => link.index,
        None => netlink
            .create_vxlan_external(VXLAN, VXLAN_PORT, GATEWAY_MAC, 0)
            .map_err(vxlan_refused)?,
    };
    netlink.set_no_arp(host)?;
    for device in [HOST, NET, VXLAN] {
        prepare_device(device)?;
    }
    set_v6(&format!("conf/{NET}/disable_ipv6"), "1")?;
    for router in [
        config.router.v4.map(IpAddr::V4),
        config.router.v6.map(IpAddr::V6),
    ]
    .into_iter()
    .flatten()
    {
        netlink.add_address(host, IpNet::from(router))?;
    }
    Ok(Devices { host, vxlan })
}

/// Opens the way, now that programs stand at the devices. Returns what the kernel can't do, a sentence each.
pub fn open(netlink: &Netlink, config: &Config) -> Result<Vec<String>, Error> {
    sysctl::set("net/ipv4/ip_forward", "1")?;
    set_v6("conf/all/forwarding", "1")?;
    if sysctl::get("net/ipv4/conf/all/rp_filter")?.trim() == "1" {
        // Strict for all devices wins over our own: packets of pods come in elsewhere than they go out.
        tracing::warn!(
            "setting net.ipv4.conf.all.rp_filter from 1 (strict) to 2 (loose): pods need it"
        );
        sysctl::set("net/ipv4/conf/all/rp_filter", "2")?;
    }
    let mut lacks = Vec::new();
    if config.masquerade {
        if let Err(error) = masquerade::install(mark::MASQUERADE, mark::MASQUERADE) {
            lacks.push(format!(
                "pods can't reach the world: {error}; boot a kernel with nf_tables and nft_masq, or start the agent with --no-masquerade"
            ));
        }
    } else if let Err(error) = masquerade::remove() {
        tracing::debug!(%error, "no masquerading to remove");
    }
    for device in [HOST, NET, VXLAN] {
        if let Some(link) = netlink.link(device)? {
            let up = netlink.set_up(link.index);
            if device == VXLAN {
                up.map_err(vxlan_refused)?;
            } else {
                up?;
            }
        }
    }
    Ok(lacks)
}

/// Another network's device may have the port.
fn vxlan_refused(error: tombolo_linux::Error) -> Error {
    match error.errno() {
        Some(libc::EEXIST | libc::EADDRINUSE) => Error::VxlanPort {
            device: VXLAN,
            port: VXLAN_PORT,
            source: error,
        },
        _ => error.into(),
    }
}

/// What the stack must know of a device that packets of pods come in by.
pub fn prepare_device(name: &str) -> Result<(), Error> {
    sysctl::set(&format!("net/ipv4/conf/{name}/rp_filter"), "0")?;
    set_v6(&format!("conf/{name}/accept_ra"), "0")
}

/// Sets what a kernel without IPv6 has no file for.
fn set_v6(path: &str, value: &str) -> Result<(), Error> {
    match sysctl::set(&format!("net/ipv6/{path}"), value) {
        Err(error) if error.is_not_found() => Ok(()),
        result => Ok(result?),
    }
}

/// The stack's route to a range of pods.
pub fn route(config: &Config, devices: &Devices, range: IpNet) -> Route {
    let source = match range {
        IpNet::V4(_) => config.router.v4.map(IpAddr::V4),
        IpNet::V6(_) => config.router.v6.map(IpAddr::V6),
    };
    Route {
        destination: range,
        via: None,
        ifindex: devices.host,
        source,
        mtu: Some(config.pod_mtu),
        scope_link: true,
        onlink: false,
        protocol: PROTOCOL,
        metric: None,
        blackhole: false,
    }
}

/// Takes away the devices, with which addresses and routes go, and the masquerading.
pub fn remove(netlink: &Netlink) -> Result<(), Error> {
    masquerade::remove()?;
    for device in [HOST, VXLAN] {
        if let Some(link) = netlink.link(device)? {
            netlink.delete_link(link.index)?;
        }
    }
    Ok(())
}
