//! Routes of the main table, and the answer of the whole look-up.

use crate::{
    Result,
    netlink::{
        Netlink, Task, family,
        message::{Attributes, Message, Request, u32_at},
    },
};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub destination: IpNet,
    /// The next hop, which may be of the other family for an IPv4 destination; none if the destination is on the link.
    pub via: Option<IpAddr>,
    /// 0 for a blackhole. Of several next hops this and `via` are the first.
    pub ifindex: u32,
    /// The source address of this host's own packets.
    pub source: Option<IpAddr>,
    pub mtu: Option<u32>,
    /// The destination is on the link. IPv6 has no scopes: there it is read back as having no next hop.
    pub scope_link: bool,
    /// Take the next hop to be on the link although no other route says so.
    pub onlink: bool,
    /// Who made it, `RTPROT_*`.
    pub protocol: u8,
    /// The lower is preferred; the kernel's default is 0 for IPv4 and 1024 for IPv6.
    pub metric: Option<u32>,
    /// Drop instead of forwarding.
    pub blackhole: bool,
}

/// Where the kernel would send a packet of this host now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub ifindex: u32,
    pub via: Option<IpAddr>,
    pub source: Option<IpAddr>,
    /// Of the route or learned for the path; the link's own applies where there is none.
    pub mtu: Option<u32>,
}

/// Size of `struct rtmsg`.
const HEAD: usize = 12;
/// Size of `struct rtnexthop`, whose attributes follow it.
const NEXTHOP_HEAD: usize = 8;
/// Entries of the look-up cache that a dump may carry.
const RTM_F_CLONED: u32 = 0x200;
/// From `linux/rtnetlink.h`: the only metric we set.
const RTAX_MTU: u16 = 2;
const RTNH_F_ONLINK: u32 = 4;
/// An address that tells its family: a next hop that differs from its destination's.
const RTA_VIA: u16 = 18;
const RTN_UNSPEC: u8 = 0;

impl Netlink {
    /// Makes the route, in place of any to the same destination with the same metric.
    pub fn replace_route(&self, route: &Route) -> Result<()> {
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let scope = if route.scope_link {
            libc::RT_SCOPE_LINK
        } else {
            libc::RT_SCOPE_UNIVERSE
        };
        let mut request = request(libc::RTM_NEWROUTE, flags, route, scope);
        if let Some(source) = route.source {
            request.attribute(libc::RTA_PREFSRC, &family::octets(source));
        }
        if let Some(mtu) = route.mtu {
            request.nest(libc::RTA_METRICS, |metrics| _ = metrics.u32(RTAX_MTU, mtu));
        }
        self.change(
            Task {
                operation: "set",
                subject: &format_args!("route to {}", route.destination),
            },
            request,
        )
    }

    /// Removes the route; its MTU and source need not match. No such route is fine.
    pub fn delete_route(&self, route: &Route) -> Result<()> {
        let request = request(
            libc::RTM_DELROUTE,
            libc::NLM_F_ACK,
            route,
            libc::RT_SCOPE_NOWHERE,
        );
        let task = Task {
            operation: "delete",
            subject: &format_args!("route to {}", route.destination),
        };
        match self.change(task, request) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// The unicast and blackhole routes of the main table, IPv4 and IPv6, of one maker or of all.
    pub fn routes(&self, protocol: Option<u8>) -> Result<Vec<Route>> {
        let mut found = Vec::new();
        for family in [family::V4, family::V6] {
            let mut head = [0; HEAD];
            head[0] = family;
            head[4] = libc::RT_TABLE_MAIN;
            head[5] = protocol.unwrap_or(libc::RTPROT_UNSPEC);
            let request = || Request::new(libc::RTM_GETROUTE, libc::NLM_F_DUMP, &head);
            let read = |message: Message<'_>| {
                let route = parse(message, family)?;
                protocol
                    .is_none_or(|protocol| route.protocol == protocol)
                    .then_some(route)
            };
            match self.list(
                Task {
                    operation: "list",
                    subject: &"routes",
                },
                request,
                read,
            ) {
                Ok(routes) => found.extend(routes),
                // A namespace without any route has no table yet.
                Err(error) if error.errno() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Asks the kernel where it would send a packet to this address; an error of `ENETUNREACH` means nowhere.
    pub fn lookup(&self, destination: IpAddr) -> Result<NextHop> {
        let mut head = [0; HEAD];
        head[0] = family::of(destination);
        head[1] = IpNet::from(destination).prefix_len();
        let mut request = Request::new(libc::RTM_GETROUTE, libc::NLM_F_ACK, &head);
        request.attribute(libc::RTA_DST, &family::octets(destination));
        let mut found = None;
        let task = Task {
            operation: "look up",
            subject: &format_args!("route to {destination}"),
        };
        self.ask(task, request, |message| found = read_hop(message))?;
        found.ok_or_else(|| crate::Error::Malformed {
            operation: task.operation,
            subject: task.subject.to_string(),
        })
    }
}

fn request(kind: u16, flags: i32, route: &Route, scope: u8) -> Request {
    let destination = route.destination.trunc();
    let mut head = [0; HEAD];
    head[0] = family::of(destination.addr());
    head[1] = destination.prefix_len();
    head[4] = libc::RT_TABLE_MAIN;
    head[5] = route.protocol;
    head[6] = scope;
    head[7] = match (route.blackhole, kind) {
        (true, _) => libc::RTN_BLACKHOLE,
        (false, libc::RTM_DELROUTE) => RTN_UNSPEC,
        (false, _) => libc::RTN_UNICAST,
    };
    if route.onlink {
        head[8..].copy_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
    }
    let mut request = Request::new(kind, flags, &head);
    request.attribute(libc::RTA_DST, &family::octets(destination.addr()));
    if route.ifindex != 0 {
        request.u32(libc::RTA_OIF, route.ifindex);
    }
    match route.via {
        Some(via) if via.is_ipv4() == destination.addr().is_ipv4() => {
            request.attribute(libc::RTA_GATEWAY, &family::octets(via));
        }
        Some(via) => {
            let mut value = u16::from(family::of(via)).to_ne_bytes().to_vec();
            value.extend(family::octets(via));
            request.attribute(RTA_VIA, &value);
        }
        None => {}
    }
    if let Some(metric) = route.metric {
        request.u32(libc::RTA_PRIORITY, metric);
    }
    request
}

fn parse(message: Message<'_>, family: u8) -> Option<Route> {
    let head = message.payload.get(..HEAD)?;
    let flags = u32_at(head, 8)?;
    let is_wanted = head[0] == family
        && head[4] == libc::RT_TABLE_MAIN
        && [libc::RTN_UNICAST, libc::RTN_BLACKHOLE].contains(&head[7])
        && flags & RTM_F_CLONED == 0;
    if message.kind != libc::RTM_NEWROUTE || !is_wanted {
        return None;
    }
    let any: IpAddr = if family == family::V4 {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let (mut destination, mut metric) = (any, None);
    for (kind, value) in message.attributes(HEAD) {
        match kind {
            libc::RTA_DST => destination = family::address(value)?,
            libc::RTA_PRIORITY => metric = u32_at(value, 0),
            _ => {}
        }
    }
    let hop = read_hop(message)?;
    let blackhole = head[7] == libc::RTN_BLACKHOLE;
    Some(Route {
        destination: IpNet::new(destination, head[1]).ok()?,
        via: hop.via,
        // IPv6 hangs blackholes on the loopback device.
        ifindex: if blackhole { 0 } else { hop.ifindex },
        source: hop.source,
        mtu: hop.mtu,
        scope_link: !blackhole
            && if family == family::V4 {
                head[6] == libc::RT_SCOPE_LINK
            } else {
                hop.via.is_none()
            },
        onlink: flags & RTNH_F_ONLINK != 0,
        protocol: head[5],
        metric,
        blackhole,
    })
}

fn read_hop(message: Message<'_>) -> Option<NextHop> {
    let mut hop = NextHop {
        ifindex: 0,
        via: None,
        source: None,
        mtu: None,
    };
    if message.kind != libc::RTM_NEWROUTE {
        return None;
    }
    for (kind, value) in message.attributes(HEAD) {
        match kind {
            libc::RTA_PREFSRC => hop.source = family::address(value),
            libc::RTA_METRICS => {
                hop.mtu = Attributes(value)
                    .find(|(kind, _)| *kind == RTAX_MTU)
                    .and_then(|(_, value)| u32_at(value, 0));
            }
            libc::RTA_MULTIPATH => {
                hop.ifindex = u32_at(value, 4)?;
                let length = usize::from(crate::netlink::message::u16_at(value, 0)?);
                Attributes(value.get(NEXTHOP_HEAD..length)?)
                    .for_each(|(kind, value)| read_via(&mut hop, kind, value));
            }
            libc::RTA_OIF => hop.ifindex = u32_at(value, 0)?,
            _ => read_via(&mut hop, kind, value),
        }
    }
    Some(hop)
}

fn read_via(hop: &mut NextHop, kind: u16, value: &[u8]) {
    match kind {
        libc::RTA_GATEWAY => hop.via = family::address(value),
        RTA_VIA => hop.via = value.get(2..).and_then(family::address),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
