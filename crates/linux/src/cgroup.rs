//! Cgroups.
use crate::Result;
use std::path::PathBuf;
pub fn root() -> PathBuf {
    todo!()
}
pub fn create(_name: &str) -> Result<PathBuf> {
    todo!()
}
pub fn remove(_name: &str) -> Result<()> {
    todo!()
}
pub fn add(_name: &str, _pid: u32) -> Result<()> {
    todo!()
}
pub fn pids(_name: &str) -> Result<Vec<u32>> {
    todo!()
}
