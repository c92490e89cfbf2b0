//! Routes.
use crate::{Result, netlink::Netlink};
use ipnet::IpNet;
use std::net::IpAddr;
/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub destination: IpNet,
    pub via: Option<IpAddr>,
    pub ifindex: u32,
    pub source: Option<IpAddr>,
    pub mtu: Option<u32>,
    pub scope_link: bool,
    pub onlink: bool,
    pub protocol: u8,
    pub metric: Option<u32>,
    pub blackhole: bool,
}
/// The FIB's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub ifindex: u32,
    pub via: Option<IpAddr>,
    pub source: Option<IpAddr>,
    pub mtu: Option<u32>,
}
impl Netlink {
    pub fn replace_route(&self, _route: &Route) -> Result<()> {
        todo!()
    }
    pub fn delete_route(&self, _route: &Route) -> Result<()> {
        todo!()
    }
    pub fn routes(&self, _protocol: Option<u8>) -> Result<Vec<Route>> {
        todo!()
    }
    pub fn lookup(&self, _destination: IpAddr) -> Result<NextHop> {
        todo!()
    }
}
