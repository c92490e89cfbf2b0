//! Network devices: list, change, remove; making them is in `create`.

mod create;

pub use create::Veth;

use crate::{
    Error, Result,
    netlink::{
        Netlink, Task,
        message::{Attributes, Message, Request, text, u32_at},
    },
    netns::Netns,
};
use std::os::fd::{AsFd as _, AsRawFd as _};

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Option<[u8; 6]>,
    pub mtu: u32,
    /// Set up by the administrator; says nothing about the carrier.
    pub up: bool,
    /// Up and with a carrier.
    pub running: bool,
    /// The driver's name, such as `veth`; physical devices have none.
    pub kind: Option<String>,
    pub master: Option<u32>,
    pub alias: Option<String>,
    /// The device below or opposite, by its index in its own namespace: a veth's other end.
    pub peer: Option<u32>,
}

/// Size of `struct ifinfomsg`.
const HEAD: usize = 16;
/// `IFNAMSIZ` without the terminating zero.
const NAME_LENGTH_MAX: usize = 15;
/// From `linux/rtnetlink.h`: leave out counters, which nobody here reads.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
impl Netlink {
    /// All devices.
    pub fn links(&self) -> Result<Vec<Link>> {
        let request = || {
            let mut request = Request::new(libc::RTM_GETLINK, libc::NLM_F_DUMP, &head(0, 0, 0));
            request.u32(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
            request
        };
        self.list(
            Task {
                operation: "list",
                subject: &"links",
            },
            request,
            parse,
        )
    }

    /// The device of this name, if there is one.
    pub fn link(&self, name: &str) -> Result<Option<Link>> {
        check_name(name)?;
        self.find(&name, 0, |request| {
            _ = request.text(libc::IFLA_IFNAME, name)
        })
    }

    /// The device of this index, if there is one.
    pub fn link_by_index(&self, index: u32) -> Result<Option<Link>> {
        self.find(&index, index, |_| {})
    }

    /// Sets the device up.
    pub fn set_up(&self, index: u32) -> Result<()> {
        let up = libc::IFF_UP as u32;
        self.change_link(
            "set up",
            index,
            Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &head(index, up, up)),
        )
    }

    /// Lets the device send without asking for neighbours' Ethernet addresses.
    pub fn set_no_arp(&self, index: u32) -> Result<()> {
        let no_arp = libc::IFF_NOARP as u32;
        self.change_link(
            "turn off address resolution of",
            index,
            Request::new(
                libc::RTM_NEWLINK,
                libc::NLM_F_ACK,
                &head(index, no_arp, no_arp),
            ),
        )
    }

    /// Sets the device down.
    pub fn set_down(&self, index: u32) -> Result<()> {
        let up = libc::IFF_UP as u32;
        self.change_link(
            "set down",
            index,
            Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &head(index, 0, up)),
        )
    }

    /// Sets the largest packet the device takes.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<()> {
        self.set("set the MTU of", index, |request| {
            _ = request.u32(libc::IFLA_MTU, mtu)
        })
    }

    /// Sets the device's Ethernet address.
    pub fn set_mac(&self, index: u32, mac: [u8; 6]) -> Result<()> {
        self.set("set the address of", index, |request| {
            _ = request.attribute(libc::IFLA_ADDRESS, &mac)
        })
    }

    /// Renames the device.
    pub fn set_name(&self, index: u32, name: &str) -> Result<()> {
        check_name(name)?;
        self.set("rename", index, |request| {
            _ = request.text(libc::IFLA_IFNAME, name)
        })
    }

    /// Makes the device a port of a bridge, or of none.
    pub fn set_master(&self, index: u32, master: Option<u32>) -> Result<()> {
        self.set("set the master of", index, |request| {
            _ = request.u32(libc::IFLA_MASTER, master.unwrap_or(0))
        })
    }

    /// Gives the device a free text by which its maker knows it again; an empty one takes it away.
    pub fn set_alias(&self, index: u32, alias: &str) -> Result<()> {
        self.set("set the alias of", index, |request| {
            _ = request.attribute(libc::IFLA_IFALIAS, alias.as_bytes())
        })
    }

    /// Moves the device to another namespace, where it is down.
    pub fn set_netns(&self, index: u32, netns: &Netns) -> Result<()> {
        let fd = netns.as_fd().as_raw_fd().cast_unsigned();
        self.set("move", index, |request| {
            _ = request.u32(libc::IFLA_NET_NS_FD, fd)
        })
    }

    /// Removes the device, and a veth's other end with it. No such device is fine.
    pub fn delete_link(&self, index: u32) -> Result<()> {
        let request = Request::new(libc::RTM_DELLINK, libc::NLM_F_ACK, &head(index, 0, 0));
        match self.change_link("delete", index, request) {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            result => result,
        }
    }

    fn find(
        &self,
        subject: &dyn std::fmt::Display,
        index: u32,
        select: impl FnOnce(&mut Request),
    ) -> Result<Option<Link>> {
        let mut request = Request::new(libc::RTM_GETLINK, libc::NLM_F_ACK, &head(index, 0, 0));
        request.u32(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        select(&mut request);
        let mut found = None;
        let subject = &format_args!("link {subject}");
        match self.ask(
            Task {
                operation: "find",
                subject,
            },
            request,
            |message| found = parse(message),
        ) {
            Ok(()) => Ok(found),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set(
        &self,
        operation: &'static str,
        index: u32,
        fill: impl FnOnce(&mut Request),
    ) -> Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &head(index, 0, 0));
        fill(&mut request);
        self.change_link(operation, index, request)
    }

    fn change_link(&self, operation: &'static str, index: u32, request: Request) -> Result<()> {
        self.change(
            Task {
                operation,
                subject: &format_args!("link {index}"),
            },
            request,
        )
    }
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    let bad = name.is_empty() || name.len() > NAME_LENGTH_MAX || name == "." || name == "..";
    if bad || name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace()) {
        return Err(Error::Name {
            what: "link",
            name: name.to_owned(),
            length_max: NAME_LENGTH_MAX,
        });
    }
    Ok(())
}

/// `struct ifinfomsg`.
fn head(index: u32, flags: u32, change: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..16].copy_from_slice(&change.to_ne_bytes());
    head
}

fn parse(message: Message<'_>) -> Option<Link> {
    if message.kind != libc::RTM_NEWLINK {
        return None;
    }
    let flags = u32_at(message.payload, 8)?.cast_signed();
    let mut link = Link {
        index: u32_at(message.payload, 4)?,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: flags & libc::IFF_UP != 0,
        running: flags & libc::IFF_RUNNING != 0,
        kind: None,
        master: None,
        alias: None,
        peer: None,
    };
    for (kind, value) in message.attributes(HEAD) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok(),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            libc::IFLA_MASTER => link.master = u32_at(value, 0),
            libc::IFLA_IFALIAS => link.alias = Some(text(value)),
            // A veth whose other end is gone or hidden says 0.
            libc::IFLA_LINK => link.peer = u32_at(value, 0).filter(|peer| *peer != 0),
            libc::IFLA_LINKINFO => {
                link.kind = Attributes(value)
                    .find(|(kind, _)| *kind == libc::IFLA_INFO_KIND)
                    .map(|(_, value)| text(value));
            }
            _ => {}
        }
    }
    Some(link)
}

#[cfg(test)]
mod tests;
