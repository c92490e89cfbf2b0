//! One rtnetlink socket.
use crate::{Result, netns::Netns};
/// One rtnetlink socket.
pub struct Netlink {}
impl Netlink {
    /// In the calling thread's namespace.
    pub fn open() -> Result<Netlink> {
        todo!()
    }
    /// In another namespace.
    pub fn open_in(_netns: &Netns) -> Result<Netlink> {
        todo!()
    }
}
