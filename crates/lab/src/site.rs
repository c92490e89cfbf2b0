//! One namespace of the fabric, with the hands to furnish it.

use crate::{
    error::Result,
    plan::{Namespace, default_route},
};
use ipnet::IpNet;
use std::net::IpAddr;
use tombolo_linux::{link::Veth, netlink::Netlink, netns::Netns, route::Route, sysctl};

/// Routes that an administrator made, as the kernel numbers them.
const STATIC: u8 = 4;

pub struct Site {
    pub netns: Netns,
    pub netlink: Netlink,
}

impl Site {
    pub fn create(lab: &str, namespace: Namespace) -> Result<Site> {
        Site::in_netns(Netns::create(&namespace.name(lab))?)
    }

    pub fn open(lab: &str, namespace: Namespace) -> Result<Site> {
        Site::in_netns(Netns::named(&namespace.name(lab))?)
    }

    fn in_netns(netns: Netns) -> Result<Site> {
        let netlink = Netlink::open_in(&netns)?;
        Ok(Site { netns, netlink })
    }

    /// Lays a wire to another site; both ends are up.
    pub fn wire(&self, name: &str, other: &Site, other_name: &str) -> Result<()> {
        self.netlink.create_veth(&Veth {
            name,
            mac: None,
            mtu: 0,
            peer_name: other_name,
            peer_mac: None,
            peer_netns: Some(&other.netns),
        })?;
        self.netlink.set_up(self.index(name)?)?;
        Ok(other.netlink.set_up(other.index(other_name)?)?)
    }

    pub fn index(&self, name: &str) -> Result<u32> {
        let link = self.netlink.link(name)?;
        Ok(link.ok_or_else(|| no_link(name))?.index)
    }

    pub fn set_mtu(&self, name: &str, mtu: u32) -> Result<()> {
        Ok(self.netlink.set_mtu(self.index(name)?, mtu)?)
    }

    pub fn address(&self, name: &str, nets: &[IpNet]) -> Result<()> {
        let index = self.index(name)?;
        for net in nets {
            self.netlink.add_address(index, *net)?;
        }
        Ok(())
    }

    /// Default routes by each of the addresses of a neighbour.
    pub fn default_by(&self, name: &str, neighbours: &[IpNet]) -> Result<()> {
        for neighbour in neighbours {
            let via = neighbour.addr();
            self.route(name, default_route(via), Some(via), None)?;
        }
        Ok(())
    }

    /// Routes ranges by the neighbour's address of the same family.
    pub fn routes_by(&self, name: &str, ranges: &[IpNet], neighbours: &[IpNet]) -> Result<()> {
        for range in ranges {
            let same = |net: &&IpNet| net.addr().is_ipv4() == range.addr().is_ipv4();
            if let Some(neighbour) = neighbours.iter().find(same) {
                self.route(name, *range, Some(neighbour.addr()), None)?;
            }
        }
        Ok(())
    }

    /// Without `via`, the destination is on the wire itself.
    pub fn route(
        &self,
        name: &str,
        destination: IpNet,
        via: Option<IpAddr>,
        mtu: Option<u32>,
    ) -> Result<()> {
        let route = Route {
            via,
            ifindex: self.index(name)?,
            mtu,
            scope_link: via.is_none(),
            ..plain(destination)
        };
        Ok(self.netlink.replace_route(&route)?)
    }

    pub fn unroute(&self, name: &str, destination: IpNet, via: Option<IpAddr>) -> Result<()> {
        let route = Route {
            via,
            ifindex: self.index(name)?,
            scope_link: via.is_none(),
            ..plain(destination)
        };
        Ok(self.netlink.delete_route(&route)?)
    }

    pub fn set_blackhole(&self, destination: IpNet, on: bool) -> Result<()> {
        let route = Route {
            blackhole: true,
            ..plain(destination)
        };
        if on {
            Ok(self.netlink.replace_route(&route)?)
        } else {
            Ok(self.netlink.delete_route(&route)?)
        }
    }

    /// Makes a router of it.
    pub fn forward(&self) -> Result<()> {
        let settings = [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // Pods' packets come in by wires that their addresses have no route to.
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            // Every "too big" counts when path MTUs are learnt in tests.
            ("net/ipv4/icmp_ratelimit", "0"),
            ("net/ipv6/icmp/ratelimit", "0"),
        ];
        let set = || {
            settings
                .iter()
                .try_for_each(|(path, value)| sysctl::set(path, value))
        };
        Ok(self.netns.run(set)??)
    }
}

fn plain(destination: IpNet) -> Route {
    Route {
        destination,
        via: None,
        ifindex: 0,
        source: None,
        mtu: None,
        scope_link: false,
        onlink: false,
        protocol: STATIC,
        metric: None,
        blackhole: false,
    }
}

fn no_link(name: &str) -> crate::Error {
    crate::Error::File {
        operation: "find the network device",
        path: name.into(),
        source: std::io::ErrorKind::NotFound.into(),
    }
}
