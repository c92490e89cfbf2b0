//! Processes.
use crate::{Result, netns::Netns};
use std::{io, process::Command, time::Duration};
pub trait CommandExt {
    fn in_netns(&mut self, netns: &Netns) -> &mut Self;
    fn in_new_mounts(
        &mut self,
        setup: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self;
    fn die_with_parent(&mut self) -> &mut Self;
    fn detached(&mut self) -> &mut Self;
}
impl CommandExt for Command {
    fn in_netns(&mut self, _netns: &Netns) -> &mut Self {
        todo!()
    }
    fn in_new_mounts(
        &mut self,
        _setup: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self {
        todo!()
    }
    fn die_with_parent(&mut self) -> &mut Self {
        todo!()
    }
    fn detached(&mut self) -> &mut Self {
        todo!()
    }
}
pub fn alive(_pid: u32, _start_time: u64) -> bool {
    todo!()
}
pub fn start_time(_pid: u32) -> Option<u64> {
    todo!()
}
pub fn terminate(_pid: u32, _grace: Duration) -> Result<()> {
    todo!()
}
