//! Neighbours.
use crate::{Result, netlink::Netlink};
use std::net::IpAddr;
/// A neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub ifindex: u32,
    pub address: IpAddr,
    pub mac: Option<[u8; 6]>,
    pub state: u16,
    pub managed: bool,
}
impl Netlink {
    pub fn neighbours(&self, _ifindex: u32) -> Result<Vec<Neighbour>> {
        todo!()
    }
    pub fn set_neighbour_permanent(
        &self,
        _ifindex: u32,
        _address: IpAddr,
        _mac: [u8; 6],
    ) -> Result<()> {
        todo!()
    }
    pub fn manage_neighbour(&self, _ifindex: u32, _address: IpAddr) -> Result<()> {
        todo!()
    }
    pub fn delete_neighbour(&self, _ifindex: u32, _address: IpAddr) -> Result<()> {
        todo!()
    }
}
