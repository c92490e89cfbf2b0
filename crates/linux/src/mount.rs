//! Mounts.
use crate::Result;
use std::path::{Path, PathBuf};
pub fn bpffs(_dir: impl AsRef<Path>) -> Result<()> {
    todo!()
}
pub fn tmpfs(_dir: impl AsRef<Path>) -> Result<()> {
    todo!()
}
pub fn bind(_source: impl AsRef<Path>, _target: impl AsRef<Path>) -> Result<()> {
    todo!()
}
pub fn make_private(_dir: impl AsRef<Path>) -> Result<()> {
    todo!()
}
pub fn make_shared(_dir: impl AsRef<Path>) -> Result<()> {
    todo!()
}
pub fn unmount_all(_dir: impl AsRef<Path>) -> Result<()> {
    todo!()
}
pub fn is_bpffs(_dir: impl AsRef<Path>) -> bool {
    todo!()
}
pub fn mounts() -> Result<Vec<PathBuf>> {
    todo!()
}
