//! Links.
use crate::{Result, netlink::Netlink, netns::Netns};
/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Option<[u8; 6]>,
    pub mtu: u32,
    pub up: bool,
    pub running: bool,
    pub kind: Option<String>,
    pub master: Option<u32>,
    pub alias: Option<String>,
    pub peer: Option<u32>,
}
/// A pair to make.
#[derive(Default)]
pub struct Veth<'a> {
    pub name: &'a str,
    pub mac: Option<[u8; 6]>,
    pub mtu: u32,
    pub peer_name: &'a str,
    pub peer_mac: Option<[u8; 6]>,
    pub peer_netns: Option<&'a Netns>,
}
impl Netlink {
    pub fn links(&self) -> Result<Vec<Link>> {
        todo!()
    }
    pub fn link(&self, _name: &str) -> Result<Option<Link>> {
        todo!()
    }
    pub fn link_by_index(&self, _index: u32) -> Result<Option<Link>> {
        todo!()
    }
    pub fn create_veth(&self, _veth: &Veth<'_>) -> Result<u32> {
        todo!()
    }
    pub fn create_bridge(&self, _name: &str) -> Result<u32> {
        todo!()
    }
    pub fn create_vxlan_external(
        &self,
        _name: &str,
        _port: u16,
        _mac: [u8; 6],
        _mtu: u32,
    ) -> Result<u32> {
        todo!()
    }
    pub fn set_up(&self, _index: u32) -> Result<()> {
        todo!()
    }
    pub fn set_down(&self, _index: u32) -> Result<()> {
        todo!()
    }
    pub fn set_mtu(&self, _index: u32, _mtu: u32) -> Result<()> {
        todo!()
    }
    pub fn set_mac(&self, _index: u32, _mac: [u8; 6]) -> Result<()> {
        todo!()
    }
    pub fn set_name(&self, _index: u32, _name: &str) -> Result<()> {
        todo!()
    }
    pub fn set_master(&self, _index: u32, _master: Option<u32>) -> Result<()> {
        todo!()
    }
    pub fn set_alias(&self, _index: u32, _alias: &str) -> Result<()> {
        todo!()
    }
    pub fn set_netns(&self, _index: u32, _netns: &Netns) -> Result<()> {
        todo!()
    }
    pub fn delete_link(&self, _index: u32) -> Result<()> {
        todo!()
    }
}
