//! Addresses.
use crate::{Result, netlink::Netlink};
use ipnet::IpNet;
/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub ifindex: u32,
    pub net: IpNet,
    pub scope: u8,
}
impl Netlink {
    pub fn addresses(&self, _ifindex: Option<u32>) -> Result<Vec<Address>> {
        todo!()
    }
    pub fn add_address(&self, _ifindex: u32, _net: IpNet) -> Result<()> {
        todo!()
    }
    pub fn delete_address(&self, _ifindex: u32, _net: IpNet) -> Result<()> {
        todo!()
    }
}
