//! The maps, one file each: what userspace writes of them is written there and nowhere else.

mod address;
mod counter;
mod endpoint;
mod name;
mod node;
mod policy;
mod record;
mod service;

pub use address::{AddressTable, Addresses};
pub use counter::{Counts, Monitor};
pub use endpoint::Endpoints;
pub use name::NameSockets;
pub use node::Nodes;
pub use policy::Policies;
pub use record::Records;
pub use service::{Services, sockets_led};

use crate::Error;
use aya::{
    Ebpf,
    maps::{Map, MapError},
};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tombolo_abi::Addr;

/// Bits before an IPv4 address where it stands in the place of an IPv6 one.
const BITS_BEFORE_V4: u32 = 96;

/// Takes a map out of the loaded object.
pub fn take<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, Error> {
    let map = ebpf.take_map(name).ok_or(Error::Missing { name })?;
    T::try_from(map).map_err(Error::map(name, "opening"))
}

pub fn to_addr(address: IpAddr) -> Addr {
    match address {
        IpAddr::V4(v4) => Addr::from_v4(u32::from_ne_bytes(v4.octets())),
        IpAddr::V6(v6) => Addr::from_bytes(v6.octets()),
    }
}

pub fn from_addr(addr: Addr) -> IpAddr {
    if addr.is_v4() {
        IpAddr::V4(Ipv4Addr::from(addr.v4().to_ne_bytes()))
    } else {
        IpAddr::V6(Ipv6Addr::from(addr.bytes()))
    }
}

/// How many bits of the whole address a range has, and the address as keys have it.
fn to_prefix(net: IpNet) -> (u32, [u32; 4]) {
    let before = match net {
        IpNet::V4(_) => BITS_BEFORE_V4,
        IpNet::V6(_) => 0,
    };
    let bits = before + u32::from(net.prefix_len());
    (bits, to_addr(net.network()).quarters())
}

fn from_prefix(bits: u32, quarters: [u32; 4]) -> Option<IpNet> {
    let address = from_addr(Addr::from_quarters(quarters));
    let bits = match address {
        IpAddr::V4(_) if bits >= BITS_BEFORE_V4 => bits - BITS_BEFORE_V4,
        _ => bits,
    };
    IpNet::new(address, u8::try_from(bits).ok()?).ok()
}
