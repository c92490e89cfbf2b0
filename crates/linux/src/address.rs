//! IP addresses of links.

use crate::{
    Result,
    netlink::{
        Netlink, Task, family,
        message::{Message, Request, u32_at},
    },
};
use ipnet::IpNet;

/// An address of a link, with the prefix that is on that link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub ifindex: u32,
    pub net: IpNet,
    /// `RT_SCOPE_*`: 0 is valid everywhere, 253 on this link, 254 on this host.
    pub scope: u8,
}

/// Size of `struct ifaddrmsg`.
const HEAD: usize = 8;

impl Netlink {
    /// The addresses of one link, or of all.
    pub fn addresses(&self, ifindex: Option<u32>) -> Result<Vec<Address>> {
        let mut found = Vec::new();
        for family in [family::V4, family::V6] {
            let mut head = [0; HEAD];
            head[0] = family;
            head[4..].copy_from_slice(&ifindex.unwrap_or(0).to_ne_bytes());
            let request = || Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &head);
            let read = |message: Message<'_>| {
                let address = parse(message, family)?;
                ifindex
                    .is_none_or(|ifindex| address.ifindex == ifindex)
                    .then_some(address)
            };
            match self.list(
                Task {
                    operation: "list",
                    subject: &"addresses",
                },
                request,
                read,
            ) {
                Ok(addresses) => found.extend(addresses),
                // The kernel's answer about a link that is not there.
                Err(error) if error.errno() == Some(libc::ENODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Gives the link an address, usable at once. That it has it already is fine.
    pub fn add_address(&self, ifindex: u32, net: IpNet) -> Result<()> {
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let request = request(libc::RTM_NEWADDR, flags, ifindex, net);
        match self.change(
            Task {
                operation: "add",
                subject: &format_args!("address {net} to link {ifindex}"),
            },
            request,
        ) {
            Err(error) if error.is_exists() => Ok(()),
            result => result,
        }
    }

    /// Takes an address from the link. That it has none such is fine.
    pub fn delete_address(&self, ifindex: u32, net: IpNet) -> Result<()> {
        let request = request(libc::RTM_DELADDR, libc::NLM_F_ACK, ifindex, net);
        let task = Task {
            operation: "delete",
            subject: &format_args!("address {net} of link {ifindex}"),
        };
        match self.change(task, request) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }
}

fn request(kind: u16, flags: i32, ifindex: u32, net: IpNet) -> Request {
    let mut head = [0; HEAD];
    head[0] = family::of(net.addr());
    head[1] = net.prefix_len();
    if net.addr().is_ipv6() {
        // Duplicate detection would keep the address unusable for a second; ours are unique by allocation.
        head[2] = libc::IFA_F_NODAD as u8;
    }
    head[4..].copy_from_slice(&ifindex.to_ne_bytes());
    let octets = family::octets(net.addr());
    let mut request = Request::new(kind, flags, &head);
    request
        .attribute(libc::IFA_LOCAL, &octets)
        .attribute(libc::IFA_ADDRESS, &octets);
    request
}

fn parse(message: Message<'_>, family: u8) -> Option<Address> {
    let head = message.payload.get(..HEAD)?;
    if message.kind != libc::RTM_NEWADDR || head[0] != family {
        return None;
    }
    // On a point-to-point link IFA_ADDRESS is the other end's; IPv6 tells IFA_LOCAL only there.
    let find = |wanted| {
        message
            .attributes(HEAD)
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, value)| value)
    };
    let value = find(libc::IFA_LOCAL).or_else(|| find(libc::IFA_ADDRESS))?;
    Some(Address {
        ifindex: u32_at(head, 4)?,
        net: IpNet::new(family::address(value)?, head[1]).ok()?,
        scope: head[3],
    })
}

#[cfg(test)]
mod tests;
