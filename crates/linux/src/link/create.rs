//! Making network devices: veth pairs, bridges, VXLAN.

use super::{check_name, head};
use crate::{
    Error, Result,
    netlink::{Netlink, Task, message::Request},
    netns::Netns,
};
use std::os::fd::{AsFd as _, AsRawFd as _};

/// A pair of devices to make, each the other's wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Veth<'a> {
    pub name: &'a str,
    pub mac: Option<[u8; 6]>,
    /// Of both ends; 0 is the kernel's default.
    pub mtu: u32,
    pub peer_name: &'a str,
    pub peer_mac: Option<[u8; 6]>,
    /// Where the other end is born; the same namespace if not told.
    pub peer_netns: Option<&'a Netns>,
}

/// From `linux/veth.h`.
const VETH_INFO_PEER: u16 = 1;

/// From `linux/if_link.h`.
pub(super) mod vxlan {
    pub const LEARNING: u16 = 7;
    pub const PORT: u16 = 15;
    pub const UDP_ZERO_CSUM6_TX: u16 = 19;
    pub const UDP_ZERO_CSUM6_RX: u16 = 20;
    pub const COLLECT_METADATA: u16 = 25;
}

const CREATE: i32 = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;

impl Netlink {
    /// Makes a pair of devices, both down, and returns the index of the one called `name`.
    pub fn create_veth(&self, veth: &Veth<'_>) -> Result<u32> {
        check_name(veth.peer_name)?;
        self.create(veth.name, "veth", veth.mac, veth.mtu, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                peer.raw(&head(0, 0, 0))
                    .text(libc::IFLA_IFNAME, veth.peer_name);
                describe(peer, veth.peer_mac, veth.mtu);
                if let Some(netns) = veth.peer_netns {
                    peer.u32(
                        libc::IFLA_NET_NS_FD,
                        netns.as_fd().as_raw_fd().cast_unsigned(),
                    );
                }
            });
        })
    }

    /// Makes a bridge, down.
    pub fn create_bridge(&self, name: &str) -> Result<u32> {
        self.create(name, "bridge", None, 0, |_| {})
    }

    /// Makes a VXLAN device whose peer and VNI each packet's tunnel metadata tells; learns nothing, takes and sends
    /// IPv6 without UDP checksum, which the inner packet's own makes needless.
    pub fn create_vxlan_external(
        &self,
        name: &str,
        port: u16,
        mac: [u8; 6],
        mtu: u32,
    ) -> Result<u32> {
        self.create(name, "vxlan", Some(mac), mtu, |data| {
            data.u8(vxlan::COLLECT_METADATA, 1)
                .u8(vxlan::LEARNING, 0)
                .u8(vxlan::UDP_ZERO_CSUM6_TX, 1)
                .u8(vxlan::UDP_ZERO_CSUM6_RX, 1)
                .attribute(vxlan::PORT, &port.to_be_bytes());
        })
    }

    fn create(
        &self,
        name: &str,
        kind: &str,
        mac: Option<[u8; 6]>,
        mtu: u32,
        data: impl FnOnce(&mut Request),
    ) -> Result<u32> {
        check_name(name)?;
        let mut request = Request::new(libc::RTM_NEWLINK, CREATE, &head(0, 0, 0));
        request.text(libc::IFLA_IFNAME, name);
        describe(&mut request, mac, mtu);
        request.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, kind)
                .nest(libc::IFLA_INFO_DATA, data);
        });
        let task = Task {
            operation: "create",
            subject: &format_args!("{kind} link {name}"),
        };
        self.change(task, request)?;
        let link = self.link(name)?;
        link.map(|link| link.index).ok_or_else(|| {
            Error::system(
                "find",
                format!("{kind} link {name} just created"),
                std::io::Error::from_raw_os_error(libc::ENODEV),
            )
        })
    }
}

fn describe(request: &mut Request, mac: Option<[u8; 6]>, mtu: u32) {
    if let Some(mac) = mac {
        request.attribute(libc::IFLA_ADDRESS, &mac);
    }
    if mtu != 0 {
        request.u32(libc::IFLA_MTU, mtu);
    }
}
